"""Self-calibrated bottlenecks of TogetherNet's neck, after Liu et al., CVPR 2020."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.registry import MODELS

SLOPE = 0.2


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)


class SelfCalibratedConv(nn.Module):
    """Convolution gated by a smoothed copy of its input.

    Args:
        channels: channels in and out.
        pooling: side of the windows whose means make the smoothed copy.
    """

    def __init__(self, channels: int, pooling: int = 4) -> None:
        super().__init__()
        self.pooling = pooling

        def conv() -> nn.Conv2d:
            return nn.Conv2d(channels, channels, 3, padding=1)

        # The places in the sequences are those of the published checkpoints: `k2.1` follows the pooling.
        self.k2 = nn.Sequential(nn.Identity(), conv())
        self.k3 = nn.Sequential(conv())
        self.k4 = nn.Sequential(conv())

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape.

        A side shorter than a window is averaged whole; the published code stops there.
        """
        window = tuple(min(self.pooling, side) for side in x.shape[-2:])
        smooth = F.interpolate(self.k2(F.avg_pool2d(x, window)), x.shape[-2:])
        return _act(self.k4(self.k3(x) * torch.sigmoid(x + smooth)))


@MODELS.register_module()
class SelfCalibratedBottleneck(nn.Module):
    """A plain and a self-calibrated branch on half the channels each, joined and added to the input.

    Args:
        channels: channels in and out, even.
        pooling: see :class:`SelfCalibratedConv`.
        gated: add the result to the input, times a factor for each channel that starts at zero, see
            :class:`~mmweather.models.togethernet.dtfe.DynamicTransformerEnhancement`.

    Raises:
        ValueError: ``channels`` is odd.
    """

    def __init__(self, channels: int, pooling: int = 4, gated: bool = False) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f'channels={channels} must be even')
        half = channels // 2
        self.conv1_a = nn.Conv2d(channels, half, 1)
        self.k1 = nn.Sequential(nn.Conv2d(half, half, 3, padding=1))
        self.conv1_b = nn.Conv2d(channels, half, 1)
        self.scconv = SelfCalibratedConv(half, pooling)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Parameter(torch.zeros(channels, 1, 1)) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        plain = _act(self.k1(_act(self.conv1_a(x))))
        calibrated = self.scconv(_act(self.conv1_b(x)))
        out = _act(self.conv3(torch.cat((plain, calibrated), 1)) + x)
        return out if self.gate is None else x + self.gate * out
