"""Fusion metrics against scikit-image, SciPy, plain loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import convolve2d

from mmweather.errors import ConfigError, DataError
from mmweather.evaluation.functional import fusion_statistics as statistics
from mmweather.evaluation.functional import fusion_structure as structure
from mmweather.evaluation.functional.arrays import gray
from mmweather.evaluation.functional.fusion import FUSION_METRICS, TABLE_II, fusion_metrics

RNG = np.random.default_rng(11)


def _smooth_noise(shape, seed):
    noise = np.random.default_rng(seed).random(shape)
    noise = convolve2d(noise, np.ones((5, 5)) / 25, 'same', 'symm')
    return np.rint(255 * (noise - noise.min()) / (noise.max() - noise.min())).astype(np.uint8)


INFRARED, VISIBLE = _smooth_noise((60, 71), 1), _smooth_noise((60, 71), 2)
FUSED = ((INFRARED.astype(int) * 2 + VISIBLE) // 3).astype(np.uint8)


def test_entropy_agrees_with_scikit_image():
    from skimage.measure import shannon_entropy
    assert statistics.en(FUSED) == pytest.approx(shannon_entropy(FUSED), rel=1e-12)
    assert statistics.en(np.full((4, 4), 9, np.uint8)) == 0


def test_mutual_information_agrees_with_scikit_image():
    from skimage.metrics import normalized_mutual_information
    edges = np.arange(257) - 0.5

    def by_skimage(first, second):
        # (H(a) + H(b)) / H(a, b), so I = H(a) + H(b) - that sum over the ratio.
        total = statistics.en(first) + statistics.en(second)
        return total - total / normalized_mutual_information(first, second, bins=[edges, edges])

    assert statistics.mi(FUSED, INFRARED, VISIBLE) == pytest.approx(
        by_skimage(FUSED, INFRARED) + by_skimage(FUSED, VISIBLE), rel=1e-9)
    assert statistics.mi(FUSED, FUSED, FUSED) == pytest.approx(2 * statistics.en(FUSED))


def test_published_mutual_information_merges_the_two_brightest_levels():
    first = np.array([[254, 255, 0, 0]], np.uint8)
    second = np.array([[0, 0, 7, 7]], np.uint8)
    # Joint histogram: (254, 0), (255, 0), (0, 7) x 2 -> 1.5 bits; merged (254, 0) x 2, (0, 7) x 2 -> 1 bit.
    assert statistics.mi(first, second, second) == pytest.approx(2 * (1.5 + 1 - 1.5))
    assert statistics.mi(first, second, second, published=True) == pytest.approx(2 * (1.5 + 1 - 1))


def test_statistics_of_a_hand_computed_picture():
    picture = np.array([[0, 10], [20, 50]], np.uint8)
    assert statistics.sd(picture) == pytest.approx(math.sqrt((20**2 + 10**2 + 0 + 30**2) / 4))
    rows, columns = (20**2 + 40**2) / 2, (10**2 + 30**2) / 2
    assert statistics.sf(picture) == pytest.approx(math.sqrt(rows + columns))
    gradients = [(10, 20), (10, 40), (30, 20), (30, 40)]
    assert statistics.ag(picture) == pytest.approx(sum(math.sqrt((x * x + y * y) / 2) for x, y in gradients))


def test_correlations_agree_with_numpy():
    def r(a, b):
        return np.corrcoef(np.ravel(a).astype(float), np.ravel(b).astype(float))[0, 1]

    assert statistics.cc(FUSED, INFRARED, VISIBLE) == pytest.approx((r(FUSED, INFRARED) + r(FUSED, VISIBLE)) / 2)
    difference = [FUSED.astype(int) - VISIBLE, FUSED.astype(int) - INFRARED]
    assert statistics.scd(FUSED, INFRARED, VISIBLE) == pytest.approx(
        r(difference[0], INFRARED) + r(difference[1], VISIBLE))
    assert math.isnan(statistics.cc(FUSED, np.zeros_like(FUSED), VISIBLE))


def test_error_and_both_psnr():
    fused, black = np.full((3, 4), 51, np.uint8), np.zeros((3, 4), np.uint8)
    # 51 / 255 = 0.2 against one source, 0 against the other.
    assert statistics.mse(fused, black, fused) == pytest.approx(0.02)
    assert statistics.psnr(fused, black, fused) == pytest.approx(10 * math.log10(1 / 0.02))
    assert statistics.psnr_toolkit(fused, black, fused) == pytest.approx(20 * math.log10(255 / math.sqrt(0.02)))
    assert statistics.psnr(fused, fused, fused) == math.inf


def _vif_by_windows(reference, distorted):
    """VIF with two-dimensional windows and masks, scale by scale."""
    r, d, gained, total = reference.astype(float), distorted.astype(float), 0.0, 0.0
    for scale in range(1, 5):
        size = 2**(5 - scale) + 1
        axis = np.arange(size) - size // 2
        window = np.exp(-(axis[:, None]**2 + axis**2) / (2 * (size / 5)**2))
        window /= window.sum()
        if scale > 1:
            r, d = (convolve2d(x, window, 'valid')[::2, ::2] for x in (r, d))
        mean_r, mean_d = convolve2d(r, window, 'valid'), convolve2d(d, window, 'valid')
        var_r = np.maximum(convolve2d(r * r, window, 'valid') - mean_r**2, 0)
        var_d = np.maximum(convolve2d(d * d, window, 'valid') - mean_d**2, 0)
        cov = convolve2d(r * d, window, 'valid') - mean_r * mean_d
        gain = cov / (var_r + 1e-10)
        rest = var_d - gain * cov
        gain[var_r < 1e-10] = 0
        rest[var_r < 1e-10] = var_d[var_r < 1e-10]
        var_r[var_r < 1e-10] = 0
        gain[var_d < 1e-10] = 0
        rest[var_d < 1e-10] = 0
        rest[gain < 0] = var_d[gain < 0]
        gain[gain < 0] = 0
        rest = np.maximum(rest, 1e-10)
        gained += np.log10(1 + gain**2 * var_r / (rest + 2)).sum()
        total += np.log10(1 + var_r / 2).sum()
    return gained / total


@pytest.mark.parametrize('patch', ['none', 'flat'])
def test_vif_equals_the_windows_written_out(patch):
    infrared, fused = INFRARED.copy(), FUSED.copy()
    if patch == 'flat':
        infrared[:40, :40], fused[20:, :40] = 90, 17
    wanted = _vif_by_windows(infrared, fused) + _vif_by_windows(VISIBLE, fused)
    assert statistics.vif(fused, infrared, VISIBLE) == pytest.approx(wanted, rel=1e-6)


def test_vif_limits():
    assert statistics.vif(FUSED, FUSED, FUSED) == pytest.approx(2.0, abs=1e-6)
    assert math.isnan(statistics.vif(FUSED[:40], FUSED[:40], FUSED[:40]))
    assert not math.isnan(statistics.vif(FUSED[:41, :41], INFRARED[:41, :41], VISIBLE[:41, :41]))
    flat = np.full_like(FUSED, 100)
    assert math.isnan(statistics.vif(FUSED, flat, flat))


def _qabf_by_loops(fused, *sources):
    def sobel(picture):
        padded = np.pad(picture.astype(float), 1)
        strength, angle = np.zeros(picture.shape), np.zeros(picture.shape)
        for r in range(picture.shape[0]):
            for c in range(picture.shape[1]):
                w = padded[r:r + 3, c:c + 3]
                x = w[0, 2] + 2 * w[1, 2] + w[2, 2] - w[0, 0] - 2 * w[1, 0] - w[2, 0]
                y = w[2, 0] + 2 * w[2, 1] + w[2, 2] - w[0, 0] - 2 * w[0, 1] - w[0, 2]
                strength[r, c] = math.sqrt(x * x + y * y)
                angle[r, c] = math.pi / 2 if x == 0 else math.atan(y / x)
        return strength, angle

    own, above, below = sobel(fused), 0.0, 0.0
    for source in sources:
        strength, angle = sobel(source)
        for place in np.ndindex(fused.shape):
            g, f = strength[place], own[0][place]
            ratio = 0 if max(g, f) == 0 else min(g, f) / max(g, f)
            turn = 1 - abs(angle[place] - own[1][place]) / (math.pi / 2)
            kept = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + math.exp(-22 * (turn - 0.8)))
            above, below = above + kept * g, below + g
    return above / below


def test_qabf_equals_the_loops():
    small = [x[:14, :15] for x in (FUSED, INFRARED, VISIBLE)]
    assert structure.qabf(*small) == pytest.approx(_qabf_by_loops(*small), rel=1e-10)


def test_qabf_of_identical_pictures_is_the_ceiling_of_its_sigmoids():
    ceiling = 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))
    assert structure.qabf(FUSED, FUSED, FUSED) == pytest.approx(ceiling)
    # The toolkit puts the strength of the edge, far above 1, in place of the ratio.
    assert structure.qabf(FUSED, FUSED, FUSED, published=True) == pytest.approx(0.9994 * 0.9879 / (1 + math.exp(-4.4)),
                                                                                 rel=1e-6)
    assert math.isnan(structure.qabf(*np.zeros((3, 9, 9), np.uint8)))


def test_ssim_with_both_data_ranges_agrees_with_scikit_image():
    from skimage.metrics import structural_similarity

    def by_skimage(source, data_range):
        pictures = [np.pad(x.astype(float), 5, mode='edge') for x in (FUSED, source)]
        # The repeated border is added by hand and skimage's own border cut away again.
        return structural_similarity(*pictures, data_range=data_range, gaussian_weights=True, sigma=1.5,
                                     use_sample_covariance=False)

    for function, data_range in ((structure.ssim, 255), (structure.ssim_toolkit, 1)):
        wanted = np.mean([by_skimage(source, data_range) for source in (INFRARED, VISIBLE)])
        assert function(FUSED, INFRARED, VISIBLE) == pytest.approx(wanted, rel=1e-9)


def test_ms_ssim_is_the_mean_of_the_librarys():
    import torch
    from pytorch_msssim import ms_ssim
    pictures = [_smooth_noise((170, 165), seed) for seed in (4, 5, 6)]
    own, first, second = (torch.from_numpy(x.astype(np.float64))[None, None] for x in pictures)
    wanted = (ms_ssim(own, first, data_range=255) + ms_ssim(own, second, data_range=255)) / 2
    assert structure.ms_ssim(*pictures) == pytest.approx(float(wanted), rel=1e-9)
    assert math.isnan(structure.ms_ssim(FUSED, INFRARED, VISIBLE))


def _mef_by_loops(sources, fused):
    """The multi-exposure fusion index of one scale, window by window."""
    axis = np.arange(11) - 5
    window = np.exp(-(axis[:, None]**2 + axis**2) / (2 * 1.5**2))
    window = (window / window.sum()).ravel()
    scores = []
    for r in range(fused.shape[0] - 10):
        for c in range(fused.shape[1] - 10):
            x = [s[r:r + 11, c:c + 11].ravel() for s in sources]
            y = fused[r:r + 11, c:c + 11].ravel()
            centred = [v - v.mean() for v in x]
            norms = [np.linalg.norm(v) for v in centred]
            together = np.linalg.norm(sum(x) - sum(x).mean())
            eps = np.finfo(float).eps
            consistency = min((together + eps) / (sum(norms) + eps), 1 - eps)
            power = min(math.tan(math.pi / 2 * consistency), 10)
            contrast = [n + 0.001 for n in norms]
            weights = [(k / 11)**power + eps for k in contrast]
            wanted = sum(w / sum(weights) * v / k for w, v, k in zip(weights, centred, contrast, strict=True))
            if np.linalg.norm(wanted) > 0:
                wanted = wanted / np.linalg.norm(wanted) * max(contrast)
            a, b = wanted - (window * wanted).sum(), y - (window * y).sum()
            constant = (0.03 * 255)**2
            scores.append((2 * (window * a * b).sum() + constant) /
                          ((window * a * a).sum() + (window * b * b).sum() + constant))
    return np.mean(scores)


def test_toolkit_ms_ssim_equals_the_loops():
    scale = [x[:47, :45].astype(float) for x in (FUSED, INFRARED, VISIBLE)]
    weights, wanted = np.array([0.0448, 0.2856, 0.3001]), 1.0
    for weight in weights / weights.sum():
        wanted *= _mef_by_loops(scale[1:], scale[0])**weight
        # Halve by 2x2 means; an odd last row or column counts twice.
        scale = [np.pad(x, [(0, n % 2) for n in x.shape], mode='edge') for x in scale]
        scale = [x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean((1, 3)) for x in scale]
    ours = structure.ms_ssim_toolkit(*(x[:47, :45] for x in (FUSED, INFRARED, VISIBLE)))
    assert ours == pytest.approx(wanted, rel=1e-7)
    assert math.isnan(structure.ms_ssim_toolkit(*(x[:43] for x in (FUSED, INFRARED, VISIBLE))))


def test_grey_follows_the_ntsc_weights_and_keeps_equal_channels():
    ramp = np.arange(256, dtype=np.uint8)[None]
    assert (gray(np.repeat(ramp[..., None], 3, -1)) == ramp).all()
    primary = gray(np.eye(3, dtype=np.uint8)[None] * 255)
    assert primary.tolist() == [[76, 150, 29]]
    assert gray(np.array([[0.4, 254.6]])).tolist() == [[0, 255]]


def test_all_at_once_and_by_name():
    values = fusion_metrics(np.repeat(FUSED[..., None], 3, -1), INFRARED, VISIBLE.astype(np.float32))
    assert list(values) == list(FUSION_METRICS)
    assert {k for k, v in values.items() if math.isnan(v)} == {'ms_ssim'}  # below 161 pixels
    assert list(fusion_metrics(FUSED, INFRARED, VISIBLE, 'table2')) == list(TABLE_II)
    assert values['qabf'] == structure.qabf(FUSED, INFRARED, VISIBLE)
    with pytest.raises(ConfigError, match="'vifp' is unknown"):
        fusion_metrics(FUSED, INFRARED, VISIBLE, ['vifp'])
    with pytest.raises(ConfigError, match='empty'):
        fusion_metrics(FUSED, INFRARED, VISIBLE, [])
    with pytest.raises(DataError, match='infrared'):
        fusion_metrics(FUSED, INFRARED[:-1], VISIBLE, 'mse')
    with pytest.raises(DataError, match=r'visible.*\[0, 255\]'):
        fusion_metrics(FUSED, INFRARED, VISIBLE * 2.0, 'mse')


def test_the_order_of_the_sources_does_not_matter():
    there, back = (fusion_metrics(FUSED, *pair) for pair in ((INFRARED, VISIBLE), (VISIBLE, INFRARED)))
    for name, value in there.items():
        assert back[name] == pytest.approx(value, rel=1e-9, nan_ok=True), name
