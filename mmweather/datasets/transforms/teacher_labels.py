"""Labels that a teacher wrote, with its certainty of each pixel."""

from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import PackSegInputs

from ...errors import DataError
from ...registry import TRANSFORMS
from ...utils.images import read_image


@TRANSFORMS.register_module()
class LoadCertainty(BaseTransform):
    """Read a teacher's certainty of the labels; samples without ``certainty_path`` pass as they are.

    Its geometry is that of the label map: it is one of the ``seg_fields``.

    Added keys: ``certainty_map``, uint8 (H, W), 255 for certain; an entry of ``seg_fields``.

    Raises:
        DataError: the file is missing or damaged, or differs in size from the image.
    """

    def transform(self, results: dict) -> dict:
        """Read one map."""
        path = results.get('certainty_path')
        if not path:
            return results
        certainty = np.ascontiguousarray(read_image(path)[..., 0])
        if 'img' in results and results['img'].shape[:2] != certainty.shape:
            height, width = results['img'].shape[:2]
            raise DataError(f"certainty map '{path}' is {certainty.shape[1]}x{certainty.shape[0]} but its image is "
                            f'{width}x{height} (width x height); write the labels again')
        results['certainty_map'] = certainty
        results.setdefault('seg_fields', []).append('certainty_map')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class PackTeacherLabels(PackSegInputs):
    """mmseg's packing, which puts ``certainty_map`` into the data sample as ``certainty``: float32 (H, W) in [0, 1].

    Arguments are those of ``mmseg.PackSegInputs``.
    """

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        packed = super().transform(results)
        certainty = results.get('certainty_map')
        if certainty is not None:
            value = torch.from_numpy(np.ascontiguousarray(certainty)).float() / 255
            packed['data_samples'].set_field(value, 'certainty', dtype=torch.Tensor)
        return packed
