"""CleanNet's blocks arranged for a CPU: training in float32.

oneDNN has a fast weight gradient of depthwise convolutions only for kernels up to three columns wide without
dilation, and a fast input gradient only without dilation; otherwise it falls back to a kernel for dense groups,
about ten times slower.  Both are put together here from the fast cases.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from .cpu import HalfFeedForward, pointwise


def applies(x: Tensor) -> bool:
    """Whether the arrangement may be used: CPU, gradients, float32 throughout, not compiled, traced or exported."""
    return (x.device.type == 'cpu' and x.dtype == torch.float32 and torch.is_grad_enabled()
            and not torch.is_autocast_enabled('cpu') and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing())


def _weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """PyTorch's own, for (B, C, H, W)."""
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], list(padding), [1, 1], False, [0, 0], x.shape[1], [False, True, False])[1]


def depthwise_weight_gradient(x: Tensor, gradient: Tensor, kernel: int, dilation: int = 1) -> Tensor:
    """Gradient of the weights of a depthwise convolution with zero padding that keeps the size.

    Args:
        x: input, (B, C, H, W), dense in channels-last order.
        gradient: with respect to the output, the same shape.
        kernel: odd kernel size.
        dilation: 1, or 2 with even H and W.

    Returns:
        (C, 1, kernel, kernel).
    """
    b, c, h, w = x.shape
    if kernel == 1:
        return (x * gradient).sum((0, 2, 3)).view(c, 1, 1, 1)
    if dilation == 2:
        # Pixels of equal parity form four images of half the size, on which the kernel is not dilated.
        x, gradient = (t.permute(0, 2, 3, 1).reshape(b, h // 2, 2, w // 2, 2, c).permute(0, 2, 4, 1, 3, 5)
                       .reshape(4 * b, h // 2, w // 2, c).permute(0, 3, 1, 2) for t in (x, gradient))
        b, h, w = 4 * b, h // 2, w // 2
    p = kernel // 2
    if kernel == 3:
        return _weight_gradient(x, gradient, x.new_empty(c, 1, 3, 3), (1, 1))
    # Three columns of the kernel at a time.  Rows of the gradient lie behind one another with zeros in between,
    # so that a shift by some columns is another view of the same memory.
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, p, p)).permute(0, 3, 1, 2)
    margin = 2 * p - 2
    width = w + margin
    memory = x.new_zeros(margin + b * h * width, c)
    memory[margin:].view(b, h, width, c)[:, :, :w] = gradient.permute(0, 2, 3, 1)
    columns = x.new_empty(c, 1, kernel, kernel)
    like = x.new_empty(c, 1, kernel, 3)
    for shift in (*range(0, margin, 3), margin):
        shifted = memory[margin - shift:margin - shift + b * h * width].view(b, h, width, c).permute(0, 3, 1, 2)
        columns[..., shift:shift + 3] = _weight_gradient(x, shifted, like, (p, 0))
    return columns


class _Depthwise(torch.autograd.Function):

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return F.conv2d(x, weight, None, 1, dilation * (weight.shape[-1] // 2), dilation, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        dilation, kernel = ctx.dilation, weight.shape[-1]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_x = F.conv2d(gradient, weight.flip(2, 3), None, 1, dilation * (kernel // 2), dilation, weight.shape[0])
        if ctx.needs_input_grad[1]:
            for_weight = depthwise_weight_gradient(x, gradient, kernel, dilation)
        return for_x, for_weight, None


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1) -> Tensor:
    """Depthwise convolution (B, C, H, W) by (C, 1, k, k) with zero padding that keeps the size, odd k.

    Second derivatives are not available.
    """
    if dilation > 2 or (dilation == 2 and (x.shape[2] % 2 or x.shape[3] % 2)):
        return F.conv2d(x, weight, bias, 1, dilation * (weight.shape[-1] // 2), dilation, weight.shape[0])
    y = _Depthwise.apply(x, weight, dilation)
    return y if bias is None else y + bias[:, None, None]


def pointwise_map(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution of (B, C, H, W), see :func:`mmweather.models.nitedr.cpu.pointwise`."""
    y = x.permute(0, 2, 3, 1)
    return pointwise(y.flatten(0, 1), conv.weight.flatten(1), conv.bias).unflatten(0, y.shape[:2]).permute(0, 3, 1, 2)


class _TrainedHalf(HalfFeedForward):
    """The same groups of channels, on whole maps (B * H, W, C) and without overwriting what gradients need."""

    def features(self, x: Tensor, shape: torch.Size, parity: int, pick: slice) -> tuple[Tensor, Tensor]:
        weight, bias = self.project[parity]
        y = pointwise(x, weight[pick], None if bias is None else bias[pick]).unflatten(0, shape).permute(0, 3, 1, 2)
        branches = []
        for branch in (0, 1):
            weight, bias = self.first[branch][parity]
            z = depthwise(y, weight[pick], None if bias is None else bias[pick]).relu_()
            branches.append(depthwise(z, self.second[branch][parity][pick]).permute(0, 2, 3, 1).flatten(0, 2))
        return tuple(branches)

    def project_out(self, y: Tensor, first: int, result: Tensor) -> Tensor:
        stop = first + y.shape[-1]
        if self.second_bias is not None:
            y = y + self.second_bias[first:stop]
        return result.addmm_(y.relu_(), self.out[:, first:stop].t())

    def accumulate(self, x: Tensor, shape: torch.Size, result: Tensor, group: int) -> Tensor:
        odd, middle = self.hidden % 2, self.hidden // 2
        straddling = last = None
        for start in range(0, middle + odd, group):
            pick = slice(start, start + group)
            count = min(group, middle - start)
            small, large = self.features(x, shape, 0, pick)
            small_odd, large_odd = self.features(x, shape, 1, pick) if count else (small[:, :0], large[:, :0])
            skip = 0
            if odd:
                # See HalfFeedForward.add: the 5x5 branch pairs an odd channel with the even one after it.
                if start == 0:
                    straddling, large, skip = large[:, :1], large[:, 1:], 1
                    before = large_odd[:, :large.shape[1]]
                else:
                    before = torch.cat((last, large_odd[:, :large.shape[1] - 1]), 1)
                last = large_odd[:, -1:] if count else None
                if small.shape[1] > count:
                    small = torch.cat((small[:, :count] + small_odd, small[:, count:] + straddling), 1)
                else:
                    small = small + small_odd
                large = large + before
            else:
                small, large = small + small_odd, large + large_odd
            result = self.project_out(small, start, result)
            if large.shape[1]:
                result = self.project_out(large, middle + start + skip, result)
        return result


def feed_forward(ffn: nn.Module, x: Tensor) -> Tensor:
    """:class:`~mmweather.models.nitedr.layers.MixedScaleFeedForward` of (B, C, H, W)."""
    x = x.permute(0, 2, 3, 1)
    b, height, width, c = x.shape
    result = x.new_zeros(b * height * width, c)
    if ffn.project_out.bias is not None:
        result = result + ffn.project_out.bias
    group = min(max((1 << 18) // (b * height * width) // 32, 1), 16) * 32
    for half in (0, 1):
        result = _TrainedHalf(ffn, half, x.dtype).accumulate(x.flatten(0, 1), x.shape[:2], result, group)
    return result.view(b, height, width, c).permute(0, 3, 1, 2)
