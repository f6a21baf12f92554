"""Colour difference, colour cast and NIQE: published pairs, plain loops, mmagic itself, and pictures that have none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmweather.errors import ConfigError, DataError
from mmweather.evaluation.functional.colour import cast_factor, ciede2000, colour_cast
from mmweather.evaluation.metrics import RestorationMetrics
from mmweather.evaluation.no_reference import NoReferenceMetrics, niqe
from mmweather.registry import METRICS


def street(height=200, width=220, seed=0):
    """Smooth structure with detail, natural enough for NIQE."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.fft2(rng.standard_normal((height, width, 3)), axes=(0, 1))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]) + 1 / height
    picture = np.fft.ifft2(spectrum / radius[..., None], axes=(0, 1)).real
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return np.rint(picture * 255).astype(np.uint8)


def flat(colour, size=24):
    return np.full((size, size, 3), colour, np.uint8)


def test_ciede2000_of_grey_levels_is_a_difference_of_lightness():
    assert ciede2000(street(), street()) == 0
    first, second = flat((120, 120, 120)), flat((124, 124, 124))
    y1, y2 = (((v / 255 + 0.055) / 1.055)**2.4 for v in (120, 124))
    l1, l2 = (116 * y**(1 / 3) - 16 for y in (y1, y2))
    middle = ((l1 + l2) / 2 - 50)**2
    wanted = (l2 - l1) / (1 + 0.015 * middle / math.sqrt(20 + middle))
    assert ciede2000(first, second) == pytest.approx(wanted, rel=1e-3)


def test_the_formula_is_that_of_the_published_pairs():
    """Rows 1, 5, 9 and 34 of Table 1 of Sharma, Wu and Dalal (2005), by the library that we call."""
    from skimage.color import deltaE_ciede2000
    for first, second, wanted in (((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
                                  ((50, -1.1848, -84.8006), (50, 0, -82.7485), 1.0000),
                                  ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
                                  ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082)):
        assert deltaE_ciede2000(np.array(first), np.array(second)) == pytest.approx(wanted, abs=1e-4)


def test_ciede2000_refuses_what_does_not_fit():
    with pytest.raises(DataError, match='must be equal'):
        ciede2000(flat(0), flat(0, 25))
    with pytest.raises(DataError, match='channel'):
        ciede2000(flat(0)[..., 0], flat(0))


def test_a_cast_is_seen_and_grey_has_none():
    assert colour_cast(flat((90, 90, 90))) == pytest.approx(0, abs=1e-2)
    # sRGB red in CIELAB: a* 80.09, b* 67.20.
    assert colour_cast(flat((255, 0, 0))) == pytest.approx(math.hypot(80.09, 67.20), abs=0.05)
    picture = street().astype(float)
    tinted = [colour_cast(picture * (1 - k) + np.array([200, 140, 60]) * k) for k in (0, 0.3, 0.6)]
    assert tinted == sorted(tinted) and tinted[2] > 1.5 * tinted[1] > 3 * tinted[0]


def test_the_cast_factor_counts_what_is_shared():
    halves = np.concatenate([flat((200, 60, 60)), flat((60, 200, 60))], 1)
    tinted = street() * 0.2 + np.array([160, 110, 50])
    assert cast_factor(tinted) > 3 * cast_factor(halves)
    from skimage.color import rgb2lab
    lab = rgb2lab(street(20, 24) / 255.0)
    means = [lab[..., c].mean() for c in (1, 2)]
    spreads = [np.mean([abs(v - mean) for v in lab[..., c].ravel()]) for c, mean in zip((1, 2), means, strict=True)]
    assert cast_factor(street(20, 24)) == pytest.approx(math.hypot(*means) / math.hypot(*spreads))
    assert math.isnan(cast_factor(flat((10, 200, 30))))


def test_niqe_is_mmagics_and_prefers_the_clean_picture():
    pytest.importorskip('mmagic')
    from mmagic.evaluation.metrics.niqe import niqe as by_mmagic
    picture = street()
    assert niqe(picture) == pytest.approx(float(by_mmagic(picture[..., ::-1], 0, convert_to='y')), rel=2e-2)
    noise = np.random.default_rng(1).normal(0, 60, picture.shape)
    assert niqe(np.clip(picture + noise, 0, 255)) > niqe(picture)


@pytest.mark.parametrize('picture', [street(1, 1), street(95, 500), street(100, 190), flat((9, 9, 9), 200)],
                         ids=['1x1', '95x500', '100x190', 'flat'])
def test_niqe_of_pictures_that_have_none(picture):
    pytest.importorskip('mmagic')
    assert math.isnan(niqe(picture))


def sample(pred, given, **more):
    chw = {key: torch.from_numpy(np.ascontiguousarray(value.transpose(2, 0, 1)))
           for key, value in dict(input=given, **more).items()}
    return {'sample_key': 'a', 'output': {'pred_img': torch.from_numpy(pred.transpose(2, 0, 1).copy())}, **chw}


def test_in_the_evaluator():
    metric = METRICS.build(dict(type='mmweather.NoReferenceMetrics', metrics=('colour_cast', 'cast_factor')))
    red, grey = flat((220, 120, 60)), flat((120, 120, 120))
    metric.process(None, [sample(grey, red), sample(red, red)])
    result = metric.compute_metrics(metric.results)
    assert result['colour_cast'] == pytest.approx((colour_cast(red) + colour_cast(grey)) / 2)
    assert result['colour_cast_input'] == pytest.approx(colour_cast(red))
    assert math.isnan(result['cast_factor']) and result['cast_factor_skipped'] == 2
    assert 'no reference' in metric.protocol and 'cast_factor' in metric.protocol
    with pytest.raises(ConfigError, match='brisque'):
        NoReferenceMetrics(metrics='brisque')


def test_ciede2000_beside_psnr():
    metric = RestorationMetrics(metrics=('psnr_rgb', 'ciede2000'), compare_input=True)
    red, grey = flat((220, 120, 60)), flat((120, 120, 120))
    metric.process(None, [sample(grey, red, gt_img=grey)])
    result = metric.compute_metrics(metric.results)
    assert result['ciede2000'] == 0 and result['ciede2000_input'] == pytest.approx(ciede2000(red, grey))
    assert 'ciede2000' not in RestorationMetrics().metrics
