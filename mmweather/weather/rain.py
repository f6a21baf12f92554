"""Rain: streaks of falling drops and the veil of the drops too far to be seen one by one.

Model.  A drop of diameter d at distance z, falling for the exposure time T with speed v, covers a streak of length
``f v T / z`` and width ``f d / z`` pixels (f: focal length in pixels); the number of drops between z and z + dz grows
with z squared.  A drop refracts light of a wide cone, so a streak pulls a pixel towards the mean light of the scene
instead of adding a fixed amount (Garg and Nayar, Vision and Rain, IJCV 2007).  Drops beyond the streak layers act
as a thin fog with transmission ``exp(-beta z)``.

Images are float32 (H, W, 3), RGB, [0, 1], as a display shows them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .noise import fractal


@dataclass(frozen=True)
class Rain:
    """One shower.

    Attributes:
        density: streaks per 1000 pixels of the picture, all layers together.
        angle: of the streaks from the vertical, degrees; positive leans the lower end to the left.
        length: of a streak in the nearest layer, as a fraction of the picture's height.
        opacity: strongest share of the scene's light in a streak pixel, 0 to 1.
        veil: extinction of the veil in 1/m; needs a depth map to show.
        spread: standard deviation of the angle between streaks, degrees.
        layers: number of distances.
    """

    density: float = 9.0
    angle: float = 12.0
    length: float = 0.25
    opacity: float = 0.4
    veil: float = 0.001
    spread: float = 2.0
    layers: int = 4

    @staticmethod
    def draw(rng: np.random.Generator) -> Rain:
        """A shower between drizzle and downpour."""
        return Rain(
            density=float(rng.uniform(9, 14)), angle=float(rng.uniform(-28, 28)), length=float(rng.uniform(0.2, 0.34)),
            opacity=float(rng.uniform(0.36, 0.58)), veil=float(rng.uniform(0.0006, 0.0018)),
            spread=float(rng.uniform(1, 3)))


def _streak_kernel(length: float, width: float, angle: float) -> np.ndarray:
    """One streak with soft ends and sides, maximum 1, as a small odd-sized float32 picture."""
    reach = int(np.ceil(length / 2 + 2 * width)) + 1
    grid = np.arange(-reach, reach + 1, dtype=np.float32)
    x, y = np.meshgrid(grid, grid)
    turn = np.deg2rad(angle)
    along = -np.sin(turn) * x + np.cos(turn) * y
    across = np.cos(turn) * x + np.sin(turn) * y
    ends = np.clip(1 - np.abs(along) / (length / 2 + 0.5), 0, 1)
    kernel = np.exp(-0.5 * (across / max(width / 2, 0.45))**2) * np.minimum(1, 2.5 * ends)
    return (kernel / kernel.max()).astype(np.float32)


def rain_streaks(height: int, width: int, rain: Rain, rng: np.random.Generator) -> np.ndarray:
    """How much each pixel is covered by streaks.

    Args:
        height: of the picture.
        width: of the picture.
        rain: the shower.
        rng: the source of randomness.

    Returns:
        float32 (H, W) in [0, ``rain.opacity``].
    """
    margin = int(rain.length * height) + 2
    shape = (height + 2 * margin, width + 2 * margin)
    distance = np.geomspace(1, 5, rain.layers)
    # A layer's volume grows with z cubed on a geometric ladder; far streaks merge, so their number is damped.
    share = distance**1.5 / np.sum(distance**1.5)
    # Gusts: neighbouring regions carry more or less rain.
    gust = np.exp(0.35 * cv2.resize(fractal((16, 16), rng, 1.2), shape[::-1], interpolation=cv2.INTER_CUBIC))
    gust /= gust.mean()
    clear = np.ones(shape, np.float32)
    for z, part in zip(distance, share, strict=True):
        for angle in rng.normal(rain.angle, rain.spread, 3):
            chance = rain.density / 1000 * part / 3 * gust
            seeds = (rng.random(shape) < chance) * rng.gamma(3.0, 1 / 3.0, shape)
            length = max(3.0, rain.length * height / z * rng.uniform(0.8, 1.2))
            thickness = max(0.9, height / 170 / z * rng.uniform(0.8, 1.3))
            streak = cv2.filter2D(seeds.astype(np.float32), -1, _streak_kernel(length, thickness, float(angle)),
                                  borderType=cv2.BORDER_CONSTANT)
            strength = rain.opacity * (0.9 if z < 2 else 0.65)
            clear *= 1 - np.clip(streak * strength, 0, rain.opacity)
    covered = 1 - clear[margin:margin + height, margin:margin + width]
    return np.clip(covered, 0, rain.opacity).astype(np.float32)


def add_rain(image: np.ndarray,
             rng: np.random.Generator,
             rain: Rain | None = None,
             depth: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Add rain to a picture.

    Args:
        image: float32 (H, W, 3), RGB, [0, 1].
        rng: the source of randomness.
        rain: the shower; drawn from ``rng`` if None.
        depth: float (H, W), metres; without it there is no veil.

    Returns:
        The rainy picture, float32 (H, W, 3) in [0, 1], and the coverage by streaks, float32 (H, W) in [0, 1].

    Raises:
        ValueError: the picture has another shape or range, or ``depth`` another size.
    """
    image = check_picture(image)
    rain = rain or Rain.draw(rng)
    if depth is not None and depth.shape != image.shape[:2]:
        raise ValueError(f'depth has shape {depth.shape}, the picture {image.shape[:2]}')
    # Light gathered by a drop: brighter than the scene's mean since a drop sees much of the sky.
    scene = image.reshape(-1, 3).mean(0)
    light = np.clip(0.4 * scene + 0.6 * np.quantile(image.reshape(-1, 3), 0.95, axis=0) + 0.08, 0, 1)
    light = (0.6 * light + 0.4 * light.mean()).astype(np.float32)  # nearly grey, whatever the street lamps' colour
    out = image
    if depth is not None and rain.veil > 0:
        transmission = np.exp(-rain.veil * np.minimum(depth, 200.0)).astype(np.float32)
        transmission = cv2.GaussianBlur(transmission, (0, 0), 1.0)[..., None]  # light scatters across an edge, too
        out = out * transmission + 0.8 * light * (1 - transmission)
    covered = rain_streaks(*image.shape[:2], rain, rng)
    alpha = covered[..., None]
    out = out * (1 - alpha) + light * alpha
    return np.clip(out, 0, 1).astype(np.float32), covered


def check_picture(image: np.ndarray) -> np.ndarray:
    """``image`` as float32.

    Raises:
        ValueError: it is not a float (H, W, 3) array in [0, 1].
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f'the picture must be a float array (H, W, 3) in [0, 1], got {image.dtype} {image.shape}')
    if image.size and not (image.min() >= -1e-4 and image.max() <= 1 + 1e-4):
        raise ValueError(f'the picture must lie in [0, 1], got {image.min():.3g}..{image.max():.3g}; divide by 255?')
    return image.astype(np.float32, copy=False)
