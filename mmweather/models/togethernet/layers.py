"""Modulated deformable convolution and the transformer block of TogetherNet's feature enhancement."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sampling import deform_by_matrices


class ConvNormAct(nn.Module):
    """1x1 or larger convolution without bias, batch norm (eps 1e-3, momentum 0.03), SiLU; keeps height and width."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        return F.silu(self.bn(self.conv(x)), inplace=True)


def _scaled(gradient: Tensor, factor: float) -> Tensor:
    return gradient * factor


class ModulatedDeformConv(nn.Module):
    """Deformable convolution with a mask (DCNv2, Zhu et al., CVPR 2019) by torchvision's kernel, stride 1, no bias.

    Small maps on a CPU go through :func:`~mmweather.models.togethernet.sampling.deform_by_matrices`.

    One convolution predicts offsets and mask: its output holds ``y0, x0, y1, x1, ...`` of the taps in row-major order,
    then the mask's logits, as in mmcv's ``ModulatedDeformConv2dPack``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd.
        predictor_gradient: factor of every gradient that passes through the predicted offsets and masks, 0.1 as
            published; it acts on the predictor's parameters and on what flows through it to the input.
        zero_offsets: start with no offset and a mask of 0.5; as published, the predictor starts like any convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, predictor_gradient: float = 0.1,
                 zero_offsets: bool = False) -> None:
        super().__init__()
        self.taps = kernel_size**2
        self.predictor_gradient = predictor_gradient
        padding = kernel_size // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=False)
        self.conv_offset = nn.Conv2d(in_channels, 3 * self.taps, kernel_size, padding=padding)
        self.zero_offsets = zero_offsets
        self.reset_offsets()

    def reset_offsets(self) -> None:
        """Zero the predictor if it is to start at zero; to be called after a general initialisation."""
        if self.zero_offsets:
            nn.init.zeros_(self.conv_offset.weight)
            nn.init.zeros_(self.conv_offset.bias)

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, 2 * taps, H, W) in pixels, y before x for each tap, and mask (B, taps, H, W) in (0, 1)."""
        predicted = self.conv_offset(x)
        if predicted.requires_grad and self.predictor_gradient != 1:
            predicted.register_hook(partial(_scaled, factor=self.predictor_gradient))
        offset, mask = predicted.split((2 * self.taps, self.taps), 1)
        return offset, mask.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        offset, mask = self.predict(x)
        # torchvision has no half-precision kernel on every device, and positions need the digits.
        exact = torch.promote_types(x.dtype, torch.float32)
        # A position that is NaN makes torchvision's kernel read anywhere in memory. It is kept out, and put back below.
        safe = offset.to(exact).nan_to_num(nan=0.0)
        with torch.autocast(x.device.type, enabled=False):
            out = self._sample(x.to(exact), safe, self.conv.weight.to(exact), mask.to(exact))
        return (out + 0 * offset.detach().to(exact).sum()).to(offset.dtype)

    def _sample(self, x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        # Where the matrices are quicker; the gain is in the backward pass.
        limit = x.shape[1] * (2 if torch.is_grad_enabled() else 1)
        if x.device.type == 'cpu' and x.shape[-2] * x.shape[-1] <= limit and not torch.jit.is_tracing():
            return deform_by_matrices(x, offset, weight, mask)
        from torchvision.ops import deform_conv2d
        return deform_conv2d(x, offset, weight, padding=self.conv.padding, mask=mask)


class TransformerLayer(nn.Module):
    """Pre-norm self-attention over all positions and a feed-forward of four times the width, each with a residual.

    Queries, keys and values are projected twice in a row, as published: by linear maps of their own and by the
    attention's. The two maps are multiplied before they meet the tokens.

    Args:
        channels: width of a token, a multiple of ``num_heads``.
        num_heads: heads of the attention.
        dropout: probability, after both linear maps of the feed-forward.
    """

    def __init__(self, channels: int, num_heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.layernorm1 = nn.LayerNorm(channels)
        self.q = nn.Linear(channels, channels, bias=False)
        self.k = nn.Linear(channels, channels, bias=False)
        self.v = nn.Linear(channels, channels, bias=False)
        self.ma = nn.MultiheadAttention(channels, num_heads)
        self.layernorm2 = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, 4 * channels, bias=False)
        self.fc2 = nn.Linear(4 * channels, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def attend(self, x: Tensor) -> Tensor:
        """Self-attention of (B, L, C), output projection included."""
        b, length, c = x.shape
        first = torch.stack((self.q.weight, self.k.weight, self.v.weight))
        weight = (self.ma.in_proj_weight.view(3, c, c) @ first).view(3 * c, c)
        qkv = F.linear(x, weight, self.ma.in_proj_bias).view(b, length, 3, self.ma.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, length, c)
        return self.ma.out_proj(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) to the same shape."""
        x = x + self.attend(self.layernorm1(x))
        hidden = self.dropout(F.relu(self.fc1(self.layernorm2(x)), inplace=True))
        return x + self.dropout(self.fc2(hidden))


class TransformerBlock(nn.Module):
    """A linear map added to the tokens in the place of a position code, then transformer layers.

    Args:
        channels: channels of the map.
        num_heads: heads of the attention.
        num_layers: number of :class:`TransformerLayer`.
        dropout: see there.
    """

    def __init__(self, channels: int, num_heads: int = 4, num_layers: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        self.tr = nn.Sequential(*(TransformerLayer(channels, num_heads, dropout) for _ in range(num_layers)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape; the positions, row by row, are the tokens."""
        tokens = x.flatten(2).transpose(1, 2)
        tokens = self.tr(tokens + self.linear(tokens))
        return tokens.transpose(1, 2).reshape(x.shape)


class TransformerCSP(nn.Module):
    """Cross-stage partial layer with a transformer in the main path (published as C3TR).

    Args:
        channels: channels in and out; the transformer works on half of them.
        num_heads: heads of the attention.
        num_layers: layers of the transformer.
        dropout: see :class:`TransformerLayer`.
    """

    def __init__(self, channels: int, num_heads: int = 4, num_layers: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvNormAct(channels, half)
        self.conv2 = ConvNormAct(channels, half)
        self.conv3 = ConvNormAct(2 * half, channels)
        self.m = TransformerBlock(half, num_heads, num_layers, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same shape."""
        return self.conv3(torch.cat((self.m(self.conv1(x)), self.conv2(x)), 1))
