"""What happens to a picture between the scene and the file: levels, exposure, noise, compression.

Random numbers come from NumPy's global state, which ``mmweather.SeededDataset`` seeds for each sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import ConfigError
from ...registry import TRANSFORMS
from ...utils.arrays import to_uint8
from .resizing import resize_picture

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _image(results: dict, key: str, owner: str) -> np.ndarray:
    image = results.get(key)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ConfigError(f"{owner}: '{key}' must be uint8 (H, W, 3); put {owner} behind the step that loads it")
    return image


def _range(value: Sequence[float], name: str, low: float, high: float = np.inf) -> tuple[float, float]:
    limits = tuple(value)
    if len(limits) != 2 or not low <= limits[0] <= limits[1] <= high:
        raise ConfigError(f'DegradePhoto: {name} must be two numbers in order between {low} and {high}, got {value!r}')
    return float(limits[0]), float(limits[1])


@TRANSFORMS.register_module()
class StretchLevels(BaseTransform):
    """Spread the brightness of a picture over the full range; the hue stays unless ``neutral`` is set.

    Modified key: ``key``.

    Args:
        key: picture, uint8 (H, W, 3).
        tail: share of the pixels at each end that may be clipped, in [0, 0.5).
        most: largest factor, so that a picture of one grey is not blown up.
        black: grey level that the darkest pixels get before the tone curve, 0 to 254.
        gamma: exponent of the tone curve between black and white; below 1 lifts the shadows.
        saturation: factor of the distance to grey.
        neutral: how much of the way to equal means of the channels these are brought first, 0 to 1; each channel is
            scaled by 1.5 at most.

    Raises:
        ConfigError: the picture is absent or an argument is out of range.
    """

    def __init__(self, key: str = 'gt', tail: float = 0.005, most: float = 3.0, black: float = 0.0,
                 gamma: float = 1.0, saturation: float = 1.0, neutral: float = 0.0) -> None:
        if not 0 <= tail < 0.5 or most < 1 or not 0 <= black < 255 or gamma <= 0 or saturation < 0 or (
                not 0 <= neutral <= 1):
            raise ConfigError('StretchLevels: tail must lie in [0, 0.5), most be at least 1, black lie in [0, 255), '
                              'gamma be above 0, saturation not below and neutral lie in [0, 1], got '
                              f'{tail}, {most}, {black}, {gamma}, {saturation} and {neutral}')
        self.key = key
        self.tail = tail
        self.most = most
        self.black = black
        self.gamma = gamma
        self.saturation = saturation
        self.neutral = neutral

    def transform(self, results: dict) -> dict:
        """Stretch one picture."""
        image = _image(results, self.key, 'StretchLevels')
        if self.neutral:
            means = np.maximum(image.mean((0, 1)), 1)
            gains = np.clip((means.mean() / means)**self.neutral, 1 / 1.5, 1.5)
            image = np.clip(image * gains.astype(np.float32), 0, 255)
        low, high = np.quantile(image.astype(np.float32) @ _LUMA, (self.tail, 1 - self.tail))
        room = 255 - self.black
        scale = min(room / max(high - low, 1), self.most)
        # Where the factor is limited, the range of the picture is centred in the room that is left.
        start = self.black + (room - scale * (high - low)) / 2
        light = (image - np.float32(low)) * np.float32(scale) + np.float32(start)
        if self.gamma != 1:
            light = 255 * (np.clip(light, 0, 255) / 255)**np.float32(self.gamma)
        if self.saturation != 1:
            grey = (light @ _LUMA)[..., None]
            light = grey + (light - grey) * np.float32(self.saturation)
        results[self.key] = to_uint8(light, 255)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(key={self.key!r}, tail={self.tail})'


@TRANSFORMS.register_module()
class PairedRandomResizedCrop(BaseTransform):
    """Cut the same random square out of every image, resize it with antialiasing, and mirror it at times.

    Modified keys: ``keys``.

    Args:
        keys: pictures, uint8 (H, W[, C]) or float32 (H, W), of one size.
        size: side of the result in pixels.
        scale: minimum and maximum side of the square as a share of the shorter side, in (0, 1]. Squares of fewer
            pixels than ``size`` are drawn only where the image has no more.
        flip: probability of mirroring left and right.

    Raises:
        ConfigError: a key is absent, the sizes differ, or an argument is out of range.
    """

    def __init__(self, keys: Sequence[str] = ('img', 'gt'), size: int = 128, scale: Sequence[float] = (0.3, 1.0),
                 flip: float = 0.5) -> None:
        limits = tuple(scale)
        if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= 1 or not 0 <= flip <= 1 or size < 1:
            raise ConfigError('PairedRandomResizedCrop: size must be positive, scale two numbers in order in (0, 1] '
                              f'and flip lie in [0, 1], got {size}, {scale} and {flip}')
        self.keys = tuple(keys)
        self.size = size
        self.scale = limits
        self.flip = flip

    def transform(self, results: dict) -> dict:
        """Crop one sample."""
        sizes = {results[key].shape[:2] for key in self.keys if key in results}
        if len(sizes) != 1 or any(key not in results for key in self.keys):
            raise ConfigError(f"PairedRandomResizedCrop: the sample needs {', '.join(self.keys)}, of one size")
        height, width = sizes.pop()
        short = min(height, width)
        side = max(round(short * np.random.uniform(*self.scale)), min(self.size, short))
        top, left = (np.random.randint(0, room - side + 1) for room in (height, width))
        mirrored = np.random.uniform() < self.flip
        for key in self.keys:
            part = np.ascontiguousarray(results[key][top:top + side, left:left + side])
            part = resize_picture(part, self.size, self.size)
            results[key] = np.ascontiguousarray(part[:, ::-1]) if mirrored else part
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, size={self.size}, scale={self.scale})'


@TRANSFORMS.register_module()
class DegradePhoto(BaseTransform):
    """Exposure, tone curve, saturation, noise and JPEG of a camera, drawn anew each time.

    Modified key: ``key``.

    Args:
        key: picture, uint8 (H, W, 3) RGB.
        exposure: minimum and maximum in stops.
        gamma: minimum and maximum exponent of the tone curve.
        saturation: minimum and maximum factor of the distance to grey.
        noise: minimum and maximum standard deviation of Gaussian noise in grey levels.
        noise_prob: probability of noise.
        quality: minimum and maximum quality of the JPEG compression, 1 to 100.
        jpeg_prob: probability of compression.

    Raises:
        ConfigError: the picture is absent or an argument is out of range.
    """

    def __init__(self,
                 key: str = 'img',
                 exposure: Sequence[float] = (-0.8, 0.4),
                 gamma: Sequence[float] = (0.8, 1.25),
                 saturation: Sequence[float] = (0.7, 1.5),
                 noise: Sequence[float] = (0.0, 8.0),
                 noise_prob: float = 0.5,
                 quality: Sequence[int] = (50, 95),
                 jpeg_prob: float = 0.9) -> None:
        if not 0 <= noise_prob <= 1 or not 0 <= jpeg_prob <= 1:
            raise ConfigError('DegradePhoto: noise_prob and jpeg_prob must lie in [0, 1], got '
                              f'{noise_prob} and {jpeg_prob}')
        self.key = key
        self.exposure = _range(exposure, 'exposure', -10, 10)
        self.gamma = _range(gamma, 'gamma', 0.05)
        self.saturation = _range(saturation, 'saturation', 0)
        self.noise = _range(noise, 'noise', 0)
        self.noise_prob = noise_prob
        self.quality = _range(quality, 'quality', 1, 100)
        self.jpeg_prob = jpeg_prob

    def transform(self, results: dict) -> dict:
        """Degrade one picture."""
        image = _image(results, self.key, 'DegradePhoto').astype(np.float32) / 255
        image = np.clip(image * np.float32(2**np.random.uniform(*self.exposure)), 0, 1)
        image = image**np.float32(np.random.uniform(*self.gamma))
        grey = (image @ _LUMA)[..., None]
        image = grey + (image - grey) * np.float32(np.random.uniform(*self.saturation))
        sigma, noisy = np.random.uniform(*self.noise), np.random.uniform() < self.noise_prob
        if noisy:
            image = image + np.random.standard_normal(image.shape).astype(np.float32) * np.float32(sigma / 255)
        degraded = to_uint8(image)
        quality, pressed = round(np.random.uniform(*self.quality)), np.random.uniform() < self.jpeg_prob
        if pressed:
            data = cv2.imencode('.jpg', degraded[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            degraded = np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])
        results[self.key] = degraded
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(key={self.key!r}, quality={self.quality})'
