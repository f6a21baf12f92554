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
    """uint8 (H, W) or (H, W, C) array -> uint8 (C, H, W) tensor that owns its memory."""
    if image.dtype != np.uint8:
        raise DataError(f'PackImages takes uint8 images in 0..255, got {image.dtype}; the preprocessor scales later')
    image = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order='C'))


@TRANSFORMS.register_module()
class PackImages(BaseTransform):
    """Pack a sample for ``mmweather.ImageSetPreprocessor``.

    The result is ``{'inputs': {key: uint8 (C, H, W) tensor}, 'data_samples': mmagic DataSample}``.  The data sample
    carries the target as ``gt_img`` and each input other than ``img`` under its own key, all uint8 (C, H, W) RGB in
    0..255; its metainfo carries ``<key>_path``, ``sample_key``, ``sample_idx`` and ``ori_shape``, as far as the sample
    has them.

    Args:
        keys: inputs of the network.
        gt: key of the target; None where there is no target.
        meta_keys: more entries of the sample for the metainfo.

    Raises:
        ConfigError: a key is absent.
        DataError: an image is not uint8.
    """

    META = ('sample_key', 'sample_idx', 'ori_shape')

    def __init__(self, keys: Sequence[str] = ('img', ), gt: str | None = 'gt', meta_keys: Sequence[str] = ()) -> None:
        self.keys = tuple(keys)
        self.gt = gt
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        wanted = (*self.keys, *((self.gt, ) if self.gt else ()))
        for key in wanted:
            if key not in results:
                raise ConfigError(f"PackImages: the sample has no '{key}'; load it, or drop it from keys (gt=None "
                                  'where there is no target)')
        inputs = {key: to_chw(results[key]) for key in self.keys}
        sample = DataSample()
        if self.gt:
            sample.set_data({'gt_img': to_chw(results[self.gt])})
        sample.set_data({key: tensor for key, tensor in inputs.items() if key != 'img'})
        names = [*(f'{key}_path' for key in wanted), *self.META, *self.meta_keys]
        sample.set_metainfo({name: results[name] for name in names if name in results})
        return {'inputs': inputs, 'data_samples': sample}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, gt={self.gt!r})'
