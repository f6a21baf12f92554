"""ACA-CRNet's network: the residual trunk of DSen2-CR with two blocks of attentive contextual attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS

from .attention import AttentiveContextualAttention, kaiming_init


class ResidualBlock(nn.Module):
    """x + scale * conv(relu(conv(x))), no biases; (B, C, H, W) to the same shape."""

    def __init__(self, channels: int, residual_scale: float) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.conv2(F.relu(self.conv1(x), inplace=True)), alpha=self.residual_scale)


class AttentionBlock(nn.Module):
    """Residual block whose branch attends over the map at a half or a quarter of the size.

    (B, C, H, W) to the same shape.  The published block fails where the size is no multiple of the factor; here the
    branch is resized to the size of its input.
    """

    def __init__(self, channels: int, residual_scale: float, down_factor: int, selection: bool,
                 attention: Literal['auto', 'full', 'blocks']) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.conv1 = nn.Conv2d(channels, channels, 3, 2, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, down_factor // 2, 1, bias=False)
        self.att = AttentiveContextualAttention(channels, selection=selection, mode=attention)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv2(F.relu(self.conv1(x), inplace=True)), inplace=True)
        y = F.interpolate(self.att(y), size=x.shape[-2:], mode='bilinear', align_corners=True)
        return torch.add(x, y, alpha=self.residual_scale)


@MODELS.register_module()
class ACACRNet(nn.Module):
    """Cloud removal from one image of any number of bands (ACA-CRNet, TGRS 2024).

    The published parameter values span RGB in [-1, 1] with the tanh of the output as the image (RICE), and Sentinel-1
    and Sentinel-2 bands in [0, 2] and [0, 5] without tanh (SEN12MS-CR).

    Args:
        in_channels: bands of the input: 3, or 15 with Sentinel-1 in front of Sentinel-2.
        out_channels: bands of the output: 3 or 13.
        width: channels of the trunk.
        num_blocks: residual blocks.
        attention_blocks: which of them attend, 0-based; by default those at a half and three quarters.
        down_factor: 2 or 4, how much smaller the map is on which they attend; a checkpoint does not show it.
        skip_from: first input channel of the ``out_channels`` that are added to the output; by default the last ones.
        selection: False leaves the selection of keys out (the published ablation).
        residual_scale: factor of each block's branch.
        attention: see ``mode`` of :class:`~mmweather.models.aca_crnet.attention.AttentiveContextualAttention`.

    Raises:
        ValueError: the arguments do not fit together.
    """

    inference_contract = InferenceContract(inputs=('img', ), multiple_of=2, minimum=2, tiling='shared', overlap=32,
                                           measured_side=256)

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 256,
        num_blocks: int = 16,
        attention_blocks: Sequence[int] | None = None,
        down_factor: int = 2,
        skip_from: int | None = None,
        selection: bool = True,
        residual_scale: float = 0.1,
        attention: Literal['auto', 'full', 'blocks'] = 'auto',
    ) -> None:
        super().__init__()
        if down_factor not in (2, 4):
            raise ValueError(f'down_factor must be 2 or 4, got {down_factor}')
        self.skip_from = in_channels - out_channels if skip_from is None else skip_from
        if not 0 <= self.skip_from <= in_channels - out_channels:
            raise ValueError(f'the output adds {out_channels} input channels from {self.skip_from} on, and there are '
                             f'{in_channels}')
        if attention_blocks is None:
            attention_blocks = (num_blocks // 2, 3 * num_blocks // 4)
        if any(not 0 <= i < num_blocks for i in attention_blocks):
            raise ValueError(f'attention_blocks={tuple(attention_blocks)} must lie in 0..{num_blocks - 1}')
        self.out_channels = out_channels
        self.inference_contract = dataclasses.replace(self.inference_contract, multiple_of=down_factor,
                                                      minimum=down_factor)
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            AttentionBlock(width, residual_scale, down_factor, selection, attention) if i in attention_blocks else
            ResidualBlock(width, residual_scale) for i in range(num_blocks))
        self.refine = nn.Conv2d(width, out_channels, 3, padding=1)
        kaiming_init(self)

    def forward(self, img: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            img: (B, in_channels, H, W), H and W multiples of ``down_factor`` for the published numbers.

        Returns:
            (B, out_channels, H, W), not bounded; the RICE models take the tanh of it.
        """
        x = img.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.stem(x), inplace=True)
        for block in self.blocks:
            x = block(x)
        return self.refine(x) + img[:, self.skip_from:self.skip_from + self.out_channels]
