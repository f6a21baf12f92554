"""Dynamic transformer feature enhancement (DTFE), TogetherNet's addition behind the last backbone stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmweather.registry import MODELS

from .layers import ConvNormAct, ModulatedDeformConv, TransformerCSP


@MODELS.register_module()
class DynamicTransformerEnhancement(nn.Module):
    """One deformable convolution applied twice, then a CSP layer with a transformer (Wang et al., CGF 2022).

    The two passes share their weights; the second predicts its offsets from the output of the first.

    Args:
        channels: channels in and out, a multiple of twice ``num_heads``.
        num_heads: heads of the attention.
        num_layers: layers of the transformer.
        dropout: probability in the transformer's feed-forward.
        predictor_gradient: see :class:`~mmweather.models.togethernet.layers.ModulatedDeformConv`.
        zero_offsets: see there.
        gated: add the enhancement to its input, times a factor for each channel that starts at zero, so that a
            detector that is started from a YOLOX begins as that YOLOX. As published, it replaces its input.
        width: channels in which the enhancement works, between two 1x1 convolutions; None works on all of them, as
            published.

    Raises:
        ValueError: ``width`` or ``channels`` does not divide among the heads.
    """

    def __init__(self, channels: int, num_heads: int = 4, num_layers: int = 1, dropout: float = 0.1,
                 predictor_gradient: float = 0.1, zero_offsets: bool = False, gated: bool = False,
                 width: int | None = None) -> None:
        super().__init__()
        inner = width or channels
        if inner % (2 * num_heads):
            raise ValueError(f'half of channels={inner} must be a multiple of num_heads={num_heads}')
        self.reduce = ConvNormAct(channels, inner) if width else None
        self.deform = ModulatedDeformConv(inner, inner, 3, predictor_gradient, zero_offsets)
        self.csp = TransformerCSP(inner, num_heads, num_layers, dropout)
        self.expand = nn.Conv2d(inner, channels, 1) if width else None
        self.gate = nn.Parameter(torch.zeros(channels, 1, 1)) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape; attention is over all H x W positions."""
        enhanced = x if self.reduce is None else self.reduce(x)
        enhanced = self.csp(self.deform(self.deform(enhanced)))
        enhanced = enhanced if self.expand is None else self.expand(enhanced)
        return enhanced if self.gate is None else x + self.gate * enhanced
