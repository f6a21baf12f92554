"""Streaks of single raindrops in front of a camera, from the rain rate and the exposure.

A drop of diameter D at distance z that falls with its terminal speed v during the exposure T draws a streak of
``f v T / z`` by ``f D / z`` pixels (f: focal length in pixels).  It hides a point of the background only while it
passes, so the streak is as opaque as ``D / (v T)`` (Garg and Nayar, Vision and Rain, IJCV 2007).  Sizes follow Marshall
and Palmer (1948), speeds Atlas et al. (1973): ``9.65 - 10.3 exp(-0.6 D)`` m/s for D in mm.

Drops are drawn once for the heaviest rain and thinned, so that lighter rain of the same seed is a part of heavier.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from .severity import SEVERITIES, RainLevel

EXPOSURE = 1 / 125
"""Seconds."""
FIELD_OF_VIEW = 60.0
"""Of the longer side of the picture, in degrees."""
DISTANCES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Borders in metres of the layers in which drops are seen one by one."""
SMALLEST, LARGEST = 1.0, 6.0
"""Diameters in mm of the drops that are drawn."""
APERTURE = 0.002
"""Of the lens, in metres: near drops are out of focus by ``f APERTURE / z`` pixels."""
EMPHASIS = 6.0
"""Streaks are drawn so much more opaque than the geometry gives, chosen by eye.

By the geometry alone a camera hardly sees rain by day (Garg and Nayar, When Does a Camera See Rain?, ICCV 2005);
the published sets show streaks of about this strength.
"""
HEAVIEST: RainLevel = SEVERITIES['rain'][-1]  # type: ignore[assignment]


def terminal_speed(diameter: np.ndarray) -> np.ndarray:
    """Fall speed in m/s of drops of a diameter in mm (Atlas, Srivastava and Sekhon, 1973)."""
    return 9.65 - 10.3 * np.exp(-0.6 * diameter)


def streak_cover(height: int, width: int, rain: RainLevel, rng: np.random.Generator, wind: float = 0.0,
                 depth: np.ndarray | None = None) -> np.ndarray:
    """How much of each pixel's light comes from drops and not from the scene.

    Args:
        height: of the picture.
        width: of the picture.
        rain: at most :data:`HEAVIEST`.
        rng: the source of randomness.
        wind: its speed across the picture in m/s, to the right.
        depth: (H, W) in metres; drops behind a surface are not seen.

    Returns:
        float32 (H, W) in [0, 1).
    """
    focal = max(height, width) / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    clear = np.ones((height, width), np.float32)
    # Share of the heaviest rain's drops that are large enough, and how many of them are in a cubic metre.
    slope = HEAVIEST.slope
    tail, end = math.exp(-slope * SMALLEST), math.exp(-slope * LARGEST)
    per_volume = 8000 / slope * (tail - end)
    for near, far in zip(DISTANCES, DISTANCES[1:], strict=False):
        volume = (width / focal) * (height / focal) * (far**3 - near**3) / 3
        number = rng.poisson(per_volume * volume)
        x, y, place, size, fate = rng.random((5, number), np.float32)
        diameter = -np.log(tail - size * (tail - end)) / slope
        kept = fate < np.exp(-(rain.slope - slope) * diameter)
        x, y, place, diameter = x[kept] * width, y[kept] * height, place[kept], diameter[kept]
        distance = np.cbrt(near**3 + place * (far**3 - near**3))
        moved = focal * EXPOSURE / distance
        layer = _splat((height, width), x, y, moved * wind, moved * terminal_speed(diameter),
                       math.pi / 4 * (focal * diameter / 1000 / distance)**2)
        middle = math.sqrt(near * far)
        # The side of a drop's image and its blur, as a Gaussian that also hides the steps between the samples.
        sigma = max(0.5, focal * (0.001 * SMALLEST + APERTURE) / middle / 2.5)
        layer = cv2.GaussianBlur(layer, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE).reshape(height, width)
        if depth is not None:
            layer = layer * (depth > middle)
        clear *= np.exp(-EMPHASIS * layer)
    return 1 - clear


def _splat(shape: tuple[int, int], x: np.ndarray, y: np.ndarray, right: np.ndarray, down: np.ndarray,
           mass: np.ndarray) -> np.ndarray:
    """Spread each drop's mass (in pixels) evenly along its way; what leaves the picture comes in opposite."""
    height, width = shape
    steps = np.ceil(np.hypot(right, down)).astype(np.int64) + 1
    owner = np.repeat(np.arange(len(x)), steps)
    # 0, 1, 2, ... within each drop.
    along = (np.arange(len(owner)) - np.repeat(np.cumsum(steps) - steps, steps) + 0.5) / steps[owner]
    column = np.floor(x[owner] + right[owner] * along).astype(np.int64) % width
    row = np.floor(y[owner] + down[owner] * along).astype(np.int64) % height
    total = np.bincount(row * width + column, (mass / steps)[owner], minlength=height * width)
    return total.reshape(shape).astype(np.float32)
