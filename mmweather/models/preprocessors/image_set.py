"""From a packed batch to what restorers take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmweather.errors import DataError
from mmweather.registry import MODELS


@MODELS.register_module()
class ImageSetPreprocessor(BaseDataPreprocessor):
    """Stacks each named image of the samples and scales [0, 255], uint8 or float, to float [0, 1].

    It does not pad: the restorer pads to what its network declares.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``: list of dicts, or dict of lists, of (C, H, W) tensors in [0, 255]; ``data_samples``:
                list.
            training: unused; both modes are the same.

        Returns:
            ``inputs``: dict of (B, C, H, W) float32 tensors in [0, 1] on the device; ``data_samples``: the list.

        Raises:
            DataError: images of one batch differ in size.
        """
        inputs, samples = data['inputs'], data.get('data_samples')
        if not isinstance(inputs, dict):
            inputs = {key: [item[key] for item in inputs] for key in inputs[0]}
        stacked = {key: self._stack(key, images, samples) for key, images in inputs.items()}
        return {'inputs': stacked, 'data_samples': self.cast_data(samples)}

    def _stack(self, key: str, images: Sequence[Tensor] | Tensor, samples: Sequence[Any] | None) -> Tensor:
        sizes = {tuple(image.shape) for image in images}
        if len(sizes) > 1:
            names = [getattr(sample, 'sample_key', '?') for sample in samples or ()]
            raise DataError(f"images '{key}' of one batch differ in size {sorted(sizes)} (samples {names}): crop them "
                            'to one size, or set batch_size=1')
        batch = images if isinstance(images, Tensor) else torch.stack(list(images))
        return to_unit_range(batch.to(self.device, non_blocking=True))


def to_unit_range(image: Tensor) -> Tensor:
    """uint8, or float in [0, 255], to float32 in [0, 1]."""
    return image.float() / 255


def stack_targets(samples: Sequence[Any], key: str = 'gt_img') -> Tensor:
    """One field of the data samples as a batch.

    Args:
        samples: data samples that hold ``key`` as (C, H, W) in [0, 255].
        key: name of the field.

    Returns:
        (B, C, H, W) float32 in [0, 1].

    Raises:
        DataError: a sample lacks the field.
    """
    return to_unit_range(_stack_field(samples, key))


def stack_masks(samples: Sequence[Any], key: str = 'mask') -> Tensor:
    """Masks of the data samples as a batch.

    Args:
        samples: data samples that hold ``key`` as (1, H, W), 0 or 1.
        key: name of the field.

    Returns:
        (B, 1, H, W) float32, 0 or 1.

    Raises:
        DataError: a sample lacks the field.
    """
    return _stack_field(samples, key).float()


def _stack_field(samples: Sequence[Any], key: str) -> Tensor:
    if not samples:
        raise DataError(f"there are no data samples: training needs '{key}' of each image (PackImages packs it)")
    for sample in samples:
        if key not in sample:
            what = 'mask' if key == 'mask' else 'target'
            raise DataError(f"sample '{getattr(sample, 'sample_key', '?')}' has no '{key}': load the {what} in the "
                            'pipeline (LoadImages and PackImages)')
    return torch.stack([getattr(sample, key) for sample in samples])
