"""MobileNetV2 for images of any number of channels, as a stream of ``mmweather.TwoStreamBackbone``."""

from __future__ import annotations

from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.backbones import MobileNetV2

from mmweather.registry import MODELS


@MODELS.register_module()
class MobileNetV2Stream(MobileNetV2):
    """mmseg's MobileNetV2 with a first convolution of ``in_channels`` channels; the other keys are the same.

    Args:
        in_channels: channels of the image.
        **kwargs: of mmseg's ``MobileNetV2``.
    """

    def __init__(self, in_channels: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if in_channels != 3:
            self.conv1 = ConvModule(in_channels, self.conv1.out_channels, 3, stride=2, padding=1,
                                    conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
