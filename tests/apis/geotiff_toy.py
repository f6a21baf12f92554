"""A network for tests of scenes, also in processes of their own."""

from __future__ import annotations

import torch
from torch import nn

from mmweather.models.ops.contract import InferenceContract


class Stand(nn.Module):
    """gain * x + shift, and optionally a blur with a radius of one pixel: what a network does, in one line."""

    def __init__(self, bands: int = 13, inputs: tuple[str, ...] = ('img', ), gain: float = 1.0, blur: bool = False,
                 multiple_of: int = 2, overlap: int = 8) -> None:
        super().__init__()
        self.inference_contract = InferenceContract(inputs, multiple_of, multiple_of, 'supported', overlap)
        self.out_channels = bands
        self.gain = nn.Parameter(torch.tensor(gain))
        self.blur = blur
        self.seen: list[tuple[int, ...]] = []

    def forward(self, img, sar=None):
        assert img.shape[1] == self.out_channels and img.min() >= 0 and img.max() <= 1
        self.seen.append(tuple(img.shape[-2:]))
        out = img * self.gain
        if sar is not None:
            assert sar.shape[1] == 2 and sar.min() >= 0 and sar.max() <= 1
            out = out + sar.mean(1, keepdim=True) * 0.01
        if self.blur:
            kernel = torch.full((self.out_channels, 1, 3, 3), 1 / 9)
            out = nn.functional.conv2d(nn.functional.pad(out, (1, 1, 1, 1), mode='replicate'), kernel,
                                       groups=self.out_channels)
        return out
