"""The cloud layer keeps the laws of light, and the drawn satellite world looks to the detector like the real one."""

from __future__ import annotations

import numpy as np
import pytest

from mmweather.datasets.transforms.sentinel import cloud_shadow_mask
from mmweather.evaluation.functional.bands import psnr
from mmweather.mini.satellite import SURFACES, as_sensed, draw_tile
from mmweather.mini.sets.satellite import cloudy_picture, cloudy_triplet
from mmweather.weather.cloud import WAVELENGTHS, Cloud, add_cloud, optical_depth, shadow_offset, two_stream

SHAPE = (64, 80)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_two_stream_conserves_energy_and_has_its_limits():
    depth = np.array([0, 0.1, 1, 10, 1000])
    reflected, passed = two_stream(depth, 0)
    np.testing.assert_allclose(reflected[0], 0, atol=1e-9)
    np.testing.assert_allclose(passed[0], 1, atol=1e-9)
    assert (np.diff(reflected) > 0).all() and (np.diff(passed) < 0).all()
    # Nothing is lost without absorption; the textbook's T = 1 / (1 + sqrt(3)/2 (1 - g) tau).
    np.testing.assert_allclose((reflected + passed)[:4], 1, atol=2e-3)
    np.testing.assert_allclose(passed[3], 1 / (1 + np.sqrt(3) / 2 * 0.15 * 10), rtol=5e-3)
    lossy = two_stream(depth[1:], 0.05)
    assert (lossy[0] + lossy[1] < 1).all() and lossy[0][-1] < 0.6 and lossy[1][-1] < 1e-6


def test_the_field_has_the_cover_and_depth_asked_for_and_its_seed():
    cloud = Cloud(cover=0.3, optical_depth=12)
    depth = optical_depth((128, 128), rng(0), cloud)
    assert depth.dtype == np.float32 and depth.min() == 0
    assert (depth > 0).mean() == pytest.approx(0.3, abs=0.01)
    assert depth[depth > 0].mean() == pytest.approx(12, rel=1e-3)
    np.testing.assert_array_equal(depth, optical_depth((128, 128), rng(0), cloud))
    assert np.abs(depth - optical_depth((128, 128), rng(1), cloud)).max() > 1
    # Neighbours differ little: a cloud, not noise.
    assert np.abs(np.diff(depth, axis=0)).mean() < 0.2 * depth.std()
    assert optical_depth((32, 32), rng(2), Cloud(cover=1.0, contrast=0)).min() >= 0


def test_no_cloud_changes_nothing_and_a_thick_one_hides_the_ground():
    clear = rng(3).uniform(0.02, 0.4, (*SHAPE, 13)).astype(np.float32)
    image, labels = add_cloud(clear, np.zeros(SHAPE, np.float32), Cloud(height=0))
    np.testing.assert_allclose(image, clear, atol=1e-5)
    assert not labels.any()
    image, labels = add_cloud(clear, np.full(SHAPE, 300, np.float32), Cloud(height=1))
    assert (labels == 1).all() and image[..., 1].std() < 0.01 < 0.8 < image[..., 1].mean()
    # Droplets absorb in the shortwave infrared, and vapour above a low cloud hides it from B10.
    assert image[..., 12].mean() < image[..., 11].mean() < image[..., 7].mean() and image[..., 10].max() < 0.05


def test_cirrus_shows_in_b10_and_low_cloud_does_not():
    tile = draw_tile(64, 64, rng(4)).optical
    depth = np.full((64, 64), 1.0, np.float32)
    low, high = (add_cloud(tile, depth, Cloud(height=height))[0][..., 10].mean() for height in (1, 10))
    assert low < 0.004 and high > 0.03


def test_the_shadow_lies_away_from_the_sun():
    clear = np.full((60, 60, 3), 0.2, np.float32)
    depth = np.zeros((60, 60), np.float32)
    depth[28:32, 28:32] = 30
    # Sun in the upper right at 45 degrees: 100 m of height are 10 pixels, down and to the left.
    cloud = Cloud(height=0.1, sun_zenith=45, sun_azimuth=45)
    assert shadow_offset(cloud) == (7, -7)
    image, labels = add_cloud(clear, depth, cloud, bands=(3, 2, 1))
    assert (labels[28:32, 28:32] == 1).all() and (labels[36:38, 22:24] == -1).all()
    assert (labels == 0).sum() == 3600 - 16 - 16
    dark = image[36, 22] / 0.2
    assert (dark < 0.75).all() and dark[2] > dark[0], 'skylight is blue and fills the shadow'


