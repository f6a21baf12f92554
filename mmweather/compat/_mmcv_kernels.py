"""The functions of ``mmcv._ext`` that torchvision's kernels can do, under mmcv's names and argument lists.

mmcv hands over result tensors to be filled in place; each function here fills them.  All take CPU and CUDA tensors.
torchvision has float32 and float64 kernels for every operator; inputs of any other type are computed in float32.
The layouts agree with mmcv's: offsets are ``(N, deform_groups * kh * kw * 2, H, W)`` with y before x, masks
``(N, deform_groups * kh * kw, H, W)``, boxes ``(x1, y1, x2, y2)``, regions ``(batch index, x1, y1, x2, y2)``.
"""

from __future__ import annotations

import torch
import torchvision
import torchvision.ops  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from ..errors import MissingToolboxError

OPS = ('get_compiler_version', 'get_compiling_cuda_version', 'nms', 'roi_align_forward', 'roi_align_backward',
       'deform_conv_forward', 'deform_conv_backward_input', 'deform_conv_backward_parameters',
       'modulated_deform_conv_forward', 'modulated_deform_conv_backward')


def _same_type(*tensors: Tensor) -> list[Tensor]:
    """The tensors in one contiguous type that all kernels have: that of the first, or float32."""
    dtype = tensors[0].dtype if tensors[0].dtype in (torch.float32, torch.float64) else torch.float32
    return [tensor.to(dtype).contiguous() for tensor in tensors]


def get_compiler_version() -> str:
    """What mmcv reports as the compiler of its operators."""
    return f'none, operators of torchvision {torchvision.__version__}'


def get_compiling_cuda_version() -> str:
    """What mmcv reports as the CUDA version of its operators."""
    return torch.version.cuda or 'not available'


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the kept boxes, best first.

    Args:
        boxes: ``(N, 4)``.
        scores: ``(N,)``.
        iou_threshold: boxes that overlap a better one by more are dropped.
        offset: 0 or 1; a box is ``x2 - x1 + offset`` wide.
    """
    boxes, scores = _same_type(boxes, scores)
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)


def _refuse_max_pooling(pool_mode: int) -> None:
    if pool_mode == 0:
        from .mmcv_ops import how_to_get
        raise MissingToolboxError(how_to_get("roi_align(pool_mode='max')"))


def roi_align_forward(input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor, argmax_x: Tensor,
                      aligned_height: int, aligned_width: int, spatial_scale: float, sampling_ratio: int,
                      pool_mode: int, aligned: bool) -> None:
    """Fill ``output (K, C, aligned_height, aligned_width)`` with the averages over the regions.

    Raises:
        MissingToolboxError: ``pool_mode`` is 0 (max), which torchvision has no kernel for.
    """
    _refuse_max_pooling(pool_mode)
    features, regions = _same_type(input, rois)
    output.copy_(
        torch.ops.torchvision.roi_align(features, regions, spatial_scale, aligned_height, aligned_width,
                                        sampling_ratio, aligned))


def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor,
                       aligned_height: int, aligned_width: int, spatial_scale: float, sampling_ratio: int,
                       pool_mode: int, aligned: bool) -> None:
    """Fill ``grad_input (N, C, H, W)``; see :func:`roi_align_forward`."""
    _refuse_max_pooling(pool_mode)
    gradient, regions = _same_type(grad_output, rois)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(gradient, regions, spatial_scale, aligned_height, aligned_width,
                                                  *grad_input.shape, sampling_ratio, aligned))


def _deform_forward(input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None,
                    output: Tensor, geometry: tuple[int, ...]) -> None:
    input, weight, offset, mask_, bias_ = _deform_inputs(input, weight, offset, mask, bias)
    output.copy_(
        torch.ops.torchvision.deform_conv2d(input, weight, offset, mask_, bias_, *geometry, mask is not None))


def _deform_backward(grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None,
                     bias: Tensor | None, geometry: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The gradients of input, weight, offset, mask and bias."""
    input, weight, offset, mask_, bias_ = _deform_inputs(input, weight, offset, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(
        grad_output.to(input.dtype), input, weight, offset, mask_, bias_, *geometry, mask is not None)


def _deform_inputs(input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None,
                   bias: Tensor | None) -> list[Tensor]:
    # torchvision takes a mask and a bias always, as its own wrapper does: one it ignores, and zeros.
    if mask is None:
        mask = input.new_zeros(input.shape[0], 1)
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    return _same_type(input, weight, offset, mask, bias)


def deform_conv_forward(input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor,
                        kW: int, kH: int, dW: int, dH: int, padW: int, padH: int, dilationW: int, dilationH: int,
                        group: int, deformable_group: int, im2col_step: int) -> None:
    """Fill ``output``; torchvision splits the batch itself and has no use for ``im2col_step`` and the buffers."""
    _deform_forward(input, weight, offset, None, None, output,
                    (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group))


def deform_conv_backward_input(input: Tensor, offset: Tensor, grad_output: Tensor, grad_input: Tensor,
                               grad_offset: Tensor, weight: Tensor, columns: Tensor, kW: int, kH: int, dW: int,
                               dH: int, padW: int, padH: int, dilationW: int, dilationH: int, group: int,
                               deformable_group: int, im2col_step: int) -> None:
    """Fill ``grad_input`` and ``grad_offset``."""
    gradients = _deform_backward(grad_output, input, weight, offset, None, None,
                                 (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group))
    grad_input.copy_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(input: Tensor, offset: Tensor, grad_output: Tensor, grad_weight: Tensor,
                                    columns: Tensor, ones: Tensor, kW: int, kH: int, dW: int, dH: int, padW: int,
                                    padH: int, dilationW: int, dilationH: int, group: int, deformable_group: int,
                                    scale: float, im2col_step: int) -> None:
    """Add ``scale`` times the gradient to ``grad_weight``, whose values are not otherwise needed."""
    gradients = _deform_backward(grad_output, input, grad_weight, offset, None, None,
                                 (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group))
    grad_weight.add_(gradients[1].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor, offset: Tensor,
                                  mask: Tensor, output: Tensor, columns: Tensor, kernel_h: int, kernel_w: int,
                                  stride_h: int, stride_w: int, pad_h: int, pad_w: int, dilation_h: int,
                                  dilation_w: int, group: int, deformable_group: int, with_bias: bool) -> None:
    """Fill ``output``."""
    _deform_forward(input, weight, offset, mask, bias if with_bias else None, output,
                    (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group))


def modulated_deform_conv_backward(input: Tensor, weight: Tensor, bias: Tensor, ones: Tensor, offset: Tensor,
                                   mask: Tensor, columns: Tensor, grad_input: Tensor, grad_weight: Tensor,
                                   grad_bias: Tensor, grad_offset: Tensor, grad_mask: Tensor, grad_output: Tensor,
                                   kernel_h: int, kernel_w: int, stride_h: int, stride_w: int, pad_h: int, pad_w: int,
                                   dilation_h: int, dilation_w: int, group: int, deformable_group: int,
                                   with_bias: bool) -> None:
    """Fill the gradients; that of the bias only ``with_bias``."""
    gradients = _deform_backward(grad_output, input, weight, offset, mask, bias if with_bias else None,
                                 (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group))
    grad_input.copy_(gradients[0])
    grad_weight.copy_(gradients[1])
    grad_offset.copy_(gradients[2])
    grad_mask.copy_(gradients[3])
    if with_bias:
        grad_bias.copy_(gradients[4])
