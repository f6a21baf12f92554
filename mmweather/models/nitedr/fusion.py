"""Luminance fusion, the first network of NiteDR's second stage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS


class DenseLayer(nn.Module):
    """3x3 convolution and leaky ReLU whose output is appended to its input."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(in_channels, growth, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, F.leaky_relu(self.conv(x), 0.2)), 1)


@MODELS.register_module()
class LuminanceFusion(nn.Module):
    """Dense network that fuses the luminance of a visible and an infrared image (NiteDR, section III-C).

    Args:
        growth: channels that each of the five dense layers adds.
        layers: number of dense layers.
    """

    inference_contract = InferenceContract(inputs=('img', 'ir'), tiling='supported', overlap=16)

    def __init__(self, growth: int = 44, layers: int = 5) -> None:
        super().__init__()
        self.conv_1 = nn.Sequential(nn.Conv2d(2, growth, 3, padding=1), nn.LeakyReLU(0.2))
        self.dense_layers = nn.ModuleList(DenseLayer(growth * (i + 1), growth) for i in range(layers))
        widths = (growth * (layers + 1), 128, 64, 32)
        self.sub = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.2))
              for a, b in zip(widths[:-1], widths[1:], strict=True)), nn.Conv2d(32, 1, 3, padding=1), nn.Tanh())

    def forward(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Fuse two luminance planes.

        Args:
            visible: (B, 1, H, W) in [-1, 1].
            infrared: (B, 1, H, W) in [-1, 1].

        Returns:
            (B, 1, H, W) in [-1, 1].
        """
        x = self.conv_1(torch.cat((visible, infrared), 1))
        for layer in self.dense_layers:
            x = layer(x)
        return self.sub(x)
