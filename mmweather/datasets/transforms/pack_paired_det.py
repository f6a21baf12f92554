"""From a paired sample to what mmdet's detectors take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs

from ...registry import TRANSFORMS
from .paired_det import CLEAN, companions


@TRANSFORMS.register_module()
class PackPairedDetInputs(PackDetInputs):
    """mmdet's packing, with the companions in the data sample.

    ``data_samples.<key>`` is a (C, H, W) tensor of the size of ``inputs``, unchanged in type and range, for each
    companion that the sample has; ``mmweather.PairedDetPreprocessor`` normalises it like ``inputs``.

    Args:
        keys: companions.
        meta_keys: of ``mmdet.PackDetInputs``; by default also ``<key>_path``, ``pad_param`` (see
            :class:`~mmweather.datasets.transforms.fog_augment.Letterbox`), ``unlabelled_labels`` (see
            :class:`~mmweather.datasets.partly_labelled.PartlyLabelledCoco`) and ``instances``, the truth that
            ``mmdet.CocoMetric`` takes where it has no COCO file.

    Raises:
        DataError: a companion differs in size from ``img``: a transform before moved one of them alone.
    """

    META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction', 'pad_param',
            'instances', 'unlabelled_labels')

    def __init__(self, keys: Sequence[str] = CLEAN, meta_keys: Sequence[str] | None = None) -> None:
        self.keys = (keys, ) if isinstance(keys, str) else tuple(keys)
        if meta_keys is None:
            meta_keys = (*self.META, *(f'{key}_path' for key in self.keys))
        super().__init__(tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        found = companions(results, self.keys, type(self).__name__)
        packed = super().transform(results)
        for key in found:
            image = results[key] if results[key].ndim == 3 else results[key][..., None]
            tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
            setattr(packed['data_samples'], key, tensor)
        return packed

    def __repr__(self) -> str:
        return f'{type(self).__name__}(keys={self.keys}, meta_keys={self.meta_keys})'
