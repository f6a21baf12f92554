"""Weather on demand: one call adds fog, rain, night, dust or cloud of a severity from 1 to 5 to any colour picture.

What a severity means is in :mod:`~mmweather.weather.severity`.  The result is a function of the picture, the depth,
the severity and the seed alone; file names, the order of pictures and the number of processes do not matter.
Severities of one seed share their random numbers, so that the picture gets worse from each to the next.

Without depth, :func:`stand_in_depth` takes the middle of the picture for far, as ``mmweather prepare voc-fog`` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from ..errors import DataError
from ..utils.arrays import to_uint8
from .cloud import RGB, Cloud, add_cloud, optical_depth, two_stream
from .drops import streak_cover
from .fog import centre_depth
from .night import GAMMA, to_display, to_linear
from .severity import CloudLevel, DustLevel, FogLevel, NightLevel, RainLevel, level_of
from .true_colour import from_true_colour, to_true_colour

MIDDLE = 40.0
"""Metres to the middle of a picture without depth."""
_WHITE = 1000.0
# Photoelectrons shown as white: a full well of 8000 at a gain of 18 dB.
_READ_NOISE = 4.0
_LAMP_REACH = 80.0
_DUST_ASYMMETRY = 0.7
# Single-scattering albedo (R, G, B) between which coarse dust varies; see docs/weather.md.
_PALE_DUST, _RED_DUST = np.array([0.975, 0.945, 0.89]), np.array([0.97, 0.90, 0.75])


def stand_in_depth(height: int, width: int) -> np.ndarray:
    """A depth for pictures without one: :func:`~mmweather.weather.fog.centre_depth` in metres, at any size.

    The formula is taken as for a longer side of 500 pixels and stretched to :data:`MIDDLE` metres in the middle; the
    corners of a square are at 15 m.

    Returns:
        float32 (height, width).
    """
    longer = max(height, width)
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows - height // 2, columns - width // 2) * (500 / longer)
    far = float(centre_depth(1, 500).max())
    return (np.maximum(far - 0.04 * distance, 0) * (MIDDLE / far)).astype(np.float32)


def apply_weather(image: np.ndarray, weather: str, severity: int, seed: int = 0,
                  depth: np.ndarray | None = None) -> np.ndarray:
    """Apply weather to a picture.

    Args:
        image: (H, W, 3) RGB of at least one pixel; uint8, or floating in [0, 1].
        weather: ``'fog'``, ``'rain'``, ``'night'``, ``'dust'`` or ``'cloud'``.  Cloud is for pictures from above.
        severity: 1 (light) to 5 (severe).
        seed: not negative.  Equal pictures get equal weather from equal seeds.
        depth: (H, W) in metres, not negative, may be infinite; None takes :func:`stand_in_depth`.  Cloud needs none.

    Returns:
        A new array (H, W, 3): uint8 for uint8, float32 in [0, 1] for floating.

    Raises:
        DataError: the picture or the depth cannot be used.
        ValueError: an unknown weather, severity or seed.
    """
    level = level_of(weather, severity)
    if seed < 0:
        raise ValueError(f'seed must not be negative, got {seed}')
    scene = _checked(image)
    if depth is None:
        metres = stand_in_depth(*scene.shape[:2])
    else:
        metres = np.asarray(depth, np.float32)
        if metres.shape != scene.shape[:2]:
            raise DataError(f'depth is {metres.shape}, the picture {scene.shape[:2]} (height, width): bring them to '
                            'one size')
        if not (metres >= 0).all():
            raise DataError('depth holds negative numbers or NaN; give metres')
    rng = generator_of(scene, weather, seed)
    result = np.clip(_LAY[weather](scene, level, rng, metres, depth is not None), 0, 1)
    return to_uint8(result) if image.dtype == np.uint8 else result.astype(np.float32)


def generator_of(image: np.ndarray, word: str, seed: int) -> np.random.Generator:
    """A generator that depends on a picture (rounded to 8 bits), a word and a seed alone.

    Args:
        image: as for :func:`apply_weather`; both kinds of one picture give one generator.
        word: what the numbers are for.
        seed: not negative.
    """
    whole = image if image.dtype == np.uint8 else to_uint8(image)
    digest = hashlib.blake2b(whole.tobytes(), digest_size=8, person=str(whole.shape[:2]).encode()[:16]).digest()
    return np.random.default_rng([seed, *word.encode(), *digest])


def apply_fog(image: np.ndarray, severity: int, seed: int = 0, depth: np.ndarray | None = None) -> np.ndarray:
    """:func:`apply_weather` with fog: scattering by a visibility, grey airlight in [0.75, 0.9] drawn from the seed."""
    return apply_weather(image, 'fog', severity, seed, depth)


def apply_rain(image: np.ndarray, severity: int, seed: int = 0, depth: np.ndarray | None = None) -> np.ndarray:
    """:func:`apply_weather` with rain: streaks of drops and the veil of far ones by a rain rate; wind from the seed."""
    return apply_weather(image, 'rain', severity, seed, depth)


def apply_night(image: np.ndarray, severity: int, seed: int = 0, depth: np.ndarray | None = None) -> np.ndarray:
    """:func:`apply_weather` with night: pools of lamplight and sensor noise by an illuminance; lamps from the seed."""
    return apply_weather(image, 'night', severity, seed, depth)


def apply_dust(image: np.ndarray, severity: int, seed: int = 0, depth: np.ndarray | None = None) -> np.ndarray:
    """:func:`apply_weather` with dust: scattering by a visibility, a cast by an optical depth; hue from the seed."""
    return apply_weather(image, 'dust', severity, seed, depth)


def apply_cloud(image: np.ndarray, severity: int, seed: int = 0, depth: np.ndarray | None = None) -> np.ndarray:
    """:func:`apply_weather` with cloud and its shadow over a picture from above; ``depth`` does not matter."""
    return apply_weather(image, 'cloud', severity, seed, depth)


def _checked(image: np.ndarray) -> np.ndarray:
    """float32 in [0, 1]."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f'a picture must be an array (height, width, 3), got {getattr(image, "shape", type(image))}; '
                        'repeat a grey channel three times')
    if image.dtype == np.uint8:
        return image.astype(np.float32) / 255
    if not np.issubdtype(image.dtype, np.floating):
        raise DataError(f'a picture must be uint8, or floating in [0, 1], got {image.dtype}')
    low, high = float(image.min()), float(image.max())
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise DataError(f'a floating picture must lie in [0, 1], got {low:.3g}..{high:.3g}; divide by 255?')
    return np.clip(image, 0, 1).astype(np.float32)


