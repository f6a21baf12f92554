"""Levels, crops and camera defects of single pictures, and the wide air of sand storms."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from mmweather.datasets.transforms.dust import AddDust, LoadCleanAndDepth
from mmweather.datasets.transforms.photo import DegradePhoto, PairedRandomResizedCrop, StretchLevels
from mmweather.errors import ConfigError
from mmweather.utils.images import write_image
from mmweather.utils.seeding import seeded
from mmweather.weather.dust import DustAir, DustRanges, add_dust, decode_depth, draw_wide_air

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(60, 160, (40, 56, 3), np.uint8)


def test_wide_air_stays_inside_its_ranges_and_reaches_very_orange_and_grey():
    ranges = DustRanges()
    rng = np.random.default_rng(1)
    airs = [draw_wide_air(rng, ranges) for _ in range(2000)]
    hsv = np.array([colorsys.rgb_to_hsv(*air.airlight) for air in airs])
    grey = hsv[:, 1] <= ranges.haze_saturation[1]
    assert 0.15 < grey.mean() < 0.27
    hue = hsv[~grey, 0] * 360
    assert hue.min() >= ranges.hue[0] - 1e-6 and hue.max() <= ranges.hue[1] + 1e-6
    assert hsv[~grey & (hsv[:, 0] * 360 > 45), 1].max() <= 0.75 * ranges.saturation[1] + 1e-6
    assert (hsv[:, 1] > 0.9).mean() > 0.05, 'no very orange air'
    assert all(ranges.beta[0] <= air.beta <= ranges.beta[1] for air in airs)
    assert all(ranges.nearest[0] <= air.nearest <= ranges.nearest[1] for air in airs)
    assert all(0.06 <= min(air.light) <= max(air.light) <= 1 for air in airs)
    # Coloured light has the hue of the air.
    coloured = [air for air in airs if min(air.light) < 0.9 and min(air.airlight) < 0.5 * max(air.airlight)]
    assert len(coloured) > 500
    assert all(np.argsort(air.light).tolist() == np.argsort(air.airlight).tolist() for air in coloured)


def test_coloured_light_and_the_nearest_point_enter_the_formula():
    air = DustAir(0.7, (0.9, 0.5, 0.1), light=(1.0, 0.8, 0.4), nearest=0.2)
    depth = RNG.random(PICTURE.shape[:2])
    transmission = np.exp(-0.7 * (depth + 0.2))[..., None]
    wanted = (PICTURE / 255 * np.array(air.light) * transmission + np.array(air.airlight) * (1 - transmission)) * 255
    assert np.array_equal(add_dust(PICTURE, depth, air, nearest=9.0), np.rint(wanted).astype(np.uint8))


def test_add_dust_draws_wide_air_by_seed_and_published_air_without():
    sample = {'gt': PICTURE, 'depth': np.ones(PICTURE.shape[:2], np.float32)}

    def drawn(transform, seed: int) -> np.ndarray:
        with seeded(seed):
            return transform.transform(dict(sample))['img']

    wide, published = AddDust(wide=True), AddDust()
    assert np.array_equal(drawn(wide, 3), drawn(AddDust(wide=dict(haze=0.2)), 3))
    assert not np.array_equal(drawn(wide, 3), drawn(wide, 4))
    assert not np.array_equal(drawn(wide, 3), drawn(published, 3))
    blue = [drawn(AddDust(wide=dict(haze=0.0, saturation=(1, 1), filtering=(1, 1), value=(1, 1))), seed)[..., 2].mean()
            for seed in range(20)]
    assert min(blue) < 20, 'very orange air leaves no blue'


@pytest.mark.parametrize('wide', [dict(beta=(2, 1)), dict(hue=(0, 400)), dict(haze=2), dict(colour=1), dict(beta=1)])
def test_impossible_air(wide):
    with pytest.raises(ConfigError, match='AddDust: wide'):
        AddDust(wide=wide)


def test_depth_as_distance_is_bright_far_and_of_any_size(tmp_path):
    assert decode_depth(np.array([[0, 100], [200, 50]], np.uint8), 'distance').tolist() == [[0, 0.5], [1, 0.25]]
    write_image(tmp_path / 'clear.png', PICTURE)
    write_image(tmp_path / 'depth.png', np.repeat(np.arange(200, 0, -20, dtype=np.uint8)[:, None], 14, 1))
    sample = {'gt_path': str(tmp_path / 'clear.png'), 'depth_path': str(tmp_path / 'depth.png')}
    loaded = LoadCleanAndDepth(code='distance', resize_depth=True).transform(dict(sample))
    assert loaded['depth'].shape == PICTURE.shape[:2]
    assert loaded['depth'][0].min() == 1 and loaded['depth'][-1].max() == 0
    with pytest.raises(Exception, match='resize_depth'):
        LoadCleanAndDepth(code='distance').transform(dict(sample))


def test_levels_are_stretched_lifted_and_keep_the_hue():
    ramp = np.repeat(np.linspace(80, 180, 101).round().astype(np.uint8)[:, None, None], 3, 2).repeat(8, 1)
    plain = StretchLevels(tail=0).transform({'gt': ramp})['gt']
    assert plain.min() == 0 and plain.max() == 255 and abs(int(plain[50, 0, 0]) - 128) <= 1
    lifted = StretchLevels(tail=0, black=20, gamma=0.5).transform({'gt': ramp})['gt']
    assert abs(lifted.min() - 255 * (20 / 255)**0.5) < 1 and lifted.max() == 255 and lifted[50, 0, 0] > plain[50, 0, 0]
    tinted = np.stack([ramp[..., 0], ramp[..., 0] // 2 + 40, ramp[..., 0] // 2 + 40], -1)
    vivid, dull = (StretchLevels(tail=0, saturation=factor).transform({'gt': tinted})['gt'].astype(int)
                   for factor in (1.0, 0.0))
    assert np.ptp(dull, axis=-1).max() == 0 and np.ptp(vivid, axis=-1).max() > 50
    flat = StretchLevels(most=3).transform({'gt': np.full((4, 4, 3), 100, np.uint8)})['gt']
    assert np.ptp(flat) == 0


def test_a_resized_crop_moves_picture_and_depth_together():
    rows = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[:, None], 200, 1)
    sample = {'gt': np.stack([rows] * 3, -1), 'depth': rows.astype(np.float32) / 255}
    for seed in range(5):
        with seeded(seed):
            out = PairedRandomResizedCrop(('gt', 'depth'), size=32, scale=(0.3, 1)).transform(dict(sample))
        assert out['gt'].shape == (32, 32, 3) and out['depth'].shape == (32, 32)
        assert np.abs(out['gt'][..., 0] / 255 - out['depth']).max() < 0.01
    with pytest.raises(ConfigError, match='of one size'):
        PairedRandomResizedCrop(('gt', 'depth')).transform({'gt': PICTURE, 'depth': np.zeros((3, 3), np.float32)})


def test_camera_defects_by_seed_and_each_alone():
    def out(seed: int = 0, **options: object) -> np.ndarray:
        quiet = dict(exposure=(0, 0), gamma=(1, 1), saturation=(1, 1), noise_prob=0, jpeg_prob=0)
        with seeded(seed):
            return DegradePhoto(**{**quiet, **options}).transform({'img': PICTURE})['img']

    assert np.array_equal(out(), PICTURE)
    assert np.abs(out(exposure=(-1, -1)) - PICTURE / 2).max() <= 0.5
    noise = out(noise=(5, 5), noise_prob=1).astype(float) - PICTURE
    assert 4 < noise.std() < 6 and abs(noise.mean()) < 0.5
    pressed = [np.abs(out(quality=(q, q), jpeg_prob=1).astype(int) - PICTURE).mean() for q in (10, 95)]
    assert pressed[0] > pressed[1] > 0
    assert not np.array_equal(out(1, exposure=(-1, 1)), out(2, exposure=(-1, 1)))
    assert np.array_equal(out(1, exposure=(-1, 1)), out(1, exposure=(-1, 1)))
    with pytest.raises(ConfigError, match='quality'):
        DegradePhoto(quality=(0, 200))
    with pytest.raises(ConfigError, match='uint8'):
        DegradePhoto().transform({'img': PICTURE / 255.0})
