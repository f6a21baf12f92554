"""TogetherNet's neck: mmdet's YOLOXPAFPN with self-calibrated bottlenecks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.necks import YOLOXPAFPN
from torch import Tensor, nn

from mmweather.registry import MODELS

from .self_calibrated import SelfCalibratedBottleneck


@MODELS.register_module()
class SelfCalibratedPAFPN(YOLOXPAFPN):
    """YOLOXPAFPN that calibrates the last enlarged map of the top-down path and every map of the bottom-up path.

    ``calibrated[0]`` is that of the top-down path, the others follow the bottom-up path from the finest level on.

    Args:
        *args: those of mmdet's ``YOLOXPAFPN``.
        pooling: see :class:`~mmweather.models.togethernet.self_calibrated.SelfCalibratedBottleneck`.
        gated: see there.
        **kwargs: those of mmdet's ``YOLOXPAFPN``.
    """

    def __init__(self, *args: Any, pooling: int = 4, gated: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        widths = (self.in_channels[0], *self.in_channels[:-1])
        self.calibrated = nn.ModuleList(SelfCalibratedBottleneck(width, pooling, gated) for width in widths)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Features (B, in_channels[i], H_i, W_i), finest first, each twice as large as the next, to
        (B, out_channels, H_i, W_i) each.
        """
        top, kept = inputs[-1], []
        steps = list(zip(self.reduce_layers, self.top_down_blocks, inputs[-2::-1], strict=True))
        for i, (reduce, block, lateral) in enumerate(steps, 1):
            top = reduce(top)
            kept.insert(0, top)
            enlarged = self.upsample(top)
            if i == len(steps):
                enlarged = self.calibrated[0](enlarged)
            top = block(torch.cat((enlarged, lateral), 1))
        outputs = [top]
        steps = zip(self.downsamples, self.calibrated[1:], self.bottom_up_blocks, kept, strict=True)
        for shrink, calibrate, block, lateral in steps:
            outputs.append(block(torch.cat((calibrate(shrink(outputs[-1])), lateral), 1)))
        return tuple(conv(x) for conv, x in zip(self.out_convs, outputs, strict=True))
