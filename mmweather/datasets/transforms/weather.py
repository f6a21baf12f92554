"""Fog, rain, night, dust and cloud of a severity as steps of any OpenMMLab pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS
from ...weather.apply import apply_weather, generator_of

COLOR_ORDERS = ('bgr', 'rgb')


class AddWeather(BaseTransform):
    """Apply one weather to the image of a sample; sizes, boxes, masks and labels stay as they are.

    The physics and what a severity means are those of :func:`mmweather.weather.apply_weather`.  Put it behind the
    loading, before anything that normalises.  The image is uint8, or floating in [0, 255] as ``to_float32=True`` loads
    it; of more than three channels the first three are the colours and the others stay (thermal, alpha).

    Without ``seed`` whether, how severe and the weather's own numbers come from NumPy's global state, as with other
    transforms of mmcv.  With ``seed`` all of it is a function of the seed and the image, so a test set is the same in
    every run, and ``mmweather synth`` makes the same pictures.

    Required key: ``source`` or ``key``, (H, W, 3 or more).  Modified key: ``key``, of the same kind.  Added key:
    ``clean_key``, if given.

    Args:
        severity: 1 (light) to 5 (severe); or a pair, the least and the greatest of a uniform draw.
        prob: probability that the image gets weather at all.
        seed: None, or at least 0.
        color_order: ``'bgr'``, as mmcv loads images, or ``'rgb'``, as ``mmweather.LoadImages`` and
            ``mmweather.LoadRGBThermal`` do.
        key: the image that gets weather.
        source: key of the clean image, of the same size, where it is another one: ``source='gt'`` makes a restorer's
            input from its target.
        clean_key: key under which the image without weather is kept.
        depth_key: key of a depth map in metres, (H, W); None takes the stand-in of
            :func:`mmweather.weather.apply.stand_in_depth`.

    Raises:
        ConfigError: an argument cannot work, or a key is absent.
        DataError: the image cannot take weather: one channel, normalised, or another size than the depth.
    """

    weather = ''

    def __init__(self,
                 severity: int | Sequence[int] = (1, 5),
                 prob: float = 1.0,
                 seed: int | None = None,
                 color_order: str = 'bgr',
                 key: str = 'img',
                 source: str | None = None,
                 clean_key: str | None = None,
                 depth_key: str | None = None) -> None:
        name = type(self).__name__
        limits = (severity, severity) if isinstance(severity, int) else tuple(severity)
        if (len(limits) != 2 or not all(isinstance(value, int) and not isinstance(value, bool) for value in limits)
                or not 1 <= limits[0] <= limits[1] <= 5):
            raise ConfigError(f'{name}: severity must be a whole number from 1 to 5, or a pair of them in order, got '
                              f'{severity!r}')
        if not 0 <= prob <= 1:
            raise ConfigError(f'{name}: prob must lie in [0, 1], got {prob!r}')
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ConfigError(f'{name}: seed must be None or a whole number of at least 0, got {seed!r}')
        if color_order not in COLOR_ORDERS:
            raise ConfigError(f"{name}: color_order must be 'bgr' or 'rgb', got {color_order!r}")
        self.severity = limits
        self.prob = prob
        self.seed = seed
        self.color_order = color_order
        self.key = key
        self.source = source or key
        self.clean_key = clean_key
        self.depth_key = depth_key

    def transform(self, results: dict) -> dict:
        """Apply weather to one sample."""
        name = type(self).__name__
        for key in filter(None, (self.source, self.depth_key)):
            if results.get(key) is None:
                raise ConfigError(f"{name}: the sample has no '{key}'; put {name} behind the step that loads it")
        image = results[self.source]
        before = results.get(self.key)
        if before is not None and np.shape(before)[:2] != np.shape(image)[:2]:
            raise DataError(f"{name}: '{self.source}' is {np.shape(image)[:2]}, '{self.key}' {np.shape(before)[:2]} "
                            '(height, width); put it where both have one size')
        colours = self._colours(image)
        draw: Any = np.random if self.seed is None else generator_of(colours, f'{self.weather} or not', self.seed)
        chosen = draw.uniform() < self.prob
        severity = int(self.severity[0] + draw.uniform() * (self.severity[1] - self.severity[0] + 1))
        seed = np.random.randint(2**31) if self.seed is None else self.seed
        if not chosen:
            results[self.key] = image.copy() if self.clean_key or self.source != self.key else image
        else:
            depth = None if self.depth_key is None else results[self.depth_key]
            results[self.key] = self._put(image, apply_weather(colours, self.weather, severity, seed, depth))
        if self.clean_key:
            results[self.clean_key] = image
        return results

    def _colours(self, image: Any) -> np.ndarray:
        """RGB, uint8 or float32 in [0, 1]."""
        name = type(self).__name__
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] < 3:
            raise DataError(f"{name}: '{self.source}' must be one colour image (height, width, 3), got "
                            f'{getattr(image, "shape", type(image).__name__)}; load it in colour')
        colours = image[..., :3]
        if image.dtype != np.uint8:
            low, high = float(colours.min()), float(colours.max())
            if not np.issubdtype(image.dtype, np.floating) or not (low >= -1 and high <= 256):
                raise DataError(f"{name}: '{self.source}' is {image.dtype} in {low:.3g}..{high:.3g}; it takes uint8, "
                                f'or floating in 0..255: put {name} behind the loading, before normalisation')
            colours = np.clip(colours.astype(np.float32) / 255, 0, 1)
        return np.ascontiguousarray(colours[..., ::-1] if self.color_order == 'bgr' else colours)

    def _put(self, image: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """``image`` with other colours, of the same kind as before."""
        if image.dtype != np.uint8:
            changed = changed * 255
        if self.color_order == 'bgr':
            changed = changed[..., ::-1]
        if image.shape[2] > 3:
            changed = np.concatenate((changed, image[..., 3:]), axis=2)
        return np.ascontiguousarray(changed, dtype=image.dtype)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(severity={self.severity}, prob={self.prob}, seed={self.seed}, '
                f'color_order={self.color_order!r}, key={self.key!r}, source={self.source!r})')


@TRANSFORMS.register_module()
class AddFog(AddWeather):
    """Fog: see :class:`AddWeather`."""

    weather = 'fog'


@TRANSFORMS.register_module()
class AddRain(AddWeather):
    """Rain, streaks and veil: see :class:`AddWeather`."""

    weather = 'rain'


@TRANSFORMS.register_module()
class AddNight(AddWeather):
    """Night, lamplight and sensor noise: see :class:`AddWeather`."""

    weather = 'night'


@TRANSFORMS.register_module()
class AddCloud(AddWeather):
    """Clouds over a picture from above: see :class:`AddWeather`."""

    weather = 'cloud'