def _scatter(scene: np.ndarray, depth: np.ndarray, extinction: float, air: np.ndarray | float) -> np.ndarray:
    passed = np.exp(-np.float32(extinction) * depth)[..., None]
    return scene * passed + np.asarray(air, np.float32) * (1 - passed)


def _fog(scene: np.ndarray, level: FogLevel, rng: np.random.Generator, depth: np.ndarray, known: bool) -> np.ndarray:
    # On display values, as the published sets do.
    return _scatter(scene, depth, level.extinction, float(rng.uniform(0.75, 0.9)))


def _rain(scene: np.ndarray, level: RainLevel, rng: np.random.Generator, depth: np.ndarray, known: bool) -> np.ndarray:
    wind = float(rng.normal(0, 1.5))
    covered = streak_cover(*scene.shape[:2], level, rng, wind, depth)[..., None]
    light = to_linear(scene)
    pixels = light.reshape(-1, 3)
    pixels = pixels[::max(1, len(pixels) // 50_000)]  # enough to know the light by
    # A drop gathers light from 165 degrees, most of it from the sky, which is among the brightest things in sight.
    glow = 0.4 * pixels.mean(0) + 0.6 * np.quantile(pixels, 0.95, axis=0)
    glow = (0.4 * glow + 0.6 * glow.mean()).astype(np.float32)
    veiled = _scatter(light, depth, level.extinction, glow)
    return to_display(veiled * (1 - covered) + glow * covered)


def _night(scene: np.ndarray, level: NightLevel, rng: np.random.Generator, depth: np.ndarray,
           known: bool) -> np.ndarray:
    height, width = scene.shape[:2]
    y, x = np.ogrid[:height, :width]
    y, x = ((y + 0.5) / height).astype(np.float32), ((x + 0.5) / width).astype(np.float32)
    light = np.full(scene.shape, 0.25, np.float32) * np.array([0.75, 0.9, 1.25], np.float32)
    for sodium, right, down, reach, strength in rng.random((4, 5)):
        colour = np.array([1.0, 0.66, 0.3] if sodium < 0.5 else [1.0, 0.93, 0.82], np.float32)
        size = 0.15 + 0.2 * reach
        # Wider than high: a lamp lights the ground below it.
        pool = 1 / (1 + ((x - right) / size)**2 + ((y - 0.3 - 0.6 * down) / (0.7 * size))**2)
        light += np.float32(0.5 + strength) * pool[..., None] * colour
    light /= light.mean()
    if known:
        light = light / (1 + np.square(depth / _LAMP_REACH))[..., None]
    electrons = np.float32(level.electrons) * to_linear(scene) * light
    # Photons arrive by Poisson's law, here by its normal approximation; reading out adds noise of its own.
    sigma = np.sqrt(electrons + np.float32(_READ_NOISE**2))
    return to_display((electrons + sigma * rng.standard_normal(scene.shape, np.float32)) / np.float32(_WHITE))


def _dust(scene: np.ndarray, level: DustLevel, rng: np.random.Generator, depth: np.ndarray, known: bool) -> np.ndarray:
    red, bright = rng.random(2)
    absorbed = 1 - (_PALE_DUST * (1 - red) + _RED_DUST * red)
    # Light that the dust overhead lets through, and what an endless layer of dust throws back: as display values of a
    # camera whose exposure follows the brightest channel.
    through = two_stream(np.array(level.optical_depth), absorbed, _DUST_ASYMMETRY)[1]**(1 / GAMMA)
    back = two_stream(np.array(1e3), absorbed, _DUST_ASYMMETRY)[0]**(1 / GAMMA)
    lit = scene * (through / through.max()).astype(np.float32)
    return _scatter(lit, depth, level.extinction, back / back.max() * (0.72 + 0.16 * bright))


def _cloud(scene: np.ndarray, level: CloudLevel, rng: np.random.Generator, depth: np.ndarray,
           known: bool) -> np.ndarray:
    cloud = Cloud(cover=level.cover, optical_depth=level.optical_depth, height=float(rng.uniform(0.4, 1.6)),
                  contrast=float(rng.uniform(0.6, 1.0)), sun_zenith=float(rng.uniform(22, 55)),
                  sun_azimuth=float(rng.uniform(110, 200)))
    thickness = optical_depth(scene.shape[:2], rng, cloud)
    return to_true_colour(add_cloud(from_true_colour(scene), thickness, cloud, RGB)[0])


_LAY: dict[str, Callable[..., np.ndarray]] = {
    'fog': _fog, 'rain': _rain, 'night': _night, 'dust': _dust, 'cloud': _cloud}
