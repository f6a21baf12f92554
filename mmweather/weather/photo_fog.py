"""Fog as photographs show it, drawn at random on clear pictures with depth: what detectors and restorers train on.

The scattering model of :mod:`~mmweather.weather.fog`, with what real photos have besides: banks of fog, an airlight
that is not grey or not even, little light, motion or fog blur, sensor noise and JPEG.  The ranges are wide on purpose:
a network trained on narrow ones does well on its own fog and fails on photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..utils.arrays import to_uint8
from .fog import Range, beta_of_visibility


@dataclass(frozen=True)
class PhotoFog:
    """Ranges that :meth:`apply` draws from; probabilities in [0, 1], levels in [0, 1].

    Args:
        visibility: meteorological range in metres, drawn evenly in its logarithm.
        airlight: brightness of the fog.
        tint: deviation of the airlight's channels; three times as much for one picture in ten.
        banks: strength of uneven fog, a deviation relative to the mean density; in half of the pictures.
        veil: greatest depth in metres that is added to all pixels, since estimated depth is uncertain; in half of the
            pictures.
        dim: exponent of the darkest scene before the fog; in three pictures of ten.
        blur: greatest deviation of a Gaussian blur in pixels; in three pictures of ten.
        noise: greatest deviation of noise; in six pictures of ten.
        quality: of JPEG; in six pictures of ten.
        least: transmission below which no pixel falls.
    """

    visibility: Range = (15.0, 300.0)
    airlight: Range = (0.45, 0.97)
    tint: float = 0.022
    banks: float = 0.35
    veil: float = 25.0
    dim: float = 1.6
    blur: float = 1.0
    noise: float = 0.022
    quality: tuple[int, int] = (35, 95)
    least: float = 0.04

    def apply(self, image: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw fog and a camera for one picture.

        Args:
            image: uint8 (H, W, 3), RGB or BGR.
            depth: (H, W) in metres, not negative.
            rng: the source of randomness.

        Returns:
            uint8 (H, W, 3).

        Raises:
            ValueError: depth and image differ in size.
        """
        if depth.shape != image.shape[:2]:
            raise ValueError(f'depth is {depth.shape}, the image {image.shape[:2]}: bring them to one size')
        scene = image.astype(np.float32) / 255
        if rng.random() < 0.3:
            scene = scene**np.float32(rng.uniform(0.7, self.dim)) * np.float32(rng.uniform(0.6, 1))
        passed = np.maximum(np.exp(-self._optical_depth(depth, rng)), self.least)[..., None]
        foggy = scene * passed + self._air(len(scene), rng) * (1 - passed)
        if rng.random() < 0.5:
            foggy *= np.float32(rng.uniform(0.75, 1.1))
        if rng.random() < 0.3:
            foggy = cv2.GaussianBlur(foggy, (0, 0), rng.uniform(0.3, max(self.blur, 0.31)))
        if rng.random() < 0.6:
            foggy += np.float32(rng.uniform(0, self.noise)) * rng.standard_normal(foggy.shape, np.float32)
        result = to_uint8(foggy)
        if rng.random() < 0.6:
            quality = int(rng.integers(self.quality[0], self.quality[1] + 1))
            result = cv2.imdecode(cv2.imencode('.jpg', result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1],
                                  cv2.IMREAD_COLOR)
        return result

    def _optical_depth(self, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = np.log(self.visibility)
        metres = depth.astype(np.float32) * np.float32(rng.uniform(0.6, 1.5))
        if rng.random() < 0.5:
            metres = metres * np.float32(rng.uniform(0.5, 1)) + np.float32(rng.uniform(0, self.veil))
        if rng.random() < 0.5:
            height, width = depth.shape
            coarse = rng.standard_normal((int(rng.integers(3, 7)), int(rng.integers(3, 9)))).astype(np.float32)
            metres *= (1 + self.banks * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)).clip(0.3, 2)
        return np.float32(beta_of_visibility(float(np.exp(rng.uniform(low, high))))) * metres

    def _air(self, height: int, rng: np.random.Generator) -> np.ndarray:
        """(height or 1, 1, 3)."""
        air = rng.uniform(*self.airlight) + rng.normal(0, self.tint * (3 if rng.random() < 0.1 else 1), 3)
        if rng.random() < 0.3:  # brighter above than below, or the other way round
            air = air + np.linspace(1, -1, height)[:, None, None] * rng.uniform(-0.15, 0.15)
        return np.clip(air, 0.05, 1).astype(np.float32).reshape(-1, 1, 3)


def refine_depth(depth: np.ndarray, image: np.ndarray, radius: int = 12, eps: float = 1e-3) -> np.ndarray:
    """Bring a small or blurred depth map to a picture's size and edges, by a guided filter (He et al., ECCV 2010).

    Args:
        depth: (h, w) of any size, in metres.
        image: uint8 (H, W, 3), RGB or BGR.
        radius: of the filter's windows in pixels of the picture.
        eps: variance of the picture, levels in [0, 1], below which a window counts as flat.

    Returns:
        float32 (H, W), at least 0.
    """
    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, ) * 2, borderType=cv2.BORDER_REFLECT)

    guide = image.mean(-1, dtype=np.float32) / 255
    metres = cv2.resize(depth.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    mean_guide, mean_depth = mean(guide), mean(metres)
    slope = (mean(guide * metres) - mean_guide * mean_depth) / (mean(guide * guide) - mean_guide**2 + eps)
    return np.maximum(mean(slope) * guide + mean(mean_depth - slope * mean_guide), 0)
