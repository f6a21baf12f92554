"""Night: little ambient light, lamps with halos, and the noise of a sensor at high gain.

``relight`` turns a clear day picture with depth into night; the mini world renders its own lamps with
``point_lights``.  Pictures are float32 (H, W, 3), RGB, [0, 1], as a display shows them; light is linear
(display value to the power 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .rain import check_picture

GAMMA = 2.2


def to_linear(image: np.ndarray) -> np.ndarray:
    """Display values [0, 1] to linear light."""
    return np.clip(image, 0, None)**GAMMA


def to_display(light: np.ndarray) -> np.ndarray:
    """Linear light to display values, clipped to [0, 1]."""
    return np.clip(light, 0, 1)**(1 / GAMMA)


def point_lights(position: np.ndarray, lamps: Sequence[tuple[Sequence[float], Sequence[float]]]) -> np.ndarray:
    """Light that lamps throw on surfaces, falling with the squared distance.

    Args:
        position: float (H, W, 3), metres: right, up, forward.
        lamps: pairs of position in metres and RGB strength (linear light at one metre).

    Returns:
        float32 (H, W, 3), linear light.
    """
    total = np.zeros(position.shape, np.float32)
    for place, strength in lamps:
        squared = np.sum((position - np.asarray(place, np.float32))**2, axis=-1, keepdims=True)
        total += np.asarray(strength, np.float32) / (squared + 1.0)
    return total


def halo(emission: np.ndarray, strength: float = 0.25) -> np.ndarray:
    """Light scattered by lens and air around bright sources.

    Args:
        emission: float32 (H, W, 3), linear light of the sources alone.
        strength: share of the light that is scattered.

    Returns:
        float32 (H, W, 3), to be added to the linear picture.
    """
    size = max(emission.shape[:2])
    total = np.zeros_like(emission, dtype=np.float32)
    for share, sigma in ((0.6, 0.008), (0.3, 0.025), (0.1, 0.08)):
        total += share * cv2.GaussianBlur(emission, (0, 0), max(0.6, sigma * size), borderType=cv2.BORDER_CONSTANT)
    # Energy spreads over many pixels; the factor keeps a lamp of a few pixels visible as a halo.
    return strength * total * 6


def sensor_noise(image: np.ndarray, rng: np.random.Generator, shot: float = 0.01, read: float = 0.01) -> np.ndarray:
    """Photon (signal-dependent) and read-out noise, slightly blotchy as after a camera's denoiser.

    Args:
        image: float32 (H, W, 3), [0, 1].
        rng: the source of randomness.
        shot: standard deviation at full signal.
        read: standard deviation in the dark.

    Returns:
        float32 (H, W, 3), [0, 1].
    """
    noise = rng.standard_normal(image.shape).astype(np.float32)
    noise = 0.6 * noise + 0.8 * cv2.GaussianBlur(rng.standard_normal(image.shape).astype(np.float32), (0, 0), 1.0) * 2
    sigma = np.sqrt(read**2 + shot**2 * np.clip(image, 0, 1))
    return np.clip(image + sigma * noise, 0, 1).astype(np.float32)


def relight(image: np.ndarray,
            rng: np.random.Generator,
            depth: np.ndarray | None = None,
            ambient: float = 0.06,
            lamps: int = 4,
            noise: float = 0.012) -> np.ndarray:
    """A day picture as it might look at night.

    Ambient light is scaled down and bluish; ``lamps`` sodium or LED lights in the upper half throw pools of light that
    fade with distance in the picture (and in depth, if given) and carry halos; the sensor adds noise.

    Args:
        image: float32 (H, W, 3), RGB, [0, 1].
        rng: the source of randomness.
        depth: float (H, W), metres.
        ambient: linear share of daylight that is left.
        lamps: number of lamps.
        noise: of the sensor, standard deviation in the dark.

    Returns:
        float32 (H, W, 3), [0, 1].

    Raises:
        ValueError: the picture has another shape or range, or ``depth`` another size.
    """
    image = check_picture(image)
    height, width = image.shape[:2]
    if depth is not None and depth.shape != (height, width):
        raise ValueError(f'depth has shape {depth.shape}, the picture {(height, width)}')
    linear = to_linear(image)
    light = np.full_like(linear, ambient) * np.array([0.75, 0.9, 1.25], np.float32)
    emission = np.zeros_like(linear)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(lamps):
        cx, cy = rng.uniform(0, width), rng.uniform(0.1, 0.45) * height
        colour = np.array([1.0, 0.72, 0.35] if rng.random() < 0.6 else [0.95, 0.97, 1.0], np.float32)
        # The pool is wider than high: a lamp lights the ground below it.
        reach = rng.uniform(0.25, 0.5) * width
        fall = 1 / (1 + ((x - cx) / (0.35 * reach))**2 + ((y - cy - 0.2 * height) / (0.45 * reach))**2)
        if depth is not None:
            here = float(np.median(depth[int(cy):int(cy) + 3, max(0, int(cx) - 1):int(cx) + 2]))
            fall = fall / (1 + (np.log(np.maximum(depth, 1)) - np.log(np.clip(here, 5, 60)))**2)
        light += rng.uniform(0.25, 0.6) * fall[..., None] * colour
        radius = max(1, round(height / 90))
        disc = np.zeros((height, width), np.float32)
        cv2.circle(disc, (int(cx), int(cy)), radius, 1.0, -1)
        emission += disc[..., None] * colour * 2.5
    night = to_display(linear * light + emission + halo(emission))
    return sensor_noise(night.astype(np.float32), rng, shot=noise, read=noise)
