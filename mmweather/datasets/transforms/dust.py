"""Sand and dust in the pipeline: clean images with depth, simulated dust, Retinex labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS
from ...utils.images import read_image
from ...weather.dust import (
    DEPTH_CODES,
    DustRanges,
    add_dust,
    decode_depth,
    draw_dust_air,
    draw_wide_air,
    ramp_depth,
    retinex,
)
from .resizing import resize_picture
from .weather import AddWeather


@TRANSFORMS.register_module()
class LoadCleanAndDepth(BaseTransform):
    """Read a clean image and the picture of its depth: side by side in one file, or one file each.

    Required keys: ``pair_path``, or ``gt_path`` and ``depth_path``.  Added keys: ``gt``, uint8 (H, W, 3) RGB;
    ``depth``, float32 (H, W) in [0, 1], 1 is far; ``ori_shape``, (H, W).

    Args:
        code: how a picture shows depth: ``'jet'``, ``'gray'``, ``'rgb24'`` or ``'distance'`` (see
            :func:`~mmweather.weather.dust.decode_depth`). The published code reads its jet pictures as ``'rgb24'``.
        stand_in: where a clean image comes without depth, take a ramp from far at the top to near at the bottom.
        resize_depth: a depth picture of another size is resized to the image, for estimates at low resolution.

    Raises:
        ConfigError: an unknown code, or the data set gives no path.
        DataError: a file cannot be read, halves or sizes do not fit, or there is no depth.
    """

    def __init__(self, code: str = 'jet', stand_in: bool = False, resize_depth: bool = False) -> None:
        if code not in DEPTH_CODES:
            raise ConfigError(f'LoadCleanAndDepth: code must be one of {", ".join(DEPTH_CODES)}, got {code!r}')
        self.code = code
        self.stand_in = stand_in
        self.resize_depth = resize_depth

    def transform(self, results: dict) -> dict:
        """Read one sample."""
        clean, picture = self._read(results)
        results['gt'] = clean
        results['depth'] = (ramp_depth(*clean.shape[:2]) if picture is None
                            else decode_depth(picture, self.code)).astype(np.float32)
        results['ori_shape'] = tuple(clean.shape[:2])
        return results

    def _read(self, results: dict) -> tuple[np.ndarray, np.ndarray | None]:
        path = results.get('pair_path', results.get('gt_path'))
        if path is None:
            raise ConfigError("LoadCleanAndDepth wants 'pair', or 'gt' and 'depth': name them in the data_prefix of "
                              'the data set')
        image = read_image(path)
        height, width = image.shape[:2]
        if 'pair_path' in results:
            if width == 2 * height:
                return np.ascontiguousarray(image[:, :height]), np.ascontiguousarray(image[:, height:])
            if not self.stand_in:
                raise DataError(f"'{path}' is {width}x{height} (width x height): an image and its depth side by side "
                                'are twice as wide as high; add the depth, or set stand_in=True in LoadCleanAndDepth')
            return image, None
        if 'depth_path' in results:
            picture = read_image(results['depth_path'])
            if self.resize_depth:
                picture = resize_picture(picture, height, width)
            if picture.shape != image.shape:
                raise DataError(f"'{path}' is {width}x{height} but its depth '{results['depth_path']}' is "
                                f'{picture.shape[1]}x{picture.shape[0]} (width x height); bring them to one size, or '
                                'set resize_depth=True in LoadCleanAndDepth')
            return image, picture
        if not self.stand_in:
            raise DataError(f"'{path}' has no depth: name its folder in data_prefix (depth='...'), or set "
                            'stand_in=True in LoadCleanAndDepth')
        return image, None

    def __repr__(self) -> str:
        return f'{type(self).__name__}(code={self.code!r}, stand_in={self.stand_in})'


@TRANSFORMS.register_module()
class AddDust(AddWeather):
    """Put sand or dust before a scene: as SSDIE-Net simulates it for training, or of a severity on any image.

    Without ``severity``, as in SSDIE-Net: density and colour are drawn anew each time.  Required keys: ``gt``, uint8
    (H, W, 3) RGB; ``depth``, (H, W) in [0, 1].  Added key: ``img``, uint8 (H, W, 3) RGB.  Numbers come from NumPy's
    global state, which ``mmweather.SeededDataset`` seeds for each sample.

    With ``severity``, a dust storm as :class:`~mmweather.datasets.transforms.weather.AddWeather` says; the first three
    arguments below and ``wide`` are then not used.

    Args:
        haze: probability of grey haze in place of sand.
        nearest: depth of the nearest point.
        published_truncate: cut fractions of grey levels off, as the published code does, in place of rounding.
        severity: None, or see :class:`~mmweather.datasets.transforms.weather.AddWeather`.
        wide: draw air from :class:`~mmweather.weather.dust.DustRanges` (True, or a dict of other limits) in place of
            the published ranges; ``haze`` and ``nearest`` are then those of the ranges.
        **options: the other arguments of :class:`~mmweather.datasets.transforms.weather.AddWeather`, with ``severity``
            only.

    Raises:
        ConfigError: a key is absent, or an argument cannot work.
    """

    weather = 'dust'

    def __init__(self, haze: float = 0.3, nearest: float = 1.0, published_truncate: bool = False,
                 severity: int | Sequence[int] | None = None, wide: bool | Mapping[str, Any] = False,
                 **options: Any) -> None:
        if not 0 <= haze <= 1 or nearest < 0:
            raise ConfigError(f'AddDust: haze must lie in [0, 1] and nearest not be negative, got {haze} and {nearest}')
        if severity is None and options:
            raise ConfigError(f"AddDust: {', '.join(options)} go with severity; add severity, 1 to 5, or drop them")
        super().__init__(severity=(1, 5) if severity is None else severity, **options)
        self.by_severity = severity is not None
        self.haze = haze
        self.nearest = nearest
        self.published_truncate = published_truncate
        self.ranges = self._ranges(wide)

    @staticmethod
    def _ranges(wide: bool | Mapping[str, Any]) -> DustRanges | None:
        try:
            return DustRanges(**wide) if isinstance(wide, Mapping) else DustRanges() if wide else None
        except (TypeError, ValueError) as error:
            raise ConfigError(f'AddDust: wide cannot be used ({error}); see DustRanges') from None

    def transform(self, results: dict) -> dict:
        """Add dust to one sample."""
        if self.by_severity:
            return super().transform(results)
        for key in ('gt', 'depth'):
            if key not in results:
                raise ConfigError(f"AddDust: the sample has no '{key}'; put mmweather.LoadCleanAndDepth before it, or "
                                  'give severity to add dust to any image')
        air = (draw_dust_air(np.random, self.haze) if self.ranges is None  # type: ignore[arg-type]
               else draw_wide_air(np.random, self.ranges))  # type: ignore[arg-type]
        results['img'] = add_dust(results['gt'], results['depth'], air, self.nearest, self.published_truncate)
        return results

    def __repr__(self) -> str:
        if self.by_severity:
            return super().__repr__()
        return f'{type(self).__name__}(haze={self.haze}, nearest={self.nearest})'


@TRANSFORMS.register_module()
class RetinexLabel(BaseTransform):
    """A label for a real dusty image by single-scale Retinex.

    Required key: ``source``.  Added key: ``target``, of the same shape, RGB.

    Args:
        source: key of the image, uint8 (H, W, 3) RGB. The effect depends on its size, so put this before resizing.
        target: key of the label.
        sigma: of the Gaussian, in pixels.
        published_bgr: swap red and blue of the label, as the published code does by mistake.

    Raises:
        ConfigError: the image is absent.
    """

    def __init__(self, source: str = 'unlabelled', target: str = 'pseudo_label', sigma: float = 25.0,
                 published_bgr: bool = False) -> None:
        self.source = source
        self.target = target
        self.sigma = sigma
        self.published_bgr = published_bgr

    def transform(self, results: dict) -> dict:
        """Label one sample."""
        if self.source not in results:
            raise ConfigError(f"RetinexLabel: the sample has no '{self.source}'; load it before")
        label = retinex(results[self.source], self.sigma)
        results[self.target] = np.ascontiguousarray(label[..., ::-1]) if self.published_bgr else label
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(source={self.source!r}, sigma={self.sigma})'
