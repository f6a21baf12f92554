"""HeatNet's domain critics."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from mmweather.errors import ConfigError
from mmweather.registry import MODELS


@MODELS.register_module()
class DomainCritic(nn.Module):
    """Five 4x4 stride-2 convolutions that tell day from night (``--discarch cyclegan``).

    Args:
        in_channels: channels of the feature map.
        width: channels of the first convolution.
    """

    minimum = 32
    """Least side of the feature map."""

    def __init__(self, in_channels: int, width: int = 64) -> None:
        super().__init__()
        widths = (in_channels, width, 2 * width, 4 * width, 8 * width)
        for i in range(4):
            self.add_module(f'conv{i + 1}', nn.Conv2d(widths[i], widths[i + 1], 4, 2, 1))
        self.classifier = nn.Conv2d(8 * width, 1, 4, 2, 1)

    def score(self, x: Tensor) -> Tensor:
        """(B, C, h, w), both sides at least 32, to raw scores (B, 1, h // 32, w // 32)."""
        for i in range(1, 5):
            x = F.leaky_relu(getattr(self, f'conv{i}')(x), 0.2)
        return self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        """The raw scores of :meth:`score`, 32 times enlarged."""
        return F.interpolate(self.score(x), scale_factor=32, mode='bilinear')


@MODELS.register_module()
class ResNetCritic(ResNet):
    """torchvision's ResNet with one output for the whole image (``--discarch resnet18``, ``resnet50``, ...).

    Its forward gives raw scores (B, 1).

    Args:
        in_channels: channels of the feature map.
        depth: 18, 34, 50 or 101.

    Raises:
        ConfigError: another depth.
    """

    BLOCKS = {18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)), 50: (Bottleneck, (3, 4, 6, 3)),
              101: (Bottleneck, (3, 4, 23, 3))}

    def __init__(self, in_channels: int, depth: int = 18) -> None:
        if depth not in self.BLOCKS:
            raise ConfigError(f'ResNetCritic: depth must be one of {", ".join(map(str, self.BLOCKS))}, got {depth!r}')
        block, layers = self.BLOCKS[depth]
        super().__init__(block, list(layers), num_classes=1)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
