"""From arrays to what the restorers take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmagic.structures import DataSample
from mmcv.transforms import BaseTransform

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS


def to_chw(image: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, C) array -> (C, H, W) tensor in 0..255 that owns its memory.

    uint8 stays as it is; float32 in [0, 1], such as reflectances, is scaled and not rounded.

    Raises:
        DataError: another type.
    """
    if image.dtype not in (np.uint8, np.float32):
        raise DataError(f'PackImages takes uint8 images in 0..255 or float32 in [0, 1], got {image.dtype}; cast them '
                        'when they are loaded')
    image = image[..., None] if image.ndim == 2 else image
    tensor = torch.from_numpy(np.array(image.transpose(2, 0, 1), order='C'))
    return tensor if tensor.dtype == torch.uint8 else tensor.mul_(255)


def to_mask(mask: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, 1) array -> uint8 (1, H, W) tensor, 1 where the array is not 0.

    Raises:
        DataError: the array has several channels.
    """
    mask = mask[..., 0] if mask.ndim == 3 and mask.shape[2] == 1 else mask
    if mask.ndim != 2:
        raise DataError(f'a mask must be (H, W), got {mask.shape}; load it in the mode grey')
    return torch.from_numpy((mask != 0).astype(np.uint8))[None]


@TRANSFORMS.register_module()
class PackImages(BaseTransform):
    """Pack a sample for ``mmweather.ImageSetPreprocessor``.

    The result is ``{'inputs': {key: (C, H, W) tensor}, 'data_samples': mmagic DataSample}``.  The data sample carries
    the target as ``gt_img`` and each input other than ``img`` under its own key, all (C, H, W) in 0..255: uint8 of
    8-bit pictures, float32 of float32 arrays in [0, 1] (bands of a satellite).  Its metainfo carries ``<key>_path``,
    ``sample_key``, ``sample_idx`` and ``ori_shape``, as far as the sample has them, and ``eight_bit=False`` where
    ``img`` is float32: the prediction is then not rounded.

    Args:
        keys: inputs of the network.
        gt: key of the target; None where there is no target.
        mask: key of a mask, (H, W), set where it is not 0; in the data sample ``mask``, uint8 0 or 1, (1, H, W).
        meta_keys: more entries of the sample for the metainfo.

    Raises:
        ConfigError: a key is absent.
        DataError: an image is neither uint8 nor float32, or a mask has channels.
    """

    META = ('sample_key', 'sample_idx', 'ori_shape')

    def __init__(self, keys: Sequence[str] = ('img', ), gt: str | None = 'gt', mask: str | None = None,
                 meta_keys: Sequence[str] = ()) -> None:
        self.keys = tuple(keys)
        self.gt = gt
        self.mask = mask
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        wanted = (*self.keys, *(key for key in (self.gt, self.mask) if key))
        for key in wanted:
            if key not in results:
                raise ConfigError(f"PackImages: the sample has no '{key}'; load it, or drop it from keys (gt=None "
                                  'where there is no target)')
        inputs = {key: to_chw(results[key]) for key in self.keys}
        sample = DataSample()
        if self.gt:
            sample.set_data({'gt_img': to_chw(results[self.gt])})
        if self.mask:
            sample.set_data({'mask': to_mask(results[self.mask])})
        sample.set_data({key: tensor for key, tensor in inputs.items() if key != 'img'})
        names = [*(f'{key}_path' for key in wanted), *self.META, *self.meta_keys]
        sample.set_metainfo({name: results[name] for name in names if name in results})
        if any(tensor.is_floating_point() for key, tensor in inputs.items() if key == 'img'):
            sample.set_metainfo({'eight_bit': False})
        return {'inputs': inputs, 'data_samples': sample}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, gt={self.gt!r}, mask={self.mask!r})'
