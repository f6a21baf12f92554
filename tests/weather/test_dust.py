"""Dusty air, depth pictures and Retinex against formulas written out here."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from mmweather.weather import dust

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (23, 31, 3), dtype=np.uint8)


@pytest.mark.parametrize('truncate', [False, True])
def test_add_dust_pixel_by_pixel(truncate):
    depth = RNG.random((23, 31))
    air = dust.DustAir(0.8, (0.9, 0.4, 0.05))
    out = dust.add_dust(PICTURE, depth, air, truncate=truncate)
    for row, column, channel in ((0, 0, 0), (22, 30, 2), (7, 11, 1)):
        t = np.exp(-0.8 * (depth[row, column] + 1))
        value = PICTURE[row, column, channel] * t + 255 * air.airlight[channel] * (1 - t)
        assert out[row, column, channel] == (int(value) if truncate else round(value))


def test_far_is_airlight_and_no_dust_is_the_scene():
    depth = np.zeros(PICTURE.shape[:2])
    assert np.array_equal(dust.add_dust(PICTURE, depth, dust.DustAir(0, (1, 0, 0))), PICTURE)
    out = dust.add_dust(PICTURE, depth + 1e4, dust.DustAir(1, (1.0, 0.4, 0.0)))
    assert (out == (255, 102, 0)).all()
    with pytest.raises(ValueError, match='one size'):
        dust.add_dust(PICTURE, depth[:-1], dust.DustAir(1, (1, 1, 1)))


@pytest.mark.parametrize('rng', [random.Random(1), np.random.default_rng(1)])
def test_drawn_air_has_its_ranges_and_share_of_haze(rng):
    airs = [dust.draw_dust_air(rng) for _ in range(400)]
    grey = [air for air in airs if len(set(air.airlight)) == 1]
    assert 0.2 < len(grey) / 400 < 0.4
    assert all(0.4 <= air.beta <= 1 for air in airs) and all(0.7 <= air.airlight[0] <= 0.8 for air in grey)
    sand = np.array([air.airlight for air in airs if air not in grey])
    assert (sand >= (0.7, 0.3, 0)).all() and (sand <= (1, 0.5, 0.1)).all()
    assert all(len(set(dust.draw_dust_air(rng, haze=0).airlight)) == 3 for _ in range(50))


def test_depth_codes():
    near = np.linspace(0, 255, 60).astype(np.uint8).reshape(6, 10)
    wanted = 1 - near / 255
    jet = cv2.cvtColor(cv2.applyColorMap(near, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    assert np.abs(dust.decode_depth(jet, 'jet') - wanted).max() < 1e-9
    assert np.abs(dust.decode_depth(near, 'gray') - wanted).max() < 1e-9
    assert np.abs(dust.decode_depth(np.repeat(near[..., None], 3, -1), 'gray') - wanted).max() < 1e-9
    packed = np.array([[[0, 0, 0], [0, 1, 0], [0, 2, 0]]], np.uint8)
    assert np.allclose(dust.decode_depth(packed, 'rgb24'), [[1, 0.5, 0]])
    # Read as packed numbers, the palette is not monotonous in depth.
    assert np.abs(dust.decode_depth(jet, 'rgb24') - wanted).max() > 0.3


@pytest.mark.parametrize('code', dust.DEPTH_CODES)
def test_constant_depth_is_zero(code):
    assert not dust.decode_depth(np.full((3, 4, 3), 7, np.uint8), code).any()


def test_unknown_depth_code():
    with pytest.raises(ValueError, match='gray, jet, rgb24'):
        dust.decode_depth(PICTURE, 'turbo')


def test_retinex_undoes_a_cast_and_spans_the_range():
    out = dust.retinex(PICTURE, 5)
    assert out.dtype == np.uint8 and out.shape == PICTURE.shape
    assert (out.min((0, 1)) == 0).all() and (out.max((0, 1)) >= 254).all()
    assert np.array_equal(dust.retinex(PICTURE[..., ::-1], 5), out[..., ::-1])
    assert not dust.retinex(np.full((4, 5, 3), 9, np.uint8)).any()
