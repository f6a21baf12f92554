"""Dynamic transformer feature enhancement (DTFE), TogetherNet's addition behind the last backbone stage."""

from __future__ import annotations

from torch import Tensor, nn

from mmweather.registry import MODELS

from .layers import ModulatedDeformConv, TransformerCSP


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

    Raises:
        ValueError: ``channels`` does not divide among the heads.
    """

    def __init__(self, channels: int, num_heads: int = 4, num_layers: int = 1, dropout: float = 0.1,
                 predictor_gradient: float = 0.1, zero_offsets: bool = False) -> None:
        super().__init__()
        if channels % (2 * num_heads):
            raise ValueError(f'half of channels={channels} must be a multiple of num_heads={num_heads}')
        self.deform = ModulatedDeformConv(channels, channels, 3, predictor_gradient, zero_offsets)
        self.csp = TransformerCSP(channels, num_heads, num_layers, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape; attention is over all H x W positions."""
        return self.csp(self.deform(self.deform(x)))
