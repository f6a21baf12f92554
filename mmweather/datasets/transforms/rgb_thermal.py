"""Visible and thermal images as one image of four channels, which every transform and segmentor of mmseg can take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Compose

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS
from ...utils.files import read_npy
from ...utils.images import open_picture, read_image
from ...utils.text import reason
from ...utils.thermal import DEPTHS, read_thermal


@TRANSFORMS.register_module()
class LoadRGBThermal(BaseTransform):
    """Read a visible image and its thermal partner into one float image of four channels: R, G, B, thermal.

    The thermal channel keeps its counts: ``mmweather.RGBThermalPreprocessor`` clips and scales them after the
    geometry, so that interpolation works on counts, as published. What is drawn at the rim by a transform (a rotation)
    is the user's ``pad_val``.

    Required keys: ``img_path``, ``thermal_path``; where both are one file, it holds four channels of 8 bits.
    Added keys: ``img``, float32 (H, W, 4), RGB in [0, 255] and counts; ``img_shape``, ``ori_shape``, (H, W).

    Args:
        depth: bits a value that thermal files must have: 8, 16, 32, or None for any.
        visible_transforms: transforms of the visible image alone, uint8 (H, W, 3) RGB, as changes of colour.
        missing: what a sample without ``thermal_path`` gets: ``'zeros'``, or None, which is an error.

    Raises:
        DataError: a file cannot be used (see :func:`~mmweather.utils.thermal.read_thermal`), or the sizes differ.
        ConfigError: the data set gives no path, or ``depth`` is unknown.
    """

    def __init__(self, depth: int | None = None, visible_transforms: Sequence[Any] = (),
                 missing: str | None = None) -> None:
        if missing not in (None, 'zeros'):
            raise ConfigError(f"LoadRGBThermal: missing must be 'zeros' or None, got {missing!r}")
        self.missing = missing
        if depth not in (None, *DEPTHS):
            raise ConfigError(f'LoadRGBThermal: depth must be 8, 16, 32 or None, got {depth!r}')
        self.depth = depth
        self.visible_transforms = Compose(
            [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in visible_transforms])

    def transform(self, results: dict) -> dict:
        """Read one pair."""
        blank = self.missing == 'zeros' and not results.get('thermal_path')
        for key in ('img_path', *(() if blank else ('thermal_path', ))):
            if not results.get(key):
                raise ConfigError(f"LoadRGBThermal wants '{key}', which the data set does not give; use one with "
                                  'thermal images, as mmweather.FreiburgThermal')
        if blank:
            visible = read_image(results['img_path'])
            thermal = np.zeros(visible.shape[:2], np.float32)
        elif results['img_path'] == results['thermal_path']:
            visible, thermal = self._packed(results['img_path'])
        else:
            visible, thermal = read_image(results['img_path']), read_thermal(results['thermal_path'], self.depth)
        if visible.shape[:2] != thermal.shape:
            raise DataError(f"'{results['img_path']}' is {visible.shape[1]}x{visible.shape[0]} but its thermal partner "
                            f"'{results['thermal_path']}' is {thermal.shape[1]}x{thermal.shape[0]} (width x height); "
                            'register and crop them to one size')
        results['img'] = visible
        results['img_shape'] = results['ori_shape'] = visible.shape[:2]
        visible = self.visible_transforms(results)['img']
        results['img'] = np.dstack((visible.astype(np.float32), thermal))
        return results

    def _packed(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        visible = read_image(path)  # says what is wrong with the file
        with open_picture(path) as image:
            array = np.asarray(image)
        if array.ndim != 3 or array.shape[2] != 4 or array.dtype != np.uint8 or self.depth not in (None, 8):
            raise DataError(f"'{path}' must hold four channels of 8 bits, RGB and thermal (depth 8 or None); it is "
                            f'{array.dtype} {array.shape}')
        return visible, array[..., 3].astype(np.float32)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(depth={self.depth})'


@TRANSFORMS.register_module()
class LoadLabelMap(BaseTransform):
    """Read a label map, translate its ids and refuse ids that are not on the list.

    Samples without ``seg_map_path`` pass without a label. Ids are translated by ``label_map`` of the sample, which
    lists every id that may occur; without one they must lie in 0 to 255 and stay as they are.

    Required keys: none. Added keys: ``gt_seg_map``, uint8 (H, W); an entry of ``seg_fields``.

    Raises:
        DataError: the file is missing or no label map, holds an id that is not listed, or differs in size from the
            image.
    """

    def transform(self, results: dict) -> dict:
        """Read one label map."""
        path = results.get('seg_map_path')
        if not path:
            return results
        label = self._read(Path(path))
        mapping = results.get('label_map')
        if mapping is not None:
            strange = sorted(set(np.unique(label).tolist()) - set(mapping))
            if strange:
                listed = sorted(mapping)
                raise DataError(f"label map '{path}' holds {', '.join(map(str, strange[:5]))}, which the data set does "
                                f'not list (ids {listed[0]} to {listed[-1]}); fix the labels or the list (datasets/'
                                'label_maps.py)')
            table = np.zeros(int(max(mapping)) + 1, np.uint8)
            for old, new in mapping.items():
                table[old] = new
            label = table[label]
        elif label.min() < 0 or label.max() > 255:
            raise DataError(f"label map '{path}' holds ids from {label.min()} to {label.max()}; 0 to 255 are possible")
        image = results.get('img')
        if image is not None and image.shape[:2] != label.shape:
            raise DataError(f"label map '{path}' is {label.shape[1]}x{label.shape[0]} but its image is "
                            f'{image.shape[1]}x{image.shape[0]} (width x height); bring them to one size')
        results['gt_seg_map'] = label.astype(np.uint8)
        fields = results.setdefault('seg_fields', [])
        if 'gt_seg_map' not in fields:
            fields.append('gt_seg_map')
        return results

    @staticmethod
    def _read(path: Path) -> np.ndarray:
        try:
            if path.suffix.lower() == '.npy':
                label = read_npy(path)
            else:
                with open_picture(path) as image:
                    label = np.asarray(image)  # a palette image gives its indices
        except DataError:
            raise
        except FileNotFoundError:
            raise DataError(f"no such label map: '{path}'; check the path") from None
        except Exception as error:  # noqa: BLE001  decoders raise many kinds
            raise DataError(f"label map '{path}' cannot be read ({reason(error)}); copy it again") from error
        if label.ndim == 3 and 1 in (label.shape[0], label.shape[2]):
            label = label[0] if label.shape[0] == 1 else label[..., 0]
        whole = label.dtype.kind in 'iub' or (
            label.dtype.kind == 'f' and np.array_equal(label, label.round()) and bool((np.abs(label) < 2**31).all()))
        if label.ndim != 2 or not label.size or not whole:
            raise DataError(f"label map '{path}' has shape {label.shape} of {label.dtype}; one channel of class ids is "
                            'wanted')
        return label.astype(np.int64)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class CropWindow(BaseTransform):
    """Cut a fixed window out of the image and its label maps.

    Modified keys: ``img``, those of ``seg_fields``, ``img_shape``.

    Args:
        top: first row.
        left: first column.
        size: height and width.

    Raises:
        DataError: the window does not lie inside the image.
    """

    def __init__(self, top: int, left: int, size: Sequence[int]) -> None:
        self.top, self.left, self.size = top, left, tuple(size)

    def transform(self, results: dict) -> dict:
        """Crop one sample."""
        height, width = results['img'].shape[:2]
        bottom, right = self.top + self.size[0], self.left + self.size[1]
        if min(self.top, self.left) < 0 or bottom > height or right > width:
            raise DataError(f"CropWindow: rows {self.top} to {bottom} and columns {self.left} to {right} do not lie in "
                            f"'{results.get('img_path', 'the image')}' of {width}x{height} (width x height)")
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = results[key][self.top:bottom, self.left:right]
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(top={self.top}, left={self.left}, size={self.size})'


@TRANSFORMS.register_module()
class EvaluateAtThisSize(BaseTransform):
    """Declare the present size to be the original one, so that mmseg does not resize its logits back before it scores.

    Modified key: ``ori_shape``.
    """

    def transform(self, results: dict) -> dict:
        """Set the size of one sample."""
        results['ori_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def _neutral(neutral: Sequence[float], owner: str) -> np.ndarray:
    if len(neutral) != 4:
        raise ConfigError(f'{owner}: neutral must give four values (R, G, B, thermal), got {tuple(neutral)}')
    return np.asarray(neutral, np.float32)


@TRANSFORMS.register_module()
class DropModality(BaseTransform):
    """Blank a rectangle of the visible or of the thermal image (``--moddrop``).

    Modified key: ``img``, (H, W, 4).

    Args:
        prob: probability of blanking anything; which of the two is even.
        height: least and greatest height of the rectangle in pixels.
        width: see above.
        neutral: what is written, which is 0 after the preprocessor's scaling.
    """

    def __init__(self, prob: float = 0.5, height: tuple[int, int] = (100, 300), width: tuple[int, int] = (100, 500),
                 neutral: Sequence[float] = (127.5, 127.5, 127.5, 23400.)) -> None:
        self.prob, self.height, self.width = prob, tuple(height), tuple(width)
        self.neutral = _neutral(neutral, 'DropModality')

    def transform(self, results: dict) -> dict:
        """Blank one sample."""
        if np.random.random() >= self.prob:
            return results
        image = results['img'].copy()
        sides = [min(int(np.random.randint(low, high + 1)), limit)
                 for (low, high), limit in zip((self.height, self.width), image.shape[:2], strict=True)]
        top, left = (int(np.random.randint(limit - side + 1))
                     for side, limit in zip(sides, image.shape[:2], strict=True))
        channels = slice(0, 3) if np.random.random() < 0.5 else slice(3, 4)
        image[top:top + sides[0], left:left + sides[1], channels] = self.neutral[channels]
        results['img'] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, height={self.height}, width={self.width})'


@TRANSFORMS.register_module()
class ScaleThermal(BaseTransform):
    """Pull the clipped thermal channel towards its neutral count (``--irscale``).

    Modified key: ``img``, (H, W, 4).

    Args:
        prob: probability of doing it.
        low: least factor; the factor is uniform in [low, 1].
        thermal_range: counts at which the preprocessor clips.
        neutral: count that the preprocessor makes 0.
    """

    def __init__(self, prob: float = 0.5, low: float = 0.1, thermal_range: tuple[float, float] = (21800., 25000.),
                 neutral: float = 23400.) -> None:
        self.prob, self.low, self.thermal_range, self.neutral = prob, low, tuple(thermal_range), neutral

    def transform(self, results: dict) -> dict:
        """Scale one sample."""
        if np.random.random() < self.prob:
            factor = np.random.uniform(self.low, 1)
            image = results['img'].copy()
            image[..., 3] = self.neutral + factor * (image[..., 3].clip(*self.thermal_range) - self.neutral)
            results['img'] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, low={self.low})'
