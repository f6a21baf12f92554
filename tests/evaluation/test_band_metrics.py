"""Metrics of any number of bands against libraries and formulas written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmweather.errors import DataError
from mmweather.evaluation.functional import bands


def pair(height: int = 13, width: int = 17, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.random((height, width, count))
    return np.clip(target + 0.1 * rng.standard_normal(target.shape), 0, 1), target


def test_errors_are_those_of_the_formulas():
    a, b = pair()
    d = a - b
    assert bands.mae(a, b) == pytest.approx(np.abs(d).sum() / d.size)
    assert bands.rmse(a, b)**2 == pytest.approx(bands.mse(a, b)) == pytest.approx((d**2).sum() / d.size)
    assert bands.band_rmse(a, b) == pytest.approx(np.mean([math.sqrt((d[..., i]**2).mean()) for i in range(5)]))
    assert bands.band_rmse(a, b) < bands.rmse(a, b)
    # Integers are not subtracted as they are stored.
    assert bands.mae(np.zeros((1, 1, 1), np.uint8), np.full((1, 1, 1), 3, np.uint8)) == 3


def test_psnr_agrees_with_scikit_image_and_peak_is_a_unit():
    metrics = pytest.importorskip('skimage.metrics')
    a, b = pair()
    assert bands.psnr(a, b) == pytest.approx(metrics.peak_signal_noise_ratio(b, a, data_range=1))
    assert bands.psnr(a * 10000, b * 10000, peak=10000) == pytest.approx(bands.psnr(a, b))
    assert bands.psnr(b, b) == 100


def test_psnr_under_a_mask_sees_nothing_else():
    a, b = pair()
    mask = np.zeros(a.shape[:2], bool)
    mask[2:5, 3:9] = True
    wanted = bands.psnr(a[2:5, 3:9], b[2:5, 3:9])
    a[~mask] = 7
    assert bands.psnr(a, b, mask=mask) == pytest.approx(wanted)
    assert math.isnan(bands.psnr(a, b, mask=np.zeros_like(mask)))
    with pytest.raises(DataError, match='mask'):
        bands.psnr(a, b, mask=mask[:-1])


@pytest.mark.parametrize('published', [False, True])
def test_ssim_is_a_zero_padded_convolution(published):
    torch = pytest.importorskip('torch')
    a, b = pair(12, 15, 2)
    axis = np.exp(-(np.arange(11) - (5.5 if published else 5))**2 / 4.5)
    window = torch.from_numpy(np.outer(axis, axis) / axis.sum()**2)[None, None]

    def mean(x):
        return torch.nn.functional.conv2d(torch.from_numpy(x.transpose(2, 0, 1))[:, None], window, padding=5).numpy()

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    wanted = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    assert bands.ssim(a, b, published=published) == pytest.approx(wanted.mean(), abs=1e-12)
    assert bands.ssim(b, b, published=published) == pytest.approx(1)
    assert bands.ssim(a * 5, b * 5, peak=5) == pytest.approx(bands.ssim(a, b))


def test_spectral_angle():
    first, second = np.zeros((1, 3, 2)), np.zeros((1, 3, 2))
    first[0] = [[1, 0], [1, 0], [2, 2]]
    second[0] = [[5, 0], [0, 1], [0, 3]]
    assert bands.spectral_angle(first, second) == pytest.approx((0 + 90 + 45) / 3)
    second[0, 1] = 0
    assert bands.spectral_angle(first, second) == pytest.approx(22.5)
    assert math.isnan(bands.spectral_angle(first, second, published=True))
    assert math.isnan(bands.spectral_angle(first * 0, second))


@pytest.mark.parametrize('bad,message', [(np.zeros((3, 3)), 'H, W, C'), (np.zeros((0, 3, 1)), 'H, W, C'),
                                         (np.full((3, 3, 1), np.nan), 'NaN'), (np.zeros((3, 3, 2)), 'must be equal'),
                                         (np.array([[['x']]]), 'numbers')], ids=range(5))
def test_malformed_images_are_named(bad, message):
    good = np.zeros((3, 3, 1))
    for function in (bands.mae, bands.psnr, bands.ssim, bands.spectral_angle):
        with pytest.raises(DataError, match=message) as error:
            function(bad, good)
        assert '\n' not in str(error.value)
