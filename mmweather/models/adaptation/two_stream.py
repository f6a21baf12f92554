"""Two backbones side by side: one for the visible image, one for another modality."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmweather.errors import ConfigError
from mmweather.registry import MODELS

FUSIONS = ('concat', 'sum', 'max')


@MODELS.register_module()
class TwoStreamBackbone(BaseModule):
    """Runs two backbones on parts of the channels of one image and fuses their features level by level.

    Any backbone that takes (B, C, H, W) and returns a sequence of feature maps will do: those of mmseg, mmdet, and of
    timm through ``mmseg.TIMMBackbone``.

    Args:
        visible: config of the backbone of the first channels.
        thermal: config of the backbone of the remaining ones; it needs ``in_channels`` to match.
        visible_channels: how many channels are the visible image's.
        fusion: ``'concat'`` (the head's ``in_channels`` is the sum of both), ``'sum'`` or ``'max'``.
        init_cfg: initialisation.

    Raises:
        ConfigError: another fusion.
    """

    def __init__(self, visible: dict, thermal: dict, visible_channels: int = 3, fusion: str = 'concat',
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if fusion not in FUSIONS:
            raise ConfigError(f"TwoStreamBackbone: fusion must be one of {', '.join(FUSIONS)}, got {fusion!r}")
        self.visible = MODELS.build(visible)
        self.thermal = MODELS.build(thermal)
        self.visible_channels = visible_channels
        self.fusion = fusion

    def _fuse(self, first: Tensor, second: Tensor) -> Tensor:
        if first.shape[2:] != second.shape[2:] or (self.fusion != 'concat' and first.shape != second.shape):
            raise ConfigError(f'TwoStreamBackbone: the streams give features {tuple(first.shape)} and '
                              f"{tuple(second.shape)}: give both backbones the same strides (and for '{self.fusion}' "
                              'the same widths)')
        if self.fusion == 'concat':
            return torch.cat((first, second), 1)
        return first + second if self.fusion == 'sum' else torch.maximum(first, second)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) to the fused features, in the backbones' order."""
        first: Sequence[Tensor] = self.visible(image[:, :self.visible_channels])
        second: Sequence[Tensor] = self.thermal(image[:, self.visible_channels:])
        return tuple(self._fuse(a, b) for a, b in zip(first, second, strict=True))
