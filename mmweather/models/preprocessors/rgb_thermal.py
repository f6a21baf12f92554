"""From packed images of four channels to what segmentors take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.data_preprocessor import SegDataPreProcessor
from torch import Tensor

from mmweather.errors import ConfigError, DataError
from mmweather.registry import MODELS

_PARTS = {('rgb', 'thermal'): slice(0, 4), ('rgb', ): slice(0, 3), ('thermal', ): slice(3, 4)}


@MODELS.register_module()
class RGBThermalPreprocessor(SegDataPreProcessor):
    """mmseg's preprocessor for images (4, H, W): R, G, B in [0, 255] and thermal counts.

    The counts are clipped to a range first; then all four channels are centred and scaled. The defaults give [-1, 1]
    for the raw counts of the Freiburg Thermal set. For 8-bit thermal images give ``thermal_range=(0, 255)`` and 127.5
    as the fourth mean and deviation.

    Args:
        mean: of R, G, B and thermal.
        std: likewise.
        thermal_range: least and greatest count that is told apart, or None.
        modalities: what the segmentor gets: ``('rgb', 'thermal')``, ``('rgb',)`` or ``('thermal',)``, so one data set
            serves segmentors of 4, 3 and 1 channels.
        **kwargs: of mmseg's ``SegDataPreProcessor``; ``size_divisor`` is 1 unless ``size`` is given.

    Raises:
        ConfigError: a value cannot work.
    """

    def __init__(self, mean: Sequence[float] = (127.5, 127.5, 127.5, 23400.),
                 std: Sequence[float] = (127.5, 127.5, 127.5, 1600.),
                 thermal_range: tuple[float, float] | None = (21800., 25000.),
                 modalities: Sequence[str] = ('rgb', 'thermal'), **kwargs: Any) -> None:
        if len(mean) != 4 or len(std) != 4:
            raise ConfigError(f'RGBThermalPreprocessor: mean and std need 4 values (R, G, B, thermal), got {len(mean)} '
                              f'and {len(std)}')
        if thermal_range is not None and not thermal_range[0] < thermal_range[1]:
            raise ConfigError(f'RGBThermalPreprocessor: thermal_range must rise, got {tuple(thermal_range)}')
        if tuple(modalities) not in _PARTS:
            raise ConfigError("RGBThermalPreprocessor: modalities must be ('rgb', 'thermal'), ('rgb',) or "
                              f"('thermal',), got {tuple(modalities)}")
        if kwargs.get('size') is None:
            kwargs.setdefault('size_divisor', 1)
        super().__init__(mean=list(mean), std=list(std), **kwargs)
        self.thermal_range = thermal_range
        self.channels = _PARTS[tuple(modalities)]

    def _clip(self, image: Tensor, sample: Any) -> Tensor:
        if image.ndim != 3 or image.shape[0] != 4:
            raise DataError(f"'{getattr(sample, 'img_path', 'an image')}' has shape {tuple(image.shape)}; four "
                            'channels are wanted: load it with mmweather.LoadRGBThermal')
        image = image.float()
        if self.thermal_range is None:
            return image
        return torch.cat((image[:3], image[3:].clamp(*self.thermal_range)))

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``: list of (4, H, W) tensors; ``data_samples``: list.
            training: pad to one size; while testing, sizes must agree.

        Returns:
            ``inputs``: (B, C, H, W) float32; ``data_samples``.

        Raises:
            DataError: an image has no four channels.
        """
        samples = data.get('data_samples') or [None] * len(data['inputs'])
        clipped = [self._clip(image, sample) for image, sample in zip(data['inputs'], samples, strict=True)]
        data = super().forward({**data, 'inputs': clipped}, training)
        # Labels are padded by mmseg; a certainty beside them counts nothing there.
        height, width = data['inputs'].shape[2:]
        for sample in data['data_samples'] or () if training else ():
            certain = sample.get('certainty')
            if certain is not None and certain.shape != (height, width):
                padded = F.pad(certain, (0, width - certain.shape[1], 0, height - certain.shape[0]))
                sample.set_field(padded, 'certainty', dtype=Tensor)
        data['inputs'] = data['inputs'][:, self.channels]
        return data
