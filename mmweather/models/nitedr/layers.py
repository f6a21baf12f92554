"""Building blocks of CleanNet.

Parameter names are those of the published checkpoints.  The arithmetic is rearranged where the published
order costs time or memory and the result is the same up to rounding; each place says how.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.whole_image import whole_image

from . import cpu, cpu_training


def channel_first_to_last(x: Tensor) -> Tensor:
    """(B, C, H, W) seen as (B, H, W, C) without copying."""
    return x.permute(0, 2, 3, 1)


def channel_last_to_first(x: Tensor) -> Tensor:
    """(B, H, W, C) seen as (B, C, H, W) without copying."""
    return x.permute(0, 3, 1, 2)


class _WithBias(nn.Module):

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class _BiasFree(nn.Module):
    """Divides by the standard deviation without subtracting the mean first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        variance = x.to(torch.promote_types(x.dtype, torch.float32)).var(dim=-1, keepdim=True, unbiased=False)
        return x * (torch.rsqrt(variance + 1e-5).to(x.dtype) * self.weight)


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each pixel, eps 1e-5.

    Args:
        dim: number of channels.
        kind: ``'WithBias'`` (the usual layer norm) or ``'BiasFree'`` (scaled by the standard deviation, not centred).
    """

    def __init__(self, dim: int, kind: str = 'WithBias') -> None:
        super().__init__()
        self.body = _BiasFree(dim) if kind == 'BiasFree' else _WithBias(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.body(channel_first_to_last(x)).permute(0, 3, 1, 2)


def kept_counts(channels: int) -> tuple[int, int, int, int]:
    """How many entries of a row the four sparse softmaxes keep, for rows of ``channels`` entries."""
    return int(channels / 2), int(channels * 2 / 3), int(channels * 3 / 4), int(channels * 4 / 5)


def mixed_topk_softmax(scores: Tensor, weights: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Weighted sum of softmaxes over the ``k`` largest entries of each row, for every ``k`` in ``counts``.

    The kept sets are nested, so one selection of the largest ``max(counts)`` entries serves all: with these
    sorted, the denominators are prefix sums, and each entry is scaled by the sum of ``weights[i] / denominator[i]``
    over the sets that hold it.

    Args:
        scores: (..., C).
        weights: one factor a set, shape (len(counts),).
        counts: entries kept, ascending; ties are resolved as by :func:`torch.topk`.

    Returns:
        (..., C), zero where no set keeps the entry.
    """
    values, index = scores.topk(counts[-1], dim=-1)
    exponents = (values - values[..., :1].detach()).exp()
    ends = torch.tensor(counts, device=scores.device)
    denominators = exponents.cumsum(-1).index_select(-1, ends - 1)
    member = (torch.arange(counts[-1], device=scores.device) < ends[:, None]).to(scores.dtype)
    mixed = exponents * ((weights / denominators) @ member)
    return torch.zeros_like(scores).scatter(-1, index, mixed)


