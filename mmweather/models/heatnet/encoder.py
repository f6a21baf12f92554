"""HeatNet's networks as backbones for mmseg."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmweather.registry import MODELS

from ..ops.initialisation import init_published
from .pspnet import DualResNet
from .resnext import HeatNetResNeXt


@MODELS.register_module()
class HeatNetEncoder(DualResNet):
    """The dilated ResNet of HeatNet's PSPNet on images of stacked channels.

    With ``thermal_channels`` the last channels of the image go through a second stream up to layer 2 (late fusion);
    without, all channels go through one stream (early fusion, or one modality).

    Args:
        in_channels: channels of the first stream.
        thermal_channels: channels of the second stream; 0 for one stream.
        width: channels of the stem; the published 64 gives 2048 at the deepest layer.
        blocks: blocks of the four layers.
    """

    def __init__(self, in_channels: int = 3, thermal_channels: int = 1, width: int = 64,
                 blocks: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__(in_channels, thermal_channels, width, tuple(blocks))
        self.split = (in_channels, thermal_channels) if thermal_channels else (in_channels, )

    def init_weights(self) -> None:
        """The published initialisation."""
        init_published(self)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, in + thermal channels, H, W) to features, shallow ones first, as mmseg orders them.

        Pooled stem and layer 1 at stride 4 (of two streams both, concatenated), layers 2, 3 and 4 at stride 8.
        """
        return tuple(reversed(super().forward(*image.split(self.split, 1))))


@MODELS.register_module()
class HeatNetResNeXtBackbone(HeatNetResNeXt):
    """HeatNet's ResNeXt, decoder and all, on images of stacked channels; ``mmweather.HeatNetLogitsHead`` ends it.

    Arguments are those of :class:`~mmweather.models.heatnet.resnext.HeatNetResNeXt`.
    """

    def __init__(self, in_channels: int = 3, thermal_channels: int = 1, **kwargs: Any) -> None:
        super().__init__(in_channels, thermal_channels, **kwargs)
        self.split = (in_channels, thermal_channels) if thermal_channels else (in_channels, )

    def init_weights(self) -> None:
        """The published initialisation."""
        init_published(self)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, in + thermal channels, H, W) to feature maps, logits and, with a certainty branch, its map.

        Pooled stem and module 2 at stride 4, modules 3 and 4 and the pyramid beside the pooled skip at stride 8, the
        logits (B, classes, 4 ceil(H / 4), 4 ceil(W / 4)), the certainty branch (B, 1, ...) in [0, 1], 0 for certain.
        """
        _, features, *uncertain = super().forward(*image.split(self.split, 1))
        return (*reversed(features), *uncertain)
