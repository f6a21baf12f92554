"""mmdet's preprocessing for images that have companions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor
from torch import Tensor

from mmweather.errors import DataError
from mmweather.registry import MODELS

from ..ops.padding import padded_size


@MODELS.register_module()
class PairedDetPreprocessor(DetDataPreprocessor):
    """Normalises, pads and augments ``inputs`` and their companions as one batch.

    Afterwards ``inputs`` is (B, C, H, W) float32, and ``data_samples[i].<key>`` is (C, H, W) float32, normalised and
    padded like ``inputs[i]``, for each companion that sample ``i`` has.  Because all images pass mmdet's preprocessor
    in one call, batch augments (``mmdet.BatchSyncRandomResize``) resize the companions by the same draw.

    The defaults are TogetherNet's: RGB, ImageNet's mean and deviation.

    Args:
        keys: companions, fields of the data samples with the channels of ``inputs`` in [0, 255].
        mean: of the channels after the conversion, or None.
        std: of the channels after the conversion, or None.
        bgr_to_rgb: images come as BGR and leave as RGB.
        pad_size_divisor: sides become multiples of it.
        minimum_size: and at least this long, as the network needs (TogetherNet 128).
        kwargs: of ``mmdet.DetDataPreprocessor``, as ``pad_value`` and ``batch_augments``.

    Raises:
        DataError: a companion differs in shape from its image.
    """

    def __init__(self,
                 keys: Sequence[str] = ('clean_img', ),
                 mean: Sequence[float] | None = (123.675, 116.28, 103.53),
                 std: Sequence[float] | None = (58.395, 57.12, 57.375),
                 bgr_to_rgb: bool = True,
                 pad_size_divisor: int = 32,
                 minimum_size: int = 128,
                 **kwargs: Any) -> None:
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb, pad_size_divisor=pad_size_divisor, **kwargs)
        self.keys = (keys, ) if isinstance(keys, str) else tuple(keys)
        self.minimum_size = minimum_size

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``: list of (C, H, W) tensors in [0, 255]; ``data_samples``: list or None.
            training: whether batch augments are applied.

        Returns:
            ``inputs`` and ``data_samples`` as described above.
        """
        images, samples = list(data['inputs']), data.get('data_samples')
        count = len(images)
        places = []
        for index, sample in enumerate(samples or ()):
            for key in self.keys:
                image, other = images[index], sample.get(key)
                if other is None:
                    continue
                if other.shape != image.shape:
                    raise DataError(
                        f"'{sample.metainfo.get('img_path', 'a sample')}': {key} is {tuple(other.shape)}, the image "
                        f'{tuple(image.shape)} (channels, height, width); bring them to one shape')
                places.append((index, key))
                images.append(other)
        # mmdet goes through the samples and stops at the last, so the images behind them pass unnoticed.
        prepared = super().forward({**data, 'inputs': images, 'data_samples': samples}, training)
        batch: Tensor = prepared['inputs']
        samples = prepared['data_samples']
        batch = self._to_minimum(batch, samples, training)
        for (index, key), image in zip(places, batch[count:], strict=True):
            setattr(samples[index], key, image)
        return {'inputs': batch[:count], 'data_samples': samples}

    def _to_minimum(self, batch: Tensor, samples: Sequence[Any] | None, training: bool) -> Tensor:
        have = tuple(batch.shape[-2:])
        want = tuple(padded_size(side, self.pad_size_divisor, self.minimum_size) for side in have)
        if have == want:
            return batch
        batch = F.pad(batch, (0, want[1] - have[1], 0, want[0] - have[0]), value=self.pad_value)
        for sample in samples or ():
            sample.set_metainfo({'batch_input_shape': want, 'pad_shape': want})
        if training and samples:
            if self.pad_mask:
                self.pad_gt_masks(samples)
            if self.pad_seg:
                self.pad_gt_sem_seg(samples)
        return batch