class TopKChannelAttention(nn.Module):
    """Self-attention between channels that keeps, in each row, only the largest entries (DRSformer, section 3.2).

    Four sparsity levels (1/2, 2/3, 3/4 and 4/5 of the entries) are mixed with learnt factors.

    Args:
        dim: number of channels.
        num_heads: number of heads; ``dim`` is a multiple of it.
        bias: whether the convolutions have one.
    """

    def __init__(self, dim: int, num_heads: int, bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.counts = kept_counts(dim // num_heads)
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(dim, dim * 3, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(dim * 3, dim * 3, 3, padding=1, groups=dim * 3, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=bias)
        self.attn1 = nn.Parameter(torch.tensor([0.2]))
        self.attn2 = nn.Parameter(torch.tensor([0.2]))
        self.attn3 = nn.Parameter(torch.tensor([0.2]))
        self.attn4 = nn.Parameter(torch.tensor([0.2]))

    def combine(self, products: Tensor, length_q: Tensor, length_k: Tensor) -> Tensor:
        """Attention and output projection as one matrix.

        Args:
            products: (B, heads, C, C), q times k transposed.
            length_q: (B, heads, C), Euclidean lengths of the channels of q.
            length_k: (B, heads, C), the same of k.

        Returns:
            (B, dim, dim): multiplied by v (pixels, dim) from the left, it gives the projected output without bias.
        """
        lengths = length_q.clamp_min(1e-12)[..., :, None] * length_k.clamp_min(1e-12)[..., None, :]
        factors = torch.cat((self.attn1, self.attn2, self.attn3, self.attn4))
        scores = products / lengths * self.temperature
        if cpu_training.applies(scores):
            # The gradients of the four factors are sums that cancel to a thousandth; these matrices are small.
            scores, factors = scores.double(), factors.double()
        attention = mixed_topk_softmax(scores, factors, self.counts).to(products.dtype)
        weight = self.project_out.weight.flatten(1)
        projection = weight.unflatten(1, (self.num_heads, -1)).transpose(0, 1).to(products.dtype)
        # (B, heads, dim out, dim in) -> (B, heads * dim in, dim out)
        return (projection @ attention).transpose(2, 3).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) to the same shape.

        q and k are normalised after their product, on the small matrix, and the output projection is
        multiplied into the attention matrix, so that the pixels of v are visited once.
        """
        if cpu.applies(x):
            return channel_last_to_first(cpu.channel_attention(self, channel_first_to_last(x)))
        b, c, h, w = x.shape
        n = self.num_heads
        if cpu_training.applies(x):
            qkv = cpu_training.pointwise_map(x, self.qkv)
            qkv = cpu_training.depthwise(qkv, self.qkv_dwconv.weight, self.qkv_dwconv.bias)
        else:
            qkv = self.qkv_dwconv(self.qkv(x))
        q, k, v = channel_first_to_last(qkv).reshape(b, h * w, 3, n, c // n).unbind(2)
        q, k = q.permute(0, 2, 3, 1), k.transpose(1, 2)

        def combined() -> Tensor:
            # The small matrices are kept in at least float32, whatever the type of the features.
            exact = torch.promote_types(q.dtype, torch.float32)
            length_q = torch.linalg.vector_norm(q, dim=-1, dtype=exact)
            length_k = torch.linalg.vector_norm(k, dim=-2, dtype=exact)
            return self.combine((q @ k).to(exact), length_q, length_k).to(v.dtype)

        with torch.autocast(x.device.type, enabled=False):
            matrix = whole_image(self, combined)
        out = v.reshape(b, h * w, c) @ matrix
        if self.project_out.bias is not None:
            out = out + self.project_out.bias
        return out.view(b, h, w, c).permute(0, 3, 1, 2)


def paired_group_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution whose every output channel reads two neighbouring input channels.

    Computed as a depthwise convolution followed by the sum of neighbours: the same numbers, several times
    faster than the grouped kernel.

    Args:
        x: (B, 2G, H, W).
        conv: ``nn.Conv2d(2G, G, k, groups=G)``.
    """
    weight = conv.weight.reshape(-1, 1, *conv.weight.shape[2:])
    y = F.conv2d(x, weight, None, conv.stride, conv.padding, conv.dilation, weight.shape[0])
    y = channel_first_to_last(y)
    y = y.unflatten(-1, (-1, 2)).sum(-1)
    if conv.bias is not None:
        y = y + conv.bias
    return y.permute(0, 3, 1, 2)


class MixedScaleFeedForward(nn.Module):
    """Feed-forward with 3x3 and 5x5 depthwise branches that exchange halves (DRSformer, section 3.3)."""

    def __init__(self, dim: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = nn.Conv2d(dim, hidden * 2, 1, bias=bias)
        self.dwconv3x3 = nn.Conv2d(hidden * 2, hidden * 2, 3, padding=1, groups=hidden * 2, bias=bias)
        self.dwconv5x5 = nn.Conv2d(hidden * 2, hidden * 2, 5, padding=2, groups=hidden * 2, bias=bias)
        self.dwconv3x3_1 = nn.Conv2d(hidden * 2, hidden, 3, padding=1, groups=hidden, bias=bias)
        self.dwconv5x5_1 = nn.Conv2d(hidden * 2, hidden, 5, padding=2, groups=hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden * 2, dim, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) to the same shape."""
        if cpu.applies(x):
            return channel_last_to_first(cpu.feed_forward(self, channel_first_to_last(x)))
        if cpu_training.applies(x):
            return cpu_training.feed_forward(self, x)
        x = self.project_in(x)
        small = F.relu(self.dwconv3x3(x), inplace=True).chunk(2, dim=1)
        large = F.relu(self.dwconv5x5(x), inplace=True).chunk(2, dim=1)
        first = paired_group_conv(torch.cat((small[0], large[0]), 1), self.dwconv3x3_1)
        second = paired_group_conv(torch.cat((small[1], large[1]), 1), self.dwconv5x5_1)
        return self.project_out(F.relu(torch.cat((first, second), 1), inplace=True))


class TransformerBlock(nn.Module):
    """Pre-norm channel attention and feed-forward, each with a residual."""

    def __init__(self, dim: int, num_heads: int, expansion: float, bias: bool, norm: str) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(dim, norm)
        self.attn = TopKChannelAttention(dim, num_heads, bias)
        self.norm2 = ChannelLayerNorm(dim, norm)
        self.ffn = MixedScaleFeedForward(dim, expansion, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class Downsample(nn.Module):
    """(B, C, H, W) to (B, 2C, H/2, W/2): 3x3 convolution to C/2, then pixel-unshuffle."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Upsample(nn.Module):
    """(B, C, H, W) to (B, C/2, 2H, 2W): 3x3 convolution to 2C, then pixel-shuffle."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(dim, dim * 2, 3, padding=1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
