"""TogetherNet's restoration branch: from the backbone's features to the clear image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.registry import MODELS


def _upward(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(out_channels),
        nn.SiLU(inplace=True),
    )


@MODELS.register_module()
class RestorationDecoder(nn.Module):
    """Three transposed convolutions with skip connections, bilinear enlargement by four, 7x7 convolution, tanh.

    Args:
        in_channels: channels of the features at strides 8, 16 and 32.
        out_channels: channels of the restored image.
        tanh: keep the published tanh; its range (-1, 1) covers only the middle of an image that is normalised with
            ImageNet's mean and deviation, so the published target cannot be reached where it is dark or bright.
    """

    def __init__(self, in_channels: Sequence[int] = (128, 256, 512), out_channels: int = 3, tanh: bool = True) -> None:
        super().__init__()
        fine, middle, coarse = in_channels
        self.tanh = tanh
        self.conv_1 = _upward(coarse, middle)
        self.conv_2 = _upward(2 * middle, fine)
        self.conv_3 = _upward(2 * fine, fine // 2)
        # The place in the sequence is that of the published checkpoints, which count the padding.
        self.conv_4 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(fine // 2, out_channels, 7))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Restore the image.

        Args:
            features: (B, C_i, H / s, W / s) for s = 8, 16, 32, finest first.

        Returns:
            (B, out_channels, H, W), in (-1, 1) with ``tanh``; it is compared with the clear image in the space of the
            network's input.
        """
        fine, middle, coarse = features
        x = self.conv_1(coarse)
        x = self.conv_2(torch.cat((x, middle), 1))
        x = self.conv_3(torch.cat((x, fine), 1))
        x = self.conv_4(F.interpolate(x, scale_factor=4, mode='bilinear', align_corners=True))
        return torch.tanh(x) if self.tanh else x