@pytest.mark.parametrize('wrong', [dict(cover=0), dict(cover=1.1), dict(optical_depth=-1), dict(sun_zenith=80),
                                   dict(height=float('nan'))])
def test_impossible_clouds_are_refused(wrong):
    with pytest.raises(ValueError, match='must lie in'):
        Cloud(**wrong)


def test_wrong_shapes_and_kinds_are_refused():
    with pytest.raises(ValueError, match='13'):
        add_cloud(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.float32), Cloud())
    with pytest.raises(ValueError, match='depth'):
        add_cloud(np.zeros((8, 8, 13), np.float32), np.zeros((8, 9), np.float32), Cloud())
    with pytest.raises(ValueError, match='kind'):
        Cloud.draw(rng(0), 'fluffy')
    with pytest.raises(ValueError, match='32x32'):
        draw_tile(31, 40, rng(0))


def test_a_tile_looks_like_land_in_every_sensor():
    tiles = [draw_tile(96, 96, rng(i), region=i) for i in range(6)]
    optical = np.concatenate([tile.optical.reshape(-1, 13) for tile in tiles])
    radar = np.concatenate([tile.radar.reshape(-1, 2) for tile in tiles])
    labels = np.concatenate([tile.labels.ravel() for tile in tiles])
    assert optical.shape[1] == len(WAVELENGTHS) and set(np.unique(labels)) == set(range(len(SURFACES)))
    crop, water = (labels == SURFACES.index(name) for name in ('crop', 'water'))
    assert (optical[crop][:, 7] > 2.5 * optical[crop][:, 3]).mean() > 0.95, 'plants are bright in near infrared'
    assert optical[water][:, 11].mean() < 0.03 and radar[water][:, 0].mean() < radar[crop][:, 0].mean() - 6
    assert (radar[:, 0].mean() > radar[:, 1].mean() + 4) and -16 < radar[:, 0].mean() < -7
    # Speckle: the scatter of the power within one field is that of 4.4 looks.
    power = 10**(radar[labels == SURFACES.index('road')][:, 0] / 10)
    assert 0.3 < power.std() / power.mean() < 0.7


def test_coarse_bands_are_repeated_and_counts_are_whole():
    numbers = as_sensed(draw_tile(64, 64, rng(5)).optical, rng(6))
    assert numbers.dtype == np.uint16
    assert (numbers[::2, ::2, 4] == numbers[1::2, 1::2, 4]).all()
    assert not (numbers[::2, :, 1] == numbers[1::2, :, 1]).all()


def test_the_detector_sees_drawn_clouds_as_it_sees_real_ones():
    hit, missed, false = 0, 0, 0
    for seed in range(4):
        tile = draw_tile(128, 128, rng(seed, 1), region=seed)
        cloud = Cloud.draw(rng(seed, 2), 'thick')
        image, labels = add_cloud(tile.optical, optical_depth((128, 128), rng(seed, 3), cloud), cloud)
        found = cloud_shadow_mask(as_sensed(image, rng(seed, 4))) == 1
        hit, missed = hit + (found & (labels == 1)).sum(), missed + (~found & (labels == 1)).sum()
        false += (found & (labels != 1)).sum()
    # It misses ragged edges and takes some bright roofs for clouds.
    assert hit > 6 * missed and hit > 3 * false


def test_the_mini_sets_are_hard_for_doing_nothing():
    thin, thick, bands = [], [], []
    for index in range(4):
        for name, scores in (('rice1', thin), ('rice2', thick)):
            picture = cloudy_picture(0, name, index)
            scores.append(psnr(picture['cloud'] / 255, picture['label'] / 255))
        triplet = cloudy_triplet(0, 'ROIs1970_fall_139', index)
        assert triplet['s1'].dtype == np.float32 and triplet['s2'].dtype == np.uint16
        bands.append(psnr(triplet['s2_cloudy'].clip(0, 10000) / 1e4, triplet['s2'].clip(0, 10000) / 1e4))
        assert set(np.unique(picture['mask'])) <= {0, 128, 255} and (picture['mask'] > 0).mean() > 0.2
    assert np.mean(thick) < 14 and np.mean(thin) < 20 and np.mean(bands) < 22
    assert np.mean(thick) < np.mean(thin) - 2
