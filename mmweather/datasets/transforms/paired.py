"""Geometry that moves every image of a sample by one draw.

Random numbers come from NumPy's global state, which ``mmweather.SeededDataset`` seeds for each sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS
from .resizing import resize_mask, resize_picture


def size_pair(size: int | Sequence[int], owner: str) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or any(not isinstance(side, (int, np.integer)) or side < 1 for side in pair):
        raise ConfigError(f'{owner}: size must be a positive integer or (height, width), got {size!r}')
    return int(pair[0]), int(pair[1])


def _images(results: dict, keys: Sequence[str], owner: str) -> list[np.ndarray]:
    """The images of ``keys``, all of one height and width."""
    for key in keys:
        if key not in results:
            raise ConfigError(f"{owner}: the sample has no '{key}'; load it before, or drop it from keys")
    images = [results[key] for key in keys]
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        listed = ', '.join(f'{key} {image.shape[1]}x{image.shape[0]}' for key, image in zip(keys, images, strict=True))
        where = results.get(f'{keys[0]}_path', results.get('sample_key', 'a sample'))
        raise DataError(f"{owner}: the images of '{where}' differ in size ({listed}); bring them to one size")
    return images


def dihedral(array: np.ndarray, mode: int) -> np.ndarray:
    """One of the eight symmetries of the square.

    ``mode`` counts quarter turns counter-clockwise, followed by an up-down flip where it is odd above 1; mode 1
    is the flip alone: 0 as is, 1 flip, 2 turn, 3 turn + flip, 4 half turn, 5 half turn + flip, 6 three turns,
    7 three turns + flip.  (The numbering of the published NiteDR loader.)

    Args:
        array: (H, W) or (H, W, C).
        mode: 0 to 7.

    Returns:
        A view, (H, W, ...) for modes 0, 1, 4, 5 and (W, H, ...) for the others.

    Raises:
        ValueError: another mode.
    """
    if not 0 <= mode <= 7:
        raise ValueError(f'mode must lie in 0..7, got {mode}')
    turned = np.rot90(array, mode // 2)
    return np.flipud(turned) if mode % 2 else turned


def pad_to(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Grow bottom and right to at least (height, width) by mirroring with the edge repeated.

    Works for any size from one pixel up: the mirror is repeated as often as needed.  An array that is large enough
    is returned as it is.
    """
    grow = (max(0, height - array.shape[0]), max(0, width - array.shape[1]))
    if not any(grow):
        return array
    return np.pad(array, ((0, grow[0]), (0, grow[1])) + ((0, 0), ) * (array.ndim - 2), mode='symmetric')


@TRANSFORMS.register_module()
class PairedResize(BaseTransform):
    """Resize every image to one size: pictures bilinearly with antialiasing, masks to 0 and 1.

    Modified keys: ``keys`` and those of ``masks`` that the sample has.

    Args:
        keys: pictures, uint8 (H, W[, 3]), of one size.
        size: height and width, or (height, width).
        masks: masks (H, W), set where they are not 0, of the size of the pictures.
        published_masks: resize masks bilinearly too and set whatever is not 0 then, which grows them, as ACA-CRNet's
            loader does; else the nearest pixel decides.

    Raises:
        ConfigError: a key is absent or ``size`` is wrong.
        DataError: the images of the sample differ in size, or are not 8-bit.
    """

    def __init__(self,
                 keys: Sequence[str] = ('img', 'gt'),
                 size: int | Sequence[int] = 256,
                 masks: Sequence[str] = ('mask', ),
                 published_masks: bool = False) -> None:
        self.keys = tuple(keys)
        self.size = size_pair(size, 'PairedResize')
        self.masks = tuple(masks)
        self.published_masks = published_masks

    def transform(self, results: dict) -> dict:
        """Resize one sample."""
        masks = tuple(key for key in self.masks if key in results)
        for key, image in zip((*self.keys, *masks), _images(results, (*self.keys, *masks), 'PairedResize'),
                              strict=True):
            if image.dtype != np.uint8:
                raise DataError(f"PairedResize: '{key}' is {image.dtype}; it resizes 8-bit pictures and masks")
            results[key] = resize_mask(image, *self.size, self.published_masks) if key in masks else resize_picture(
                image, *self.size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, size={self.size}, masks={self.masks})'


@TRANSFORMS.register_module()
class PairedPad(BaseTransform):
    """Mirror small images at bottom and right until both sides are at least ``size``.

    Modified keys: ``keys``.

    Args:
        keys: images (H, W[, C]) of one size.
        size: height and width, or (height, width).

    Raises:
        ConfigError: a key is absent or ``size`` is wrong.
        DataError: the images of the sample differ in size.
    """

    def __init__(self, keys: Sequence[str] = ('img', 'gt'), size: int | Sequence[int] = 64) -> None:
        self.keys = tuple(keys)
        self.size = size_pair(size, 'PairedPad')

    def transform(self, results: dict) -> dict:
        """Pad one sample."""
        for key, image in zip(self.keys, _images(results, self.keys, 'PairedPad'), strict=True):
            results[key] = pad_to(image, *self.size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, size={self.size})'


@TRANSFORMS.register_module()
class PairedCrop(BaseTransform):
    """Cut the same window out of every image.

    Modified keys: ``keys``.  Added key: ``crop_window``, (top, left, height, width).

    Args:
        keys: images (H, W[, C]) of one size.
        size: height and width, or (height, width).
        random: a uniformly drawn window, else the centre.

    Raises:
        ConfigError: a key is absent or ``size`` is wrong.
        DataError: the image is smaller than the window, or the images of the sample differ in size.
    """

    def __init__(self,
                 keys: Sequence[str] = ('img', 'gt'),
                 size: int | Sequence[int] = 64,
                 random: bool = True) -> None:
        self.keys = tuple(keys)
        self.size = size_pair(size, 'PairedCrop')
        self.random = random

    def transform(self, results: dict) -> dict:
        """Crop one sample."""
        images = _images(results, self.keys, 'PairedCrop')
        height, width = self.size
        spare = images[0].shape[0] - height, images[0].shape[1] - width
        if min(spare) < 0:
            where = results.get(f'{self.keys[0]}_path', results.get('sample_key', 'a sample'))
            raise DataError(f"PairedCrop: '{where}' is {images[0].shape[1]}x{images[0].shape[0]}, smaller than the "
                            f'window {width}x{height} (width x height); put mmweather.PairedPad before it or crop less')
        if self.random:
            top, left = (int(np.random.randint(0, room + 1)) for room in spare)
        else:
            top, left = (room // 2 for room in spare)
        for key, image in zip(self.keys, images, strict=True):
            results[key] = image[top:top + height, left:left + width]
        results['crop_window'] = (top, left, height, width)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, size={self.size}, random={self.random})'


@TRANSFORMS.register_module()
class PairedDihedral(BaseTransform):
    """Turn and flip every image by one of the eight symmetries, drawn uniformly (:func:`dihedral`).

    Modified keys: ``keys``.  Added key: ``dihedral_mode``.

    Args:
        keys: images (H, W[, C]) of one size.

    Raises:
        ConfigError: a key is absent.
        DataError: the images of the sample differ in size.
    """

    def __init__(self, keys: Sequence[str] = ('img', 'gt')) -> None:
        self.keys = tuple(keys)

    def transform(self, results: dict) -> dict:
        """Turn one sample."""
        images = _images(results, self.keys, 'PairedDihedral')
        mode = int(np.random.randint(8))
        for key, image in zip(self.keys, images, strict=True):
            results[key] = dihedral(image, mode)
        results['dihedral_mode'] = mode
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys})'
