"""Feature mutual information against the definition written as plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmweather.errors import ConfigError, DataError
from mmweather.evaluation.functional import fusion_fmi
from mmweather.evaluation.functional.fusion_fmi import fmi

RNG = np.random.default_rng(3)


def _entropy_term(x):
    return 0.0 if x == 0 else -x * math.log2(abs(x))


def _density(window):
    low, high = window.min(), window.max()
    window = np.ones(9) if low == high else (window - low) / (high - low)
    return window / window.sum()


def _pair(first, second):
    """The model's normalised mutual information of two windows, all 81 cells built."""
    if (first == second).all():
        return 1.0
    p, q = _density(first), _density(second)
    dp, dq = p - p.mean(), q - q.mean()
    c = 0.0
    if abs((dp * dq).sum()) > 1e-15:
        c = (dp * dq).sum() / math.sqrt((dp**2).sum() * (dq**2).sum())
    cp, cq = np.cumsum(p), np.cumsum(q)
    bound = np.zeros((10, 10))
    for i in range(9):
        for j in range(9):
            bound[i + 1, j + 1] = min(cp[i], cq[j]) if c >= 0 else max(cp[i] + cq[j] - 1, 0)
    k = np.arange(1, 10)
    spread = [math.sqrt(max((k * k * d).sum() - (k * d).sum()**2, 0)) for d in (p, q)]
    weight = 0.0
    covariance = (bound[1:, 1:] - np.outer(cp, cq)).sum()
    if c != 0 and min(spread) > 1e-6 and abs(covariance) > 1e-12:
        weight = c * spread[0] * spread[1] / covariance
    joint = 0.0
    for i in range(9):
        for j in range(9):
            mass = bound[i + 1, j + 1] - bound[i, j + 1] - bound[i + 1, j] + bound[i, j]
            joint += _entropy_term(weight * mass + (1 - weight) * p[i] * q[j])
    marginal = sum(map(_entropy_term, p)) + sum(map(_entropy_term, q))
    return 2 * (marginal - joint) / marginal if marginal > 0 else 0.0


def _by_loops(source, fused):
    height, width = fused.shape
    return np.mean([
        _pair(source[r:r + 3, c:c + 3].T.ravel(), fused[r:r + 3, c:c + 3].T.ravel()) for r in range(height - 2)
        for c in range(width - 2)
    ])


@pytest.mark.parametrize('levels', [256, 3], ids=['continuous', 'flat windows'])
@pytest.mark.parametrize('feature', ['raw', 'dct', 'edge'])
def test_equals_the_loops(levels, feature):
    fused, infrared, visible = (RNG.integers(0, levels, (3, 8, 9)) * (255 // (levels - 1))).astype(np.float64)
    visible[:, :5] = fused[:, :5]
    infrared[:4] = 12
    features = [fusion_fmi.features(x, feature) for x in (fused, infrared, visible)]
    wanted = 0.5 * (_by_loops(features[1], features[0]) + _by_loops(features[2], features[0]))
    assert fmi(fused, infrared, visible, feature) == pytest.approx(wanted, abs=1e-9)


def test_negative_correlation_uses_the_lower_bound():
    first = RNG.integers(0, 256, (8, 8)).astype(np.float64)
    second = 255 - first + RNG.integers(0, 3, (8, 8))
    assert fmi(second, first, first, 'raw') == pytest.approx(_by_loops(first, second), abs=1e-9)


def test_binary_windows_take_the_same_value_by_table_and_one_by_one():
    first, second = (fusion_fmi._windows(x) for x in RNG.integers(0, 2, (2, 30, 31)).astype(np.float64))
    assert fusion_fmi._binary_mean(first, second) == pytest.approx(fusion_fmi._mean_fmi(first, second), abs=1e-12)


def test_chunks_change_nothing(monkeypatch):
    first, second = (fusion_fmi._windows(x) for x in RNG.random((2, 20, 21)))
    whole = fusion_fmi._mean_fmi(first, second)
    monkeypatch.setattr(fusion_fmi, '_CHUNK', 37)
    assert fusion_fmi._mean_fmi(first, second) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize('feature', ['edge', 'dct', 'wavelet', 'raw'])
def test_one_for_equal_pictures_and_less_for_noise(feature):
    picture, noise = RNG.integers(0, 256, (2, 24, 30)).astype(np.uint8)
    assert fmi(picture, picture, picture, feature) == 1.0
    mixed = fmi(picture, picture, noise, feature)
    assert 0.5 < mixed < 0.95
    assert fmi(picture, noise, picture, feature) == pytest.approx(mixed, abs=1e-12)


def test_published_switch_lowers_only_edge_free_windows():
    # No edge anywhere in `fused` and `visible`; an edge in `infrared`: the toolkit then no longer sees that the
    # other two are equal there.
    fused = np.full((9, 9), 80, np.uint8)
    infrared = fused.copy()
    infrared[:, 5:] = 200
    windows = fusion_fmi._windows(fusion_fmi.features(infrared.astype(float), 'edge'))
    hit = (windows.max(0) > 0).mean()
    assert 0 < hit < 1
    assert fmi(fused, infrared, fused, 'edge') == pytest.approx(0.5 * (1 - hit) + 0.5)
    assert fmi(fused, infrared, fused, 'edge', published=True) == pytest.approx(1 - hit)


def test_sobel_edges_of_a_step_are_one_pixel_wide():
    step = np.zeros((7, 12))
    step[:, 6:] = 100
    edges = fusion_fmi.sobel_edges(step)
    # Columns 5 and 6 have the same gradient; the right one wins, being strictly above its right neighbour.
    assert edges.sum(1).tolist() == [1] * 7
    assert edges[:, 6].all()
    assert not fusion_fmi.sobel_edges(np.full((5, 5), 9.0)).any()


def test_dmey_transform_equals_pywavelets():
    # Recorded from pywt.dwt2(x, 'dmey', mode='symmetric').
    bands = fusion_fmi.dmey_transform(np.arange(40.).reshape(5, 8)**1.5)
    assert bands.shape == (66, 68)
    recorded = {(10, 12): 30.10713547577985, (20, 50): -10.034168619225973, (50, 20): -0.7411861775305476,
                (40, 50): -0.04698473577323669}  # yapf: disable
    for place, value in recorded.items():
        assert bands[place] == pytest.approx(value, abs=1e-8)
    assert (bands**2).sum() == pytest.approx(68809159.65815304, rel=1e-9)


def test_dmey_transform_equals_the_installed_pywavelets():
    pywt = pytest.importorskip('pywt')
    image = RNG.random((37, 50)) * 255
    approximation, (horizontal, vertical, diagonal) = pywt.dwt2(image, 'dmey', mode='symmetric')
    wanted = np.block([[approximation, horizontal], [vertical, diagonal]])
    np.testing.assert_allclose(fusion_fmi.dmey_transform(image), wanted, atol=1e-7)


def test_wrong_requests_are_named():
    with pytest.raises(DataError, match='3x3'):
        fmi(*np.zeros((3, 2, 9), np.uint8))
    with pytest.raises(ConfigError, match='edge, dct, wavelet or raw'):
        fmi(*np.zeros((3, 9, 9), np.uint8), feature='gradient')
