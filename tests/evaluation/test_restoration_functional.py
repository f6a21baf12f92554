"""PSNR, SSIM and MS-SSIM against the published code's values, scikit-image and hand-computed cases."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from parity_compare import COMMITTED
from parity_fill import fill_input

from mmweather.errors import DataError
from mmweather.evaluation.functional import arrays, restoration

SHARED = Path(__file__).parents[2] / '..' / 'shared'
RNG = np.random.default_rng(7)
NOISY = RNG.integers(0, 256, (40, 52, 3)).astype(np.uint8)
CLEAN = np.clip(NOISY.astype(int) + RNG.integers(-20, 21, NOISY.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize('name', ['psnr_rgb', 'psnr_y', 'ssim_y', 'ssim_bgr3d'])
@pytest.mark.parametrize('border', [0, 4])
def test_equals_the_published_validation_code(name, border):
    golden = COMMITTED / 'nitedr' / 'golden_metrics.npz'
    a = np.round(fill_input('nitedr/metric/a', (40, 52, 3)) * 255)
    b = np.clip(a + np.round((fill_input('nitedr/metric/n', (40, 52, 3)) - 0.5) * 40), 0, 255)
    # The stored pictures are BGR. The published code works in single precision, ours in double.
    value = getattr(restoration, name.replace('bgr', 'rgb'))(b[..., ::-1], a[..., ::-1], border)
    assert value == pytest.approx(float(np.load(golden)[f'{name}_crop{border}']), rel=1e-6)


def test_psnr_of_a_constant_error_is_the_closed_form():
    black = np.zeros((5, 7, 3), np.uint8)
    red = black.copy()
    red[..., 0] = 30
    assert restoration.psnr_rgb(red, black) == pytest.approx(10 * math.log10(255**2 / (30**2 / 3)))
    # Red alone moves Y by 65.481 / 255 of its value.
    assert restoration.psnr_y(red, black) == pytest.approx(20 * math.log10(255 / (30 * 65.481 / 255)))


def test_psnr_agrees_with_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio
    assert restoration.psnr_rgb(NOISY, CLEAN) == pytest.approx(
        peak_signal_noise_ratio(CLEAN, NOISY, data_range=255), rel=1e-12)


def test_luma_agrees_with_scikit_image_and_is_not_rounded():
    from skimage.color import rgb2ycbcr
    np.testing.assert_allclose(arrays.luma(NOISY.astype(float)), rgb2ycbcr(NOISY)[..., 0], rtol=1e-12)
    assert arrays.luma(np.full((1, 1, 3), 255.0))[0, 0] == pytest.approx(235.0)


def test_ssim_of_full_windows_agrees_with_scikit_image():
    from skimage.metrics import structural_similarity
    first, second = arrays.luma(NOISY.astype(float)), arrays.luma(CLEAN.astype(float))
    _, ours = structural_similarity(first, second, data_range=255, gaussian_weights=True, sigma=1.5,
                                    use_sample_covariance=False, full=True)
    np.testing.assert_allclose(restoration.ssim_map(first, second, border='valid'), ours[5:-5, 5:-5], atol=1e-10)
    # Away from the border the repeated edge pixels play no part.
    np.testing.assert_allclose(restoration.ssim_map(first, second)[5:-5, 5:-5], ours[5:-5, 5:-5], atol=1e-10)


def test_equal_pictures_are_perfect():
    assert restoration.psnr_y(NOISY, NOISY) == math.inf
    assert restoration.psnr_rgb(NOISY, NOISY) == math.inf
    assert restoration.ssim_y(NOISY, NOISY) == pytest.approx(1.0)
    assert restoration.ssim_rgb3d(NOISY, NOISY) == pytest.approx(1.0)


def test_3d_ssim_does_not_mind_the_order_of_channels_read_backwards():
    forward = restoration.ssim_rgb3d(NOISY, CLEAN)
    assert restoration.ssim_rgb3d(NOISY[..., ::-1], CLEAN[..., ::-1]) == pytest.approx(forward, rel=1e-12)


def test_crop_border_removes_a_broken_frame():
    framed = CLEAN.copy()
    framed[:3] = framed[-3:] = 0
    framed[:, :3] = framed[:, -3:] = 0
    assert restoration.psnr_rgb(framed, CLEAN) < 20
    assert restoration.psnr_rgb(framed, CLEAN, crop_border=3) == math.inf


def test_ms_ssim_is_the_librarys_and_nan_below_161():
    import torch
    from pytorch_msssim import ms_ssim
    big = RNG.integers(0, 256, (161, 170, 3)).astype(np.uint8)
    blurred = (big.astype(float) + np.roll(big, 1, 0)) / 2
    pair = [torch.from_numpy(x.astype(np.float64).transpose(2, 0, 1)[None].copy()) for x in (blurred, big)]
    assert restoration.ms_ssim(blurred, big) == pytest.approx(float(ms_ssim(*pair, data_range=255)), rel=1e-9)
    assert restoration.ms_ssim(big, big) == pytest.approx(1.0)
    assert math.isnan(restoration.ms_ssim(big[:160], big[:160]))


@pytest.mark.parametrize('shape', [(10, 30, 3), (30, 10, 3)])
def test_ssim_of_a_tiny_picture_is_refused(shape):
    tiny = np.zeros(shape, np.uint8)
    with pytest.raises(DataError, match='11x11'):
        restoration.ssim_y(tiny, tiny)
    with pytest.raises(DataError, match='11x11'):
        restoration.ssim_rgb3d(np.zeros((20, 20, 3)), np.zeros((20, 20, 3)), crop_border=5)


@pytest.mark.parametrize(('broken', 'message'), [
    (NOISY.transpose(2, 0, 1), 'HWC'),
    (NOISY[:-1], 'must be equal'),
    (NOISY.astype(float) - 1, r'\[0, 255\]'),
    (np.full(NOISY.shape, np.nan), 'NaN'),
    (NOISY > 100, 'bool'),
    (NOISY[:0], 'shape'),
])
def test_malformed_pictures_are_named(broken, message):
    with pytest.raises(DataError, match=message) as caught:
        restoration.psnr_rgb(broken, NOISY)
    assert 'prediction' in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('border', [-1, 20])
def test_impossible_crop_is_refused(border):
    with pytest.raises(DataError, match='crop_border'):
        restoration.psnr_rgb(NOISY, CLEAN, border)


def test_rainy_input_of_roadscene_rain_scores_as_recorded():
    folder = SHARED / 'data' / 'roadscene_rain' / 'test' / 'Vis'
    if not folder.exists():
        pytest.skip(f'no RoadScene-rain at {folder}')
    from PIL import Image
    picture = [np.asarray(Image.open(folder / kind / '000.jpg').convert('RGB')) for kind in ('input', 'target')]
    # Recorded with all 40 test pictures, whose means are those of the published baseline (28.8265, 27.2037, 0.8195).
    assert restoration.psnr_y(*picture) == pytest.approx(29.0197, abs=0.02)
    assert restoration.psnr_rgb(*picture) == pytest.approx(27.5728, abs=0.02)
    assert restoration.ssim_y(*picture) == pytest.approx(0.8335, abs=1e-3)
