"""Weather on demand on arrays: physics, severities, seeds, sizes, and the tables of the documentation."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from mmweather.commands.synth import WEATHERS as COMMAND_WEATHERS
from mmweather.errors import DataError
from mmweather.mini.scene import draw_scene
from mmweather.weather import SEVERITIES, WEATHERS, apply_weather
from mmweather.weather import apply as module
from mmweather.weather.apply import stand_in_depth
from mmweather.weather.drops import EMPHASIS, HEAVIEST, streak_cover, terminal_speed
from mmweather.weather.severity import describe, level_of
from mmweather.weather.true_colour import from_true_colour, to_true_colour

ROOT = Path(__file__).resolve().parents[2]
STREET = draw_scene(96, 144, np.random.default_rng(3))
DAY = np.round(np.clip(STREET.visible, 0, 1) * 255).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((one.astype(float) - other)**2))


# Severities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('depth', [None, STREET.depth], ids=['stand-in', 'depth'])
@pytest.mark.parametrize('weather', WEATHERS)
def test_each_severity_is_worse_than_the_one_before(weather, depth):
    for seed in range(3):
        values = [psnr(apply_weather(DAY, weather, severity, seed, depth), DAY) for severity in range(1, 6)]
        steps = -np.diff(values)
        assert (steps > 0.3).all(), values
        assert 5 < values[-1] < values[0] < 45, values


def test_there_are_five_levels_of_each_weather():
    assert {len(levels) for levels in SEVERITIES.values()} == {5}
    assert WEATHERS == COMMAND_WEATHERS == tuple(SEVERITIES)
    for severity in (0, 6, 2.5, True, '3'):
        with pytest.raises(ValueError, match='severity must be a whole number'):
            level_of('fog', severity)
    with pytest.raises(ValueError, match='weather must be one of fog'):
        apply_weather(DAY, 'hail', 1)
    with pytest.raises(ValueError, match='seed must not be negative'):
        apply_weather(DAY, 'fog', 1, -1)


def test_the_documentation_shows_the_levels_as_they_are():
    text = (ROOT / 'docs/weather.md').read_text(encoding='utf-8')
    shown = {match[1]: [float(cell) for cell in match[2].split('|')]
             for match in re.finditer(r'^\| `(\w+\.\w+)`[^|]*\|((?: [\d.]+ \|){4} [\d.]+) \|$', text, re.MULTILINE)}
    wanted = {f'{weather}.{name}': [describe(weather, severity)[name] for severity in range(1, 6)]
              for weather in WEATHERS for name in describe(weather, 1)}
    assert set(shown) == set(wanted)
    for name, values in wanted.items():
        assert shown[name] == pytest.approx(values, rel=0.01), name


# Physics ------------------------------------------------------------------------------------------------------


def test_fog_leaves_five_per_cent_of_the_contrast_at_the_visibility():
    halves = np.zeros((2, 8, 3))
    halves[1] = 1
    for severity, level in enumerate(SEVERITIES['fog'], 1):
        foggy = apply_weather(halves, 'fog', severity, depth=np.full((2, 8), level.visibility))
        assert foggy[1] - foggy[0] == pytest.approx(0.05, abs=1e-6)
    far = apply_weather(DAY, 'fog', 1, depth=np.full(DAY.shape[:2], np.inf))
    assert np.ptp(far) == 0 and 0.75 * 255 - 1 <= far[0, 0, 0] <= 0.9 * 255 + 1
    assert np.array_equal(apply_weather(DAY, 'fog', 5, depth=np.zeros(DAY.shape[:2])), DAY)


def test_streaks_hide_what_the_drop_sizes_say():
    """Mean cover against the integral of (pi / 4) D^2 over Marshall and Palmer's distribution and the distance."""
    diameters = np.linspace(1, 6, 2001)
    for level in (SEVERITIES['rain'][1], HEAVIEST):
        number = 8000 * np.exp(-level.slope * diameters)
        per_metre = (number * math.pi / 4 * (diameters / 1000)**2)[1:].sum() * (diameters[1] - diameters[0])
        cover = streak_cover(120, 160, level, np.random.default_rng(0))
        assert -np.log(1 - cover).mean() / EMPHASIS == pytest.approx(per_metre * (8 - 0.5), rel=0.1)


def test_drops_fall_as_fast_as_measured_and_draw_streaks_so_long():
    # Gunn and Kinzer (1949): 1 mm 4.03, 2 mm 6.49, 4 mm 8.83 m/s.
    assert terminal_speed(np.array([1.0, 2.0, 4.0])) == pytest.approx([4.03, 6.49, 8.83], rel=0.02)
    cover = streak_cover(256, 256, SEVERITIES['rain'][0], np.random.default_rng(1))
    # Streaks stand upright: neighbours above each other are more alike than neighbours beside each other.
    upright, level = np.diff(cover, axis=0).std(), np.diff(cover, axis=1).std()
    assert upright < 0.6 * level
    slanted = streak_cover(256, 256, SEVERITIES['rain'][0], np.random.default_rng(1), wind=30.0)
    assert np.diff(slanted, axis=0).std() > np.diff(slanted, axis=1).std()


def test_lighter_rain_is_a_part_of_heavier_and_walls_hide_drops():
    covers = [streak_cover(90, 120, level, np.random.default_rng(0)) for level in SEVERITIES['rain']]
    assert all((more >= less - 1e-6).all() for less, more in zip(covers, covers[1:], strict=False))
    near = np.full((90, 120), 100.0)
    near[:, :60] = 0.4
    hidden = streak_cover(90, 120, HEAVIEST, np.random.default_rng(0), depth=near)
    assert (hidden[:, :60] == 0).all() and np.array_equal(hidden[:, 60:], covers[-1][:, 60:])


