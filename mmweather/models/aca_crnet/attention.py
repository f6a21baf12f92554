"""Attentive contextual attention, ACA-CRNet's attention over all positions of a feature map."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.whole_image import whole_image
from mmweather.registry import MODELS

from .selective import FLOOR, attention_map, block_attention, full_attention

# Queries times keys of all samples up to which the score matrix is kept whole when gradients are taken: six maps of
# 4 MiB on a CPU, up to where the blocks take about a tenth longer, and of 64 MiB on a GPU.
FULL_CPU = 1 << 20
FULL_GPU = 1 << 24


def kaiming_init(module: nn.Module) -> None:
    """Kaiming-uniform weights (fan in, gain of ReLU) and zero biases for every convolution below ``module``."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity='relu')
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _branch(channels: int, kernel: int) -> nn.Sequential:
    hidden = max(channels // 4, 1)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, kernel, padding=kernel // 2), nn.LeakyReLU(0.2),
        nn.Conv2d(hidden, 1, kernel, padding=kernel // 2))


@MODELS.register_module()
class AttentiveContextualAttention(nn.Module):
    """Non-local attention in which each position learns which others to leave out (ACA-CRNet, section III).

    The keys are the normalised queries.  A query keeps the keys whose similarity exceeds its own threshold, its mean
    similarity times a learned weight minus a learned bias; the margin above it sharpens the softmax.  Size and
    channels of the map are kept, so the layer fits between any two others, also as a plugin of an OpenMMLab backbone
    (``plugins=[dict(cfg=dict(type='mmweather.AttentiveContextualAttention'), ...)]``).

    The published code holds several maps of positions times positions.  Here the queries go in blocks, forward and
    backward, so memory grows with the number of positions; see :mod:`mmweather.models.aca_crnet.selective`.

    Args:
        in_channels: channels of the map.
        kernel_size: side of the patches that are compared, odd.  The released networks use 1, and 1 for the next three.
        stride: keys and values on every ``stride``-th row and column; queries everywhere.
        reduction: divisor of the query's channels.
        softmax_scale: factor of the logits.
        selection: False keeps every key: softmax of the bare similarity (the published ablation).
        mode: ``'full'`` matrix, ``'blocks'``, or ``'auto'``: blocks, except for a small map whose gradient is wanted.
        block_size: queries of a block; None chooses by the device.
        zero_init: start as the identity, so that a plugin leaves the features of a pretrained backbone as they are.

    Raises:
        ValueError: an argument is out of its range.
    """

    _abbr_ = 'aca'

    def __init__(self, in_channels: int, kernel_size: int = 1, stride: int = 1, reduction: int = 1,
                 softmax_scale: float = 1.0, selection: bool = True,
                 mode: Literal['auto', 'full', 'blocks'] = 'auto', block_size: int | None = None,
                 zero_init: bool = False) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd and positive, got {kernel_size}')
        if stride < 1 or not 1 <= reduction <= in_channels or (block_size is not None and block_size < 1):
            raise ValueError(f'stride={stride} and block_size={block_size} must be positive and reduction={reduction} '
                             f'lie between 1 and in_channels={in_channels}')
        if mode not in ('auto', 'full', 'blocks'):
            raise ValueError(f"mode must be 'auto', 'full' or 'blocks', got {mode!r}")
        self.kernel_size = kernel_size
        self.stride = stride
        self.softmax_scale = softmax_scale
        self.selection = selection
        self.mode = mode
        self.block_size = block_size
        self.zero_init = zero_init
        width = in_channels // reduction
        # Named as in the published checkpoints; `bias` is a module.
        self.linear_weight = _branch(width, kernel_size) if selection else None
        self.bias = _branch(width, kernel_size) if selection else None
        self.query = nn.Conv2d(in_channels, width, 1)
        self.value = nn.Conv2d(in_channels, in_channels, 1)
        self.linear = nn.Sequential(nn.Conv2d(in_channels, in_channels, 3, padding=1), nn.LeakyReLU(0.2))
        self.init_weights()

    def init_weights(self) -> None:
        """Weights as published; an OpenMMLab backbone calls this after it has set all its convolutions its own way."""
        kaiming_init(self)
        if self.zero_init:
            nn.init.zeros_(self.linear[0].weight)

    def _patches(self, x: Tensor, stride: int) -> Tensor:
        """(B, C, H, W) to (B, positions, C * k * k)."""
        if self.kernel_size == 1:
            return x[..., ::stride, ::stride].permute(0, 2, 3, 1).flatten(1, 2)
        return F.unfold(x, self.kernel_size, padding=self.kernel_size // 2, stride=stride).mT

    def _scored(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries, keys, values and thresholds of a map (B, C, H, W)."""
        query = self.query(x)
        q = self._patches(query, 1)

        def keys_and_values() -> tuple[Tensor, Tensor]:
            k = self._patches(query, self.stride) if self.stride > 1 else q
            # As one tensor for the queries and the keys the norm is taken in float32 under autocast.
            k = F.normalize(k.to(torch.promote_types(k.dtype, torch.float32)), dim=-1, eps=1e-4)
            return k, self._patches(self.value(x), self.stride).contiguous()

        k, v = whole_image(self, keys_and_values)
        if self.linear_weight is None or self.bias is None:
            return q, k.to(q.dtype), v, None
        with torch.autocast(x.device.type, enabled=False):
            # The mean over the keys of the similarity is the similarity to the mean key.
            mean = q.to(k.dtype) @ k.mean(1, keepdim=True).mT
        weight, bias = (branch(query).flatten(2).mT.to(k.dtype) for branch in (self.linear_weight, self.bias))
        return q, k.to(q.dtype), v, mean * weight - bias

    def _whole(self, q: Tensor, k: Tensor) -> bool:
        if self.mode != 'auto':
            return self.mode == 'full'
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return True  # a loop over blocks would be unrolled for one size
        limit = FULL_CPU if q.device.type == 'cpu' else FULL_GPU
        return torch.is_grad_enabled() and q.requires_grad and q.shape[0] * q.shape[1] * k.shape[1] <= limit

    def weights(self, x: Tensor) -> Tensor:
        """The attention map, whole: (B, C, H, W) to (B, queries, keys), rows summing to at most about one."""
        q, k, _, threshold = self._scored(x)
        return attention_map(q, k, threshold, self.softmax_scale) + FLOOR

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), any size and range, to the same shape."""
        q, k, v, threshold = self._scored(x)
        if self._whole(q, k):
            with torch.autocast(x.device.type, enabled=False):
                out = full_attention(q, k, v, threshold, self.softmax_scale)
        else:
            out = block_attention(q.contiguous(), k.contiguous(), v, threshold, self.softmax_scale, self.block_size)
        if self.kernel_size == 1:
            out = out.unflatten(1, x.shape[-2:]).permute(0, 3, 1, 2)
        else:
            size = self.kernel_size
            out = F.fold(out.mT, x.shape[-2:], size, padding=size // 2) / size**2
        return self.linear(out) + x
