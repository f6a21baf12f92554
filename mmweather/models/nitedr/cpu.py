"""CleanNet's blocks arranged for a CPU's caches: inference without gradients.

A feature map of the full resolution is larger than the second-level cache by a factor of thirty to a hundred and
twenty, so a depthwise convolution of the whole map waits for memory, and an allocation of that size is handed out
as fresh pages every time.  Here a block goes over strips of rows, and within a strip over groups of channels, so
that what one operation writes is in the cache when the next one reads it.  Neighbouring rows that a strip needs are
computed twice.  All tensors are (rows, W, C), one sample, dense.

The numbers equal those of the plain modules up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.whole_image import whole_image

# Elements of one working tensor: 1 MiB of floats, the second-level cache of one core on current servers.
WORKING_SET = 1 << 18


def applies(x: Tensor) -> bool:
    """Whether the arrangement may be used: CPU, no gradients, not being compiled, traced or exported."""
    return (x.device.type == 'cpu' and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing() and x.dtype in (torch.float32, torch.bfloat16))


def working_dtype(x: Tensor) -> torch.dtype:
    """The type that convolutions and products use: that of autocast where it is on, else that of ``x``."""
    return torch.get_autocast_dtype('cpu') if torch.is_autocast_enabled('cpu') else x.dtype


def without_autocast() -> torch.autocast | nullcontext:
    """Autocast would convert each slice of the weights anew; the callers convert once and switch it off."""
    return torch.autocast('cpu', enabled=False) if torch.is_autocast_enabled('cpu') else nullcontext()


def strips(height: int, width: int, channels: int, least: int) -> Iterator[tuple[int, int]]:
    """First and last row (exclusive) of strips whose tensor of ``channels`` channels has about the working set.

    ``least`` rows at the fewest, lest the rows borrowed from the neighbours cost more than the cache saves.
    """
    rows = max(WORKING_SET // (width * channels), least)
    rows = -(-height // -(-height // rows))
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def widen(start: int, stop: int, by: int, height: int) -> tuple[int, int]:
    """Rows ``start`` to ``stop`` and ``by`` more on both sides, within the map."""
    return max(start - by, 0), min(stop + by, height)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """1x1 convolution of (rows, W, K) by (N, K) to (rows, W, N).

    The rows are presented as a batch of one-row images, for which PyTorch chooses oneDNN at any thread count.
    """
    y = F.conv2d(x.unsqueeze(1).permute(0, 3, 1, 2), weight[:, :, None, None], bias)
    return y.permute(0, 2, 3, 1).squeeze(1)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    """Depthwise convolution with zero padding of (rows, W, C) by (C, 1, k, k) to the same shape."""
    padding = dilation * (weight.shape[-1] // 2)
    y = F.conv2d(x.unsqueeze(0).permute(0, 3, 1, 2), weight, bias, 1, padding, dilation, weight.shape[0])
    return y.squeeze(0).permute(1, 2, 0)


class HalfFeedForward:
    """One half of the feed-forward's hidden channels, even and odd channels apart.

    The second pair of convolutions adds neighbouring channels.  With even and odd ones in tensors of their own
    this is the sum of two dense tensors.
    """

    def __init__(self, ffn: nn.Module, half: int, dtype: torch.dtype) -> None:
        second = ffn.dwconv5x5_1 if half else ffn.dwconv3x3_1
        hidden = second.out_channels
        rows = slice(half * hidden, (half + 1) * hidden)

        def apart(x: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
            return (None, None) if x is None else (x[0::2].to(dtype).contiguous(), x[1::2].to(dtype).contiguous())

        def part(conv: nn.Conv2d) -> tuple:
            bias = None if conv.bias is None else conv.bias[rows]
            return tuple(zip(apart(conv.weight[rows]), apart(bias), strict=True))

        self.hidden = hidden
        self.project = tuple((w.flatten(1), b) for w, b in part(ffn.project_in))
        self.first = (part(ffn.dwconv3x3), part(ffn.dwconv5x5))
        paired = second.weight.reshape(2, hidden, 1, *second.weight.shape[2:])
        self.second = (apart(paired[0]), apart(paired[1]))
        self.second_bias = None if second.bias is None else second.bias.to(dtype)
        self.out = ffn.project_out.weight.flatten(1)[:, rows].to(dtype)

    def _branches(self, x: Tensor, keep: slice, parity: int, pick: slice) -> tuple[Tensor, Tensor]:
        weight, bias = self.project[parity]
        features = pointwise(x, weight[pick], None if bias is None else bias[pick])
        branches = []
        for branch in (0, 1):
            weight, bias = self.first[branch][parity]
            y = depthwise(features, weight[pick], None if bias is None else bias[pick]).relu_()
            branches.append(depthwise(y, self.second[branch][parity][pick])[keep])
        return tuple(branches)

    def _add(self, y: Tensor, first: int, result: Tensor, skip: int = 0) -> None:
        """Project the hidden features ``y`` with indices from ``first`` on, the first ``skip`` left out."""
        stop = first + y.shape[-1]
        if self.second_bias is not None:
            y += self.second_bias[first:stop]
        weight = self.out[:, first:stop]
        if skip:
            weight = torch.cat((torch.zeros_like(weight[:, :skip]), weight[:, skip:]), 1)
        result.flatten(0, 1).addmm_(y.relu_().flatten(0, 1), weight.t())

    def add(self, x: Tensor, keep: slice, result: Tensor, group: int) -> None:
        """Add this half's part of the output for the rows ``keep`` of ``x`` (rows, W, C)."""
        odd = self.hidden % 2
        middle = self.hidden // 2
        straddling = last = None
        for start in range(0, middle + odd, group):
            pick = slice(start, start + group)
            small, large = self._branches(x, keep, 0, pick)
            count = min(group, middle - start)
            if count:
                small_odd, large_odd = self._branches(x, keep, 1, pick)
            if not odd:
                self._add(small.add_(small_odd), start, result)
                self._add(large.add_(large_odd), middle + start, result)
                continue
            # Odd width: the last channel of the 3x3 branch pairs with the first of the 5x5 branch, and from there
            # on an odd channel with the even one after it.
            if start == 0:
                straddling = large[..., 0].clone()
            else:
                large[..., 0] += last
            if count:
                small[..., :count] += small_odd
                large[..., 1:] += large_odd[..., :large.shape[-1] - 1]
                last = large_odd[..., -1]
            if small.shape[-1] > count:
                small[..., -1] += straddling
            self._add(small, start, result)
            self._add(large, middle + start, result, skip=int(start == 0))