def test_noise_at_night_is_that_of_the_photons():
    grey = np.full((200, 200, 3), 0.5)
    for severity in (2, 4):
        level = SEVERITIES['night'][severity - 1]
        light = apply_weather(grey, 'night', severity).astype(np.float64)**2.2 * 1000
        # Neighbours get nearly the same light; what differs is noise.
        noise = (np.diff(light, axis=1) / math.sqrt(2)).var()
        signal = level.electrons * 0.5**2.2
        assert light.mean() == pytest.approx(signal, rel=0.05)
        assert noise == pytest.approx(signal + 16, rel=0.1)


def test_dust_takes_the_blue_and_reddens_more_the_more_there_is():
    white = np.full((20, 20, 3), 230, np.uint8)
    for seed in range(4):
        ratios = []
        for severity in (1, 3, 5):
            red, green, blue = apply_weather(white, 'dust', severity, seed).reshape(-1, 3).mean(0)
            assert red > green > blue
            ratios.append(blue / red)
        assert ratios[0] > ratios[1] > ratios[2]


def test_cloud_covers_the_share_that_it_should():
    ground = np.full((128, 128, 3), 90, np.uint8)
    for severity, level in enumerate(SEVERITIES['cloud'], 1):
        brighter = apply_weather(ground, 'cloud', severity).astype(int).min(-1) > 90
        # Thin edges lie in shadow or change nothing.
        assert level.cover - 0.2 < brighter.mean() <= level.cover + 0.01
    picture = np.random.default_rng(0).random((4, 5, 3))
    assert to_true_colour(from_true_colour(picture)) == pytest.approx(picture, abs=1e-6)


def test_the_stand_in_depth_does_not_depend_on_the_size():
    for size in ((50, 50), (500, 500), (3000, 3000)):
        depth = stand_in_depth(*size)
        assert depth.max() == pytest.approx(40) and depth[0, 0] == pytest.approx(14.7, abs=0.5)
    assert stand_in_depth(1, 1) == pytest.approx(40)
    small, large = stand_in_depth(30, 40), stand_in_depth(300, 400)
    assert np.abs(large[5::10, 5::10] - small).max() < 1.5


# Seeds, sizes, kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize('weather', WEATHERS)
def test_the_seed_and_the_picture_decide_alone(weather):
    np.random.seed(0)
    first = apply_weather(DAY, weather, 3, 5)
    np.random.seed(1)
    before = DAY.copy()
    assert np.array_equal(apply_weather(DAY[:], weather, 3, 5), first)
    assert np.array_equal(DAY, before)
    assert not np.array_equal(apply_weather(DAY, weather, 3, 6), first)
    other = DAY.copy()
    other[0, 0, 0] ^= 1
    assert (apply_weather(other, weather, 3, 5)[1:] != first[1:]).any()
    turned = np.ascontiguousarray(DAY[::-1])[::-1]
    assert np.array_equal(apply_weather(turned, weather, 3, 5), first)


@pytest.mark.parametrize('weather', WEATHERS)
def test_floating_pictures_give_the_same_without_rounding(weather):
    whole = apply_weather(DAY, weather, 4, 1)
    for kind in (np.float32, np.float64):
        floating = apply_weather((DAY / 255).astype(kind), weather, 4, 1)
        assert floating.dtype == np.float32 and floating.min() >= 0 and floating.max() <= 1
        assert np.abs(floating * 255 - whole).max() < 0.51
    assert whole.dtype == np.uint8 and whole.shape == DAY.shape


@pytest.mark.parametrize('weather', WEATHERS)
@pytest.mark.parametrize('size', [(1, 1), (1, 9), (7, 1), (2, 3), (33, 17)])
def test_any_size_and_plain_pictures(weather, size):
    for value in (0, 128, 255):
        plain = np.full((*size, 3), value, np.uint8)
        for depth in (None, np.full(size, np.inf), np.zeros(size)):
            out = apply_weather(plain, weather, 5, depth=depth)
            assert out.shape == plain.shape and out.dtype == np.uint8


def test_a_picture_or_depth_that_cannot_be_used_is_said_in_one_line():
    for picture in (DAY[..., 0], DAY[..., :2], np.zeros((0, 4, 3), np.uint8), [[1]]):
        with pytest.raises(DataError, match=r'must be an array \(height, width, 3\)'):
            apply_weather(picture, 'fog', 1)
    with pytest.raises(DataError, match='uint8, or floating'):
        apply_weather(DAY.astype(np.int32), 'fog', 1)
    for picture in (DAY.astype(np.float32), np.full((3, 3, 3), np.nan)):
        with pytest.raises(DataError, match=r'must lie in \[0, 1\]'):
            apply_weather(picture, 'fog', 1)
    with pytest.raises(DataError, match='bring them to one size'):
        apply_weather(DAY, 'rain', 1, depth=np.ones((3, 3)))
    for value in (-1, np.nan):
        with pytest.raises(DataError, match='negative numbers or NaN'):
            apply_weather(DAY, 'fog', 1, depth=np.full(DAY.shape[:2], value))


def test_each_weather_has_a_function_of_its_own():
    for weather in WEATHERS:
        function = getattr(module, f'apply_{weather}')
        assert np.array_equal(function(DAY, 2, 3, STREET.depth), apply_weather(DAY, weather, 2, 3, STREET.depth))
