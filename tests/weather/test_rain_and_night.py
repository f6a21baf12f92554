"""Rain and night: reproducible, in range, and with the properties that the models claim."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmweather.weather.night import halo, point_lights, relight, sensor_noise
from mmweather.weather.noise import fractal, sample_periodic
from mmweather.weather.rain import Rain, add_rain, rain_streaks


@pytest.fixture
def image() -> np.ndarray:
    texture = 0.4 + 0.1 * fractal((96, 128), np.random.default_rng(0), 1.0)[..., None]
    return np.clip(np.repeat(texture, 3, axis=2), 0, 1).astype(np.float32)


def test_equal_generators_give_equal_rain_and_others_do_not(image):
    one, two, other = (add_rain(image, np.random.default_rng(seed))[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).mean() > 1e-3


def test_rain_is_in_range_and_brightens_a_dim_picture(image):
    rainy, covered = add_rain(image, np.random.default_rng(0), Rain(veil=0))
    assert rainy.dtype == np.float32 and rainy.shape == image.shape and rainy.min() >= 0 and rainy.max() <= 1
    assert covered.shape == image.shape[:2] and covered.min() >= 0 and covered.max() <= Rain().opacity + 1e-6
    assert rainy.mean() > image.mean()
    np.testing.assert_allclose(rainy[covered == 0], image[covered == 0], atol=1e-6)
    # Where the picture is brighter than the light of the drops, a streak darkens it.
    bright = np.where(np.arange(128)[None, :, None] < 3, 1.0, 0.2).astype(np.float32) * np.ones((96, 1, 3), np.float32)
    rainy, covered = add_rain(bright, np.random.default_rng(0), Rain(density=40, veil=0))
    assert (covered[:, :3] > 0.05).any() and rainy[:, :3].max() <= 1 and rainy[:, :3].min() < 0.95


def test_density_and_opacity_rule_the_cover():
    cover = [rain_streaks(96, 128, Rain(density=density), np.random.default_rng(0)).mean() for density in (2, 6, 18)]
    assert cover[0] * 1.5 < cover[1] and cover[1] * 1.5 < cover[2]
    assert rain_streaks(96, 128, Rain(density=0), np.random.default_rng(0)).max() == 0


@pytest.mark.parametrize('angle', [-30, 0, 30])
def test_streaks_lean_as_told(angle):
    covered = rain_streaks(160, 160, Rain(angle=angle, spread=0.1, density=4, length=0.25), np.random.default_rng(1))
    down, right = np.gradient(cv2.GaussianBlur(covered, (0, 0), 2.0))
    # The structure tensor's weak direction lies along the streaks.
    tensor = np.array([[np.mean(right * right), np.mean(right * down)], [np.mean(right * down), np.mean(down * down)]])
    x, y = np.linalg.eigh(tensor)[1][:, 0]
    lean = np.rad2deg(np.arctan2(-x, y))
    assert abs((lean - angle + 90) % 180 - 90) < 4


def test_the_veil_grows_with_distance():
    dark = np.full((64, 64, 3), 0.2, np.float32)
    dark[:4] = 0.9
    depth = np.full((64, 64), 5.0, np.float32)
    depth[:, 32:] = 150
    rainy, _ = add_rain(dark, np.random.default_rng(0), Rain(density=0, veil=0.005), depth)
    near, far = rainy[10:, :28].mean(), rainy[10:, 36:].mean()
    assert 0.2 < near < 0.23 and far > near + 0.1


@pytest.mark.parametrize('wrong', [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8)), np.full((8, 8, 3), 200.0)])
def test_wrong_pictures_are_refused(wrong):
    for call in (add_rain, relight):
        with pytest.raises(ValueError, match='picture must'):
            call(wrong, np.random.default_rng(0))


def test_wrong_depth_is_refused(image):
    for call in (add_rain, relight):
        with pytest.raises(ValueError, match='depth'):
            call(image, np.random.default_rng(0), depth=np.ones((4, 4)))


def test_night_is_dark_but_has_lamps(image):
    night = relight(image, np.random.default_rng(0), lamps=2, noise=0.0)
    assert night.dtype == np.float32 and np.median(night) < 0.75 * np.median(image) and night.max() > 0.95
    without = relight(image, np.random.default_rng(0), lamps=0, noise=0.0)
    assert without.max() < image.max() and without.mean() < night.mean()
    assert without[..., 2].mean() > without[..., 0].mean()  # what is left of the light is bluish
    np.testing.assert_array_equal(night, relight(image, np.random.default_rng(0), lamps=2, noise=0.0))


def test_lamp_light_falls_with_the_squared_distance():
    place = np.zeros((1, 2, 3), np.float32)
    place[0, :, 2] = (3, 7)
    light = point_lights(place, [((0, 0, 0), (1, 2, 4))])
    np.testing.assert_allclose(light[0], [[1 / 10, 2 / 10, 4 / 10], [1 / 50, 2 / 50, 4 / 50]], rtol=1e-6)
    assert point_lights(place, []).max() == 0


def test_halo_spreads_and_is_linear():
    source = np.zeros((65, 65, 3), np.float32)
    source[32, 32] = 1
    glow = halo(source)
    assert glow[32, 32, 0] > glow[32, 36, 0] > glow[32, 48, 0] > 0
    np.testing.assert_allclose(halo(2 * source), 2 * glow, rtol=1e-5)


def test_sensor_noise_grows_with_the_signal():
    rng = np.random.default_rng(0)
    dark, bright = (sensor_noise(np.full((64, 64, 3), level, np.float32), rng, shot=0.05, read=0.01).std()
                    for level in (0.2, 0.8))
    assert 0.01 < dark < bright < 0.1


def test_fractal_is_periodic_and_normalised():
    field = fractal((32, 48), np.random.default_rng(0), 1.5)
    assert abs(field.mean()) < 1e-4 and abs(field.std() - 1) < 1e-3
    x, y = np.meshgrid(np.linspace(0, 47, 20), np.linspace(0, 31, 20))
    np.testing.assert_allclose(sample_periodic(field, x + 96, y - 64), sample_periodic(field, x, y), atol=1e-4)
