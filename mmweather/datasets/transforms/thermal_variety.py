"""Thermal channels of any camera on one scale, and variety of them for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import ConfigError
from ...registry import TRANSFORMS


def standardize_thermal(thermal: np.ndarray) -> np.ndarray:
    """Return counts (H, W) less their mean, over their standard deviation, float32: the same for every camera.

    A picture of one count becomes 0.
    """
    thermal = thermal.astype(np.float32)
    spread = float(thermal.std())
    return (thermal - thermal.mean()) / spread if spread > 1e-6 else np.zeros_like(thermal)


@TRANSFORMS.register_module()
class StandardizeThermal(BaseTransform):
    """Replace the thermal counts by their distance from the picture's own mean, in standard deviations.

    So the bit depth, the range and the calibration of the camera do not matter: a model with this step in its test
    pipeline takes thermal pictures of 8, 14 and 16 bits alike. Put it before crops, so that the whole picture counts.

    Modified key: ``img``, (H, W, 4).
    """

    def transform(self, results: dict) -> dict:
        """Standardize one sample."""
        image = results['img'].astype(np.float32)
        image[..., 3] = standardize_thermal(image[..., 3])
        results['img'] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class DrawThermal(BaseTransform):
    """Draw a thermal channel from the label map, for sets with labels and without thermal pictures.

    Each class gets a temperature from its range, each connected region of a hot class its own. Texture of the visible
    image (of either sign), slow and fast noise, blur, hot spots inside cold classes and hot parts of cars are added, so
    that a network learns hot shapes and not one camera.

    Required keys: ``img``, (H, W, 4); ``gt_seg_map``. Modified key: ``img``, its fourth channel.

    Args:
        ranges: minimum and maximum temperature of each class number, in units of about one standard deviation.
        hot: class numbers whose regions get temperatures of their own.
        parts: class numbers (cars) with hot parts.
        spots: probability of hot spots elsewhere.
        lukewarm: probability that the hot classes are barely above their surroundings, as on a warm day.
    """

    def __init__(self, ranges: Mapping[int, Sequence[float]], hot: Sequence[int], parts: Sequence[int] = (),
                 spots: float = 0.4, lukewarm: float = 0.15) -> None:
        self.ranges = {int(number): tuple(limits) for number, limits in ranges.items()}
        wrong = [number for number, limits in self.ranges.items() if len(limits) != 2 or limits[0] > limits[1]]
        if wrong:
            raise ConfigError(f'DrawThermal: ranges[{wrong[0]}] must be (minimum, maximum)')
        self.hot, self.parts, self.spots, self.lukewarm = tuple(hot), tuple(parts), spots, lukewarm

    def transform(self, results: dict) -> dict:
        """Draw one channel."""
        image, label = results['img'].astype(np.float32), results['gt_seg_map']
        height, width = label.shape
        heat = np.zeros((height, width), np.float32)
        for number, limits in self.ranges.items():
            heat[label == number] = np.random.uniform(*limits)
        lukewarm = np.random.random() < self.lukewarm
        for number in self.hot:
            count, regions = cv2.connectedComponents((label == number).astype(np.uint8))
            for region in range(1, count):
                value = np.random.uniform(*self.ranges[number])
                heat[regions == region] = value * (np.random.uniform(0.1, 0.5) if lukewarm else 1)
        for number in self.parts:
            self._blobs(heat, label == number, np.random.randint(2, 8), (0.5, 4), 0.04)
        if np.random.random() < self.spots:
            cold = ~np.isin(label, (*self.hot, 255))
            self._blobs(heat, cold, np.random.randint(1, 6), (1, 6), 0.03)
        grey = image[..., :3].mean(2)
        grey = (grey - grey.mean()) / max(float(grey.std()), 1.)
        heat += grey * np.random.uniform(-0.5, 0.5)
        slow = np.random.normal(0, 1, (4, 5)).astype(np.float32)
        heat += cv2.resize(slow, (width, height), interpolation=cv2.INTER_CUBIC) * np.random.uniform(0, 0.4)
        heat = cv2.GaussianBlur(heat, (0, 0), np.random.uniform(0.5, 2))
        heat += np.random.normal(0, np.random.uniform(0.02, 0.2), heat.shape)
        image[..., 3] = heat
        results['img'] = image
        return results

    @staticmethod
    def _blobs(heat: np.ndarray, where: np.ndarray, count: int, degrees: tuple[float, float], size: float) -> None:
        rows, columns = np.nonzero(where)
        for _ in range(count if len(rows) else 0):
            place = np.random.randint(len(rows))
            axes = [max(1, int(np.random.exponential(size) * heat.shape[1])) for _ in range(2)]
            spot = np.zeros(heat.shape, np.uint8)
            middle, angle = (int(columns[place]), int(rows[place])), float(np.random.uniform(180))
            cv2.ellipse(spot, middle, axes, angle, 0, 360, 1, -1)
            heat[(spot > 0) & where] += np.random.uniform(*degrees)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(hot={self.hot}, parts={self.parts})'


@TRANSFORMS.register_module()
class VaryThermal(BaseTransform):
    """Change contrast, level, sharpness and noise of a standardized thermal channel.

    Modified key: ``img``, (H, W, 4).

    Args:
        gain: range of the factor, drawn evenly in its logarithm.
        level: maximum shift to either side.
        blur: maximum standard deviation of the blur, in pixels.
        noise: maximum standard deviation of the noise.
    """

    def __init__(self, gain: tuple[float, float] = (0.6, 1.6), level: float = 0.3, blur: float = 1.5,
                 noise: float = 0.2) -> None:
        if not 0 < gain[0] <= gain[1]:
            raise ConfigError(f'VaryThermal: gain must be two positive numbers in order, got {tuple(gain)}')
        self.gain, self.level, self.blur, self.noise = tuple(gain), level, blur, noise

    def transform(self, results: dict) -> dict:
        """Change one sample."""
        image = results['img'].astype(np.float32)
        thermal = image[..., 3] * np.exp(np.random.uniform(*np.log(self.gain))) + np.random.uniform(-1, 1) * self.level
        blur = np.random.uniform(0, self.blur)
        if blur > 0.3:
            thermal = cv2.GaussianBlur(thermal, (0, 0), blur)
        image[..., 3] = thermal + np.random.normal(0, np.random.uniform(0, self.noise), thermal.shape)
        results['img'] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(gain={self.gain}, level={self.level}, blur={self.blur}, noise={self.noise})'
