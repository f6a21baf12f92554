"""Building blocks that the generators and the discriminator share.

Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.2


class DownBlock(nn.Module):
    """4x4 convolution with reflect padding and no bias, batch norm, LeakyReLU 0.2.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 2 halves the sides, 1 makes them one pixel shorter.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 4, stride, 1, bias=False, padding_mode='reflect'),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(SLOPE, inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H / stride, W / stride)."""
        return self.conv(x)


class UpBlock(nn.Module):
    """4x4 transposed convolution with stride 2 and no bias, batch norm, ReLU, dropout.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        dropout: probability; 0 for none.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, 2H, 2W)."""
        return self.dropout(self.conv(x))


class LatentNoise(nn.Module):
    """Adds Gaussian noise to features.

    Args:
        std: standard deviation; 0 for none.
        always: also in evaluation mode, as the published code does; its results differ from run to run.
    """

    def __init__(self, std: float = 0.01, always: bool = False) -> None:
        super().__init__()
        self.std = std
        self.always = always

    @property
    def active(self) -> bool:
        """Whether the next call adds noise."""
        return self.std > 0 and (self.training or self.always)

    def sample(self, like: Tensor) -> Tensor:
        """A standard normal tensor of the shape, type and device of ``like``."""
        return torch.randn_like(like)

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Tensors of one shape to the same; all get the same draw."""
        if not self.active:
            return features
        noise = self.std * self.sample(features[0])
        return tuple(feature + noise for feature in features)
