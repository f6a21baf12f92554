"""torchvision's kernels behind mmcv's operators against formulas written out here, in float64."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest
import torch

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.compat import mmcv_ops
from mmweather.errors import MissingToolboxError

pytest.importorskip('mmcv')
DEVICES = ['cpu', pytest.param('cuda', marks=[pytest.mark.gpu, pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no CUDA device')])]


def at(image, y, x):
    """Bilinear value of ``image (C, H, W)`` at one point; zero outside."""
    height, width = image.shape[1:]
    top, left = (math.floor(float(torch.as_tensor(value).detach())) for value in (y, x))
    value = image.new_zeros(image.shape[0])
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            value = value + image[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


def deform_conv_by_hand(image, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups):
    """Deformable convolution, version 2 with a mask and version 1 without, one product at a time."""
    out_channels, per_group, kh, kw = weight.shape
    batch, channels, height, width = image.shape
    rows = (height + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    share = channels // deform_groups
    out = []
    for n, row, column in itertools.product(range(batch), range(rows), range(columns)):
        patch = []
        for g in range(deform_groups):
            for i, j in itertools.product(range(kh), range(kw)):
                k = (g * kh + i) * kw + j
                y = row * stride[0] - padding[0] + i * dilation[0] + offset[n, 2 * k, row, column]
                x = column * stride[1] - padding[1] + j * dilation[1] + offset[n, 2 * k + 1, row, column]
                value = at(image[n, g * share:(g + 1) * share], y, x)
                patch.append(value if mask is None else value * mask[n, k, row, column])
        patch = torch.stack(patch).reshape(deform_groups, kh * kw, share).permute(0, 2, 1).reshape(channels, kh, kw)
        parts = patch.reshape(groups, 1, per_group, kh, kw)
        result = (weight.reshape(groups, -1, per_group, kh, kw) * parts).sum((2, 3, 4)).reshape(out_channels)
        out.append(result if bias is None else result + bias)
    return torch.stack(out).reshape(batch, rows, columns, out_channels).permute(0, 3, 1, 2)


def roi_align_by_hand(image, rois, size, scale, ratio, aligned):
    """Average of bilinear samples in each bin; a sample up to one pixel outside takes the edge, else zero."""
    height, width = image.shape[2:]
    out = []
    for roi in rois.tolist():
        shift = 0.5 if aligned else 0.0
        left, top, right, bottom = (value * scale - shift for value in roi[1:])
        high, wide = bottom - top, right - left
        if not aligned:
            high, wide = max(high, 1.0), max(wide, 1.0)
        ny, nx = (ratio, ratio) if ratio > 0 else (math.ceil(high / size[0]), math.ceil(wide / size[1]))
        for row, column in itertools.product(range(size[0]), range(size[1])):
            total = image.new_zeros(image.shape[1])
            for iy, ix in itertools.product(range(ny), range(nx)):
                y = top + (row + (iy + 0.5) / ny) * high / size[0]
                x = left + (column + (ix + 0.5) / nx) * wide / size[1]
                if -1 <= y <= height and -1 <= x <= width:
                    inside = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
                    total = total + at(image[int(roi[0])], *inside)
            out.append(total / max(ny * nx, 1))
    return torch.stack(out).reshape(len(rois), *size, -1).permute(0, 3, 1, 2)


def nms_by_hand(boxes, scores, threshold, offset):
    kept = []
    for index in scores.argsort(descending=True).tolist():
        box = boxes[index].tolist()
        for other in (boxes[k].tolist() for k in kept):
            wide = max(min(box[2], other[2]) - max(box[0], other[0]) + offset, 0)
            high = max(min(box[3], other[3]) - max(box[1], other[1]) + offset, 0)
            areas = sum((b[2] - b[0] + offset) * (b[3] - b[1] + offset) for b in (box, other))
            if wide * high / (areas - wide * high) > threshold:
                break
        else:
            kept.append(index)
    return kept


def compare(ours, by_hand, inputs, tolerance=1e-9):
    """Values and all gradients of the two functions agree."""
    results = []
    for function in (ours, by_hand):
        leaves = [None if value is None else value.detach().clone().requires_grad_() for value in inputs]
        result = function(*leaves)
        seed = torch.linspace(-1, 1, result.numel(), dtype=result.dtype, device=result.device).reshape(result.shape)
        (result * seed).sum().backward()
        results.append([result.detach(), *(leaf.grad for leaf in leaves if leaf is not None)])
    for index, (left, right) in enumerate(zip(*results, strict=True)):
        assert left.shape == right.shape
        assert left.abs().max() > 0
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance,
                                   msg=lambda text, i=index: f'result {i}: {text}')


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize(('groups', 'deform_groups', 'stride', 'padding', 'dilation', 'kernel'), [
    (1, 1, (1, 1), (1, 1), (1, 1), (3, 3)),
    (2, 1, (2, 1), (0, 2), (1, 2), (3, 2)),
    (1, 2, (1, 2), (2, 1), (2, 1), (2, 3)),
    (4, 4, (2, 2), (1, 1), (1, 1), (1, 3)),
])
@pytest.mark.parametrize('version', [1, 2])
def test_deformable_convolution(device, groups, deform_groups, stride, padding, dilation, kernel, version):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d
    draw = torch.Generator().manual_seed(groups * 10 + deform_groups)
    options = dict(dtype=torch.float64, generator=draw)
    image = torch.randn(2, 4, 5, 6, **options)
    weight = torch.randn(8, 4 // groups, *kernel, **options)
    plain = torch.nn.functional.conv2d(image, weight, None, stride, padding, dilation, groups)
    taps = deform_groups * kernel[0] * kernel[1]
    # Some points fall outside, none on the grid where the derivative jumps.
    offset = torch.randn(2, 2 * taps, *plain.shape[2:], **options) * 1.5
    mask = torch.rand(2, taps, *plain.shape[2:], **options)
    bias = torch.randn(8, **options)
    geometry = (stride, padding, dilation, groups, deform_groups)

    if version == 1:
        inputs = [image, offset, weight]
        compare(lambda i, o, w: deform_conv2d(i, o, w, *geometry),
                lambda i, o, w: deform_conv_by_hand(i, o, None, w, None, *geometry),
                [value.to(device) for value in inputs])
        still = deform_conv2d(image.to(device), torch.zeros_like(offset).to(device), weight.to(device), *geometry)
        torch.testing.assert_close(still.cpu(), plain)
    else:
        inputs = [image, offset, mask, weight, bias]
        compare(lambda *args: modulated_deform_conv2d(*args, *geometry),
                lambda *args: deform_conv_by_hand(*args, *geometry), [value.to(device) for value in inputs])


@pytest.mark.parametrize('device', DEVICES)
def test_the_modules_train_and_mmcv_layers_build(device):
    from mmcv.cnn import build_conv_layer
    for kind in ('DCN', 'DCNv2'):
        torch.manual_seed(0)
        layer = build_conv_layer(dict(type=kind, deform_groups=2), 4, 6, 3, padding=1).to(device)
        torch.nn.init.normal_(layer.conv_offset.weight, std=0.1)
        image = torch.rand(3, 4, 7, 7, device=device, requires_grad=True)
        layer(image).square().sum().backward()
        grads = [image.grad, *(parameter.grad for parameter in layer.parameters())]
        assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)


def test_im2col_step_does_not_change_the_result():
    from mmcv.ops import deform_conv2d
    torch.manual_seed(0)
    image, offset, weight = torch.rand(4, 2, 5, 5), torch.randn(4, 18, 3, 3), torch.rand(2, 2, 3, 3)
    results = [deform_conv2d(image, offset, weight, 1, 0, 1, 1, 1, False, step) for step in (1, 2, 4, 32)]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])
    assert results[0].shape == (4, 2, 3, 3)


def test_a_modulated_convolution_without_bias_and_with_half_inputs():
    from mmcv.ops import ModulatedDeformConv2d
    torch.manual_seed(0)
    layer = ModulatedDeformConv2d(2, 3, 3, padding=1, bias=False)
    image, offset, mask = torch.rand(1, 2, 6, 6), torch.randn(1, 18, 6, 6), torch.rand(1, 9, 6, 6)
    single = layer(image, offset, mask)
    single.sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    low = layer(image, offset.bfloat16(), mask)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), single, atol=0.1, rtol=0.1)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align(device, aligned, ratio):
    from mmcv.ops import roi_align
    draw = torch.Generator().manual_seed(3)
    image = torch.randn(2, 3, 6, 7, dtype=torch.float64, generator=draw)
    # Inside, over two edges, smaller than a pixel, and far outside.
    rois = torch.tensor([[0, 1.3, 2.1, 9.7, 8.4], [1, -3.2, -2.5, 6.1, 4.9], [1, 5.21, 5.37, 5.63, 5.89],
                         [0, 8.15, 7.35, 19.4, 16.8]], dtype=torch.float64)
    compare(lambda i: roi_align(i, rois.to(device), (3, 2), 0.5, ratio, 'avg', aligned),
            lambda i: roi_align_by_hand(i, rois, (3, 2), 0.5, ratio, aligned), [image.to(device)])


def test_roi_align_of_no_region_and_of_max_mode():
    from mmcv.ops import RoIAlign
    image = torch.rand(2, 3, 6, 7, requires_grad=True)
    none = RoIAlign((3, 2), 0.5)(image, torch.zeros(0, 5))
    assert none.shape == (0, 3, 3, 2)
    none.sum().backward()
    assert image.grad.abs().sum() == 0
    with pytest.raises(MissingToolboxError, match=r"roi_align\(pool_mode='max'\).*pip install"):
        RoIAlign((3, 2), 0.5, pool_mode='max')(image, torch.tensor([[0, 0.0, 0.0, 4.0, 4.0]]))


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.3, 0.7])
def test_nms(device, offset, threshold):
    from mmcv.ops import nms
    draw = torch.Generator().manual_seed(5)
    corners = torch.rand(60, 2, generator=draw) * 20
    boxes = torch.cat((corners, corners + torch.rand(60, 2, generator=draw) * 12), dim=1)
    scores = torch.rand(60, generator=draw)
    expected = nms_by_hand(boxes.double(), scores, threshold, offset)
    kept, indices = nms(boxes.to(device), scores.to(device), threshold, offset=offset)
    assert indices.tolist() == expected
    assert 1 < len(expected) < 60
    torch.testing.assert_close(kept.cpu(), torch.cat((boxes, scores[:, None]), 1)[expected])
    few, _ = nms(boxes.to(device), scores.to(device), threshold, offset=offset, score_threshold=0.5, max_num=3)
    torch.testing.assert_close(few.cpu(), kept.cpu()[:3])


def test_the_offset_decides_at_the_threshold():
    from mmcv.ops import nms
    boxes, scores = torch.tensor([[0.0, 0, 9, 9], [0, 5, 9, 14]]), torch.tensor([0.9, 0.8])
    # Overlap 36 of 126 without, 50 of 150 with the offset.
    assert [len(nms(boxes, scores, 0.3, offset=offset)[1]) for offset in (0, 1)] == [2, 1]


def test_batched_nms_keeps_classes_apart():
    from mmcv.ops import batched_nms
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [1, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    _, indices = batched_nms(boxes, scores, torch.tensor([0, 1, 0]), dict(type='nms', iou_threshold=0.5))
    assert indices.tolist() == [0, 1]


def test_nms_of_no_boxes():
    from mmcv.ops import nms
    for offset in (0, 1):
        kept, indices = nms(torch.zeros(0, 4), torch.zeros(0), 0.5, offset=offset)
        assert (kept.shape, indices.shape, indices.dtype) == ((0, 5), (0, ), torch.long)


def test_nms_of_half_precision_and_mixed_types():
    from mmcv.ops import nms
    boxes, scores = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]]), torch.tensor([0.7, 0.9])
    for kind in (torch.float16, torch.bfloat16):
        assert nms(boxes.to(kind), scores, 0.5)[1].tolist() == [1]


@pytest.mark.skipif(not mmcv_ops.in_use(), reason='mmcv has its compiled operators')
def test_other_operators_import_and_say_how_to_get_them():
    import mmcv.ops
    assert len([name for name in dir(mmcv.ops) if not name.startswith('_')]) > 60
    boxes = torch.rand(3, 5)
    with pytest.raises(MissingToolboxError, match=r"mmcv's operator 'box_iou_rotated'.*pip install"):
        mmcv.ops.box_iou_rotated(boxes, boxes)
    with pytest.raises(MissingToolboxError, match="'softnms'"):
        mmcv.ops.soft_nms(torch.rand(3, 4), torch.rand(3))
    assert '\n' not in mmcv_ops.how_to_get('softnms')


@pytest.mark.skipif(not mmcv_ops.in_use(), reason='mmcv has its compiled operators')
def test_without_the_fix_mmcv_ops_does_not_import():
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', 'import mmcv.ops'], capture_output=True, text=True)
    assert "No module named 'mmcv._ext'" in result.stderr


@pytest.mark.skipif(not mmcv_ops.in_use(), reason='mmcv has its compiled operators')
def test_mmengine_finds_the_stand_in_and_a_compiled_module_wins(tmp_path):
    from mmengine.utils.dl_utils.misc import mmcv_full_available
    assert mmcv_full_available()
    # A real mmcv._ext is a file in mmcv's folder; here, one in a folder added to its search path.
    (tmp_path / '_ext.py').write_text('compiled = True\n')
    code = (f'import mmcv; mmcv.__path__.append({str(tmp_path)!r})\n'
            'from mmweather.compat import apply, mmcv_ops; apply(); apply(); assert not mmcv_ops.in_use()\n'
            'import mmcv._ext; assert mmcv._ext.compiled and not hasattr(mmcv._ext, "softnms")')
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