def feed_forward(ffn: nn.Module, x: Tensor) -> Tensor:
    """:class:`~mmweather.models.nitedr.layers.MixedScaleFeedForward` of (B, H, W, C)."""
    dtype = working_dtype(x)
    with without_autocast():
        halves = [HalfFeedForward(ffn, half, dtype) for half in (0, 1)]
        x = x.to(dtype)
        b, height, width, channels = x.shape
        out = x.new_zeros(b, height, width, channels)
        if ffn.project_out.bias is not None:
            out += ffn.project_out.bias
        for sample, result in zip(x, out, strict=True):
            for start, stop in strips(height, width, 64, 48):
                first, beyond = widen(start, stop, 4, height)
                group = min(max((1 << 17) // (width * (stop - start)) // 64, 1), 8) * 64
                for half in halves:
                    half.add(sample[first:beyond], slice(start - first, stop - first), result[start:stop], group)
    return out


def channel_attention(attn: nn.Module, x: Tensor) -> Tensor:
    """:class:`~mmweather.models.nitedr.layers.TopKChannelAttention` of (B, H, W, C).

    Scores and lengths are sums over pixels, so they are collected strip by strip; v is made in a second round.
    """
    dtype = working_dtype(x)
    with without_autocast():
        x = x.to(dtype)
        b, height, width, c = x.shape
        heads = attn.num_heads
        project, weight = attn.qkv.weight.flatten(1).to(dtype), attn.qkv_dwconv.weight.to(dtype)
        biases = [None if conv.bias is None else conv.bias.to(dtype) for conv in (attn.qkv, attn.qkv_dwconv)]

        def features(sample: Tensor, start: int, stop: int, which: int) -> Tensor:
            first, beyond = widen(start, stop, 1, height)
            pick = slice(which * c, (which + 1) * c)
            y = pointwise(sample[first:beyond], project[pick], None if biases[0] is None else biases[0][pick])
            y = depthwise(y, weight[pick], None if biases[1] is None else biases[1][pick])
            return y[start - first:stop - first].flatten(0, 1)

        def matrix_of(sample: Tensor) -> Tensor:
            products, squares = 0, 0
            for start, stop in strips(height, width, c, 4):
                q, k = features(sample, start, stop, 0), features(sample, start, stop, 1)
                squares = squares + torch.stack([torch.linalg.vector_norm(t, dim=0, dtype=torch.float32).square()
                                                 for t in (q, k)])
                q, k = (t.unflatten(1, (heads, -1)).permute(1, 0, 2) for t in (q, k))
                products = products + (q.transpose(1, 2) @ k).float()
            return attn.combine(products[None], *squares.sqrt().view(2, 1, heads, -1))[0].to(dtype)

        matrices = whole_image(attn, lambda: [matrix_of(sample) for sample in x])
        out = x.new_empty(b, height, width, c)
        for sample, matrix, result in zip(x, matrices, out, strict=True):
            for start, stop in strips(height, width, c, 4):
                result[start:stop] = pointwise(features(sample, start, stop, 2).unflatten(0, (stop - start, width)),
                                               matrix.t(), attn.project_out.bias)
    return out


def expert_step(step: nn.Module, state: Tensor, gate: Tensor) -> Tensor:
    """:class:`~mmweather.models.nitedr.experts.ExpertStep` of (B, H, W, C), gate (B, 8)."""
    dtype = working_dtype(state)
    with without_autocast():
        state = state.to(dtype)
        _, height, width, c = state.shape
        matrices = step.mixing_matrix(gate.float()).to(dtype)
        out = torch.empty_like(state)
        for sample, matrix, result in zip(state, matrices.unflatten(2, (-1, c)).unbind(), out, strict=True):
            matrix = matrix.transpose(0, 1)
            for start, stop in strips(height, width, c, 24):
                mixed = None
                for expert, columns in zip(step._ops, matrix, strict=True):
                    first, beyond = widen(start, stop, expert.reach, height)
                    y = expert.rows(sample[first:beyond], dtype)[start - first:stop - first]
                    y = pointwise(y, columns)
                    mixed = y if mixed is None else mixed.add_(y)
                torch.add(mixed.relu_(), sample[start:stop], out=result[start:stop])
    return out.relu_()
