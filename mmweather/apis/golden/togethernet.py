"""TogetherNet's golden vectors: network, parts, losses, data pipeline, post-processing, one training step."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmweather.apis.adapters import from_official, published_forward
from mmweather.models.togethernet import losses, postprocess
from mmweather.models.togethernet.dtfe import DynamicTransformerEnhancement
from mmweather.models.togethernet.layers import TransformerCSP

from .compare import GoldenFolder
from .fill import fill_input

Rows = Iterator[tuple[str, Any, float | None]]
Arrays = dict[str, np.ndarray]
NETWORK = 'togethernet/togethernet_s_nc5'
MEAN, DEVIATION = 0.45, 0.225


def _input(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(fill_input(f'togethernet/{name}', shape))


def published_state(folder: GoldenFolder, stem: str = 'togethernet_s_nc5') -> Arrays:
    """Filled weights with the README's gain of 1.5 on everything of two or more dimensions."""
    return {key: value * np.float32(1.5) if value.ndim > 1 else value for key, value in folder.state(stem).items()}


def whole_network(folder: GoldenFolder, **options: Any) -> Any:
    """TogetherNet with filled weights, in evaluation mode."""
    return from_official(NETWORK, published_state(folder), **options).eval()


def _recorded(network: nn.Module, outputs: dict[str, str], inputs: dict[str, str], run: Callable[[], Any]) -> Any:
    """Outputs and first inputs of modules, {name: module path}, in the order of the calls; lists."""
    seen: dict[str, list[Tensor]] = {name: [] for name in (*outputs, *inputs)}
    handles = []

    def out_hook(name: str) -> Any:
        return lambda module, args, value: seen[name].append(value.clone())

    def in_hook(name: str) -> Any:
        return lambda module, args: seen[name].append(args[0].clone())

    for name, path in outputs.items():
        handles.append(network.get_submodule(path).register_forward_hook(out_hook(name)))
    for name, path in inputs.items():
        handles.append(network.get_submodule(path).register_forward_pre_hook(in_hook(name)))
    with torch.no_grad():
        value = run()
    for handle in handles:
        handle.remove()
    return value, seen


def _published_offset(offset: Tensor) -> Tensor:
    """Our order y0, x0, y1, x1, ... as all y, then all x."""
    return torch.cat((offset[:, 0::2], offset[:, 1::2]), 1)


def check_outputs(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Raw maps, decoding and detections of the whole network."""
    maps = published_forward(NETWORK, published_state(folder), _input('input', (1, 3, 128, 160)))[:3]
    for stride, value in zip(postprocess.STRIDES, maps, strict=True):
        yield f'raw_s{stride}', value, 5e-5
    decoded = postprocess.decode([torch.from_numpy(value) for value in maps])
    yield 'decoded', decoded, None
    size = (128, 160)
    yield 'dets_a', postprocess.detections(decoded[0], 0.3, 0.3, size, size, False), None
    yield 'dets_b', postprocess.detections(decoded[0], 0.001, 0.65, size, size, False), None
    yield 'dets_a_letterbox96x150', postprocess.detections(decoded[0], 0.3, 0.3, size, (96, 150)), None


def check_batch(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The whole network on a batch of two."""
    outputs = published_forward(NETWORK, published_state(folder), _input('input_b2', (2, 3, 128, 128)))
    for name, value in zip(('raw_s8', 'raw_s16', 'raw_s32'), outputs, strict=False):
        yield name, value, 5e-5
    yield 'restored', outputs[3][..., ::4, ::4], None


def check_restored(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The restored image."""
    outputs = published_forward(NETWORK, published_state(folder), _input('input', (1, 3, 128, 160)))
    yield 'restored', outputs[3], None


def check_features(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Every stage of the backbone."""
    network = whole_network(folder)
    stages = {f'dark{i + 1}': f'stage{i}' for i in range(1, 4)}
    features, seen = _recorded(network.backbone, {'stem': 'stem', **stages, 'deform': 'dtfe.deform'},
                               {'dark5_pre': 'dtfe'}, lambda: network.backbone(_input('input', (1, 3, 128, 160))))
    values = {name: value[0] for name, value in seen.items()}
    values.update(deform1=seen['deform'][0], deform2=seen['deform'][1], dark5_dtfe=features[-1])
    for name in reference:
        step = 4 if name in ('stem', 'dark2') else 1
        yield name, values[name][..., ::step, ::step], 1e-4 if name.startswith(('deform', 'dark5_dtfe')) else None


def check_neck(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Self-calibrated bottlenecks within the neck, and what leaves it before the head's 1x1 convolutions."""
    network = whole_network(folder)
    _, seen = _recorded(network, {f'sc{i + 1}': f'neck.calibrated.{i}' for i in range(3)},
                        {f'P{i + 3}': f'neck.out_convs.{i}' for i in range(3)},
                        lambda: network(_input('input', (1, 3, 128, 160)), restore=False))
    steps = {'sc1': 4, 'sc2': 2, 'P3': 2}
    for name in reference:
        step = steps.get(name, 1)
        yield name, seen[name][0][..., ::step, ::step], 5e-5


def check_dtfe(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The feature enhancement on its own."""
    dtfe: DynamicTransformerEnhancement = whole_network(folder).backbone.dtfe
    x = _input('dtfe_in', (2, 512, 4, 5))
    with torch.no_grad():
        offset, mask = dtfe.deform.predict(x)
        yield 'offset', _published_offset(offset), 1e-4
        yield 'mask', mask, None
        first = dtfe.deform(x)
        yield 'deform1', first, 1e-4
        yield 'deform2', dtfe.deform(first), 1e-4
        yield 'dtfe', dtfe(x), 1e-4


def check_c3tr(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The transformer layer on its own."""
    csp: TransformerCSP = whole_network(folder).backbone.dtfe.csp
    out, seen = _recorded(csp, {'conv1': 'conv1', 'tr': 'm'}, {}, lambda: csp(_input('c3tr_in', (2, 512, 3, 4))))
    yield 'conv1', seen['conv1'][0], None
    yield 'tr', seen['tr'][0], None
    yield 'out', out, None


@torch.no_grad()
def check_stage(folder: GoldenFolder, reference: Arrays) -> Rows:
    """One stage of mmdet's backbone with published weights."""
    yield 'out', whole_network(folder).backbone.stage2(_input('stage_in', (1, 64, 32, 40))), None


def check_bottleneck(folder: GoldenFolder, reference: Arrays) -> Rows:
    """A self-calibrated bottleneck on a size that its windows do not divide."""
    block = whole_network(folder).neck.calibrated[0]
    out, seen = _recorded(block, {'scconv': 'scconv'}, {'conv1_b': 'scconv'},
                          lambda: block(_input('sc_in', (1, 128, 10, 13))))
    yield 'conv1_b', seen['conv1_b'][0], None
    yield 'scconv', seen['scconv'][0], None
    yield 'out', out, None


@torch.no_grad()
def check_decoder(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The restoration decoder on its own."""
    features = [_input('dec_f1', (1, 128, 8, 12)), _input('dec_f2', (1, 256, 4, 6)), _input('dec_f3', (1, 512, 2, 3))]
    yield 'out', whole_network(folder).restoration_head(features), None


def check_deform(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The deformable convolution far outside the image, and its gradients."""
    module: Any = from_official('togethernet/deform_small', published_state(folder, 'deform_small'))
    x = (8 * (_input('deform_in', (2, 6, 9, 11)) - 0.5)).requires_grad_()
    with torch.no_grad():
        offset, mask = module.predict(x)
    yield 'offset', _published_offset(offset), None
    yield 'mask', mask, None
    out = module(x)
    yield 'out', out.detach(), None
    out.backward(_input('deform_gout', (2, 8, 9, 11)) - 0.5)
    yield 'grad_x', x.grad, None
    yield 'grad_conv.weight', module.conv.weight.grad, None
    for kind in ('weight', 'bias'):
        rows = getattr(module.conv_offset, kind).grad
        yield f'grad_p_conv.{kind}', _published_offset(rows[None, :18])[0], None
        yield f'grad_m_conv.{kind}', rows[18:], None


def targets_of(images: list[list[list[float]]]) -> list[Any]:
    """mmengine's instances from lists of cx, cy, w, h, class in pixels."""
    from mmengine.structures import InstanceData
    from torchvision.ops import box_convert
    result = []
    for rows in images:
        table = torch.tensor(rows, dtype=torch.float32).view(-1, 5)
        result.append(InstanceData(bboxes=box_convert(table[:, :4], 'cxcywh', 'xyxy'), labels=table[:, 4].long()))
    return result


BOXES: dict[str, list[list[list[float]]]] = {
    'golden_loss.npz': [
        [[60, 70, 50, 40, 0], [70, 78, 64, 52, 2], [200, 180, 90, 120, 4], [128, 128, 220, 200, 1],
         [33, 222, 14, 10, 3]],
        [[100.5, 51.25, 24, 61.5, 0]],
        [],
    ],
    'golden_loss_b.npz': [
        [[60, 70, 64, 60, 0], [72, 78, 70, 64, 2], [84, 70, 60, 70, 0], [200, 180, 66, 72, 4]],
        [[128, 128, 64, 64, 1], [128, 128, 64, 64, 3], [136, 120, 58, 66, 1]],
    ],
}


def _assignments(network: Any, maps: list[Tensor], targets: list[Any]) -> Iterator[tuple[Tensor, ...]]:
    """Per image: indices of the positives, of their boxes, their overlaps and classes."""
    from mmdet.models.task_modules.assigners import AssignResult
    from mmengine.structures import InstanceData
    head = network.bbox_head
    sizes = [x.shape[2:] for x in maps]
    centres = torch.cat(head.prior_generator.grid_priors(sizes, device=maps[0].device, with_stride=True))
    flat = torch.cat([x.detach().flatten(2).transpose(1, 2) for x in maps], 1)
    boxes = head._bbox_decode(centres, flat[..., :4])
    scores = flat[..., 5:].sigmoid() * flat[..., 4:5].sigmoid()
    centres = torch.cat((centres[:, :2] + centres[:, 2:] * 0.5, centres[:, 2:]), 1)
    for image, target in enumerate(targets):
        predicted = InstanceData(bboxes=boxes[image], scores=scores[image].sqrt(), priors=centres)
        result: AssignResult = head.assigner.assign(predicted, target)
        positive = (result.gt_inds > 0).nonzero().squeeze(1)
        yield (positive, result.gt_inds[positive] - 1, result.max_overlaps[positive], result.labels[positive])


def _detection_loss(network: Any, file: str, maps: list[Tensor]) -> Rows:
    targets = targets_of(BOXES[file])
    for x in maps:
        x.requires_grad_()
    terms = network.detection_losses(maps, targets)
    total = sum(terms.values())
    total.backward()
    positives = 0
    rows: list[tuple[str, Any, float | None]] = []
    for image, result in enumerate(_assignments(network, maps, targets)):
        positives += len(result[0])
        if len(targets[image]):
            rows += [(f'{name}_{image}', value, 1e-5 if name == 'iou' else 0.0)
                     for name, value in zip(('fg_idx', 'gt_idx', 'iou', 'cls'), result, strict=True)]
    yield 'num_fg', float(positives), 0.0
    yield 'total', total.detach(), 1e-5
    yield 'sum_iou', terms['loss_bbox'].detach() * positives / 5, 1e-5
    yield 'sum_obj', terms['loss_obj'].detach() * positives, 1e-5
    yield 'sum_cls', terms['loss_cls'].detach() * positives, 1e-5
    for stride, x in zip(postprocess.STRIDES, maps, strict=True):
        yield f'grad_s{stride}', x.grad, None
    yield from rows


def check_loss(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Detection loss with its gradients and assignments, an image without boxes, and the joint loss."""
    network = whole_network(folder)
    maps = [4 * (_input(f'loss_s{s}', (3, 10, 256 // s, 256 // s)) - 0.5) for s in postprocess.STRIDES]
    total = None
    for name, value, tolerance in _detection_loss(network, 'golden_loss.npz', maps):
        total = value if name == 'total' else total
        yield name, value, tolerance
    empty = [4 * (_input(f'loss0_s{s}', (1, 10, 64 // s, 64 // s)) - 0.5) for s in postprocess.STRIDES]
    yield 'total_empty', sum(network.detection_losses(empty, targets_of([[]])).values()), 1e-5
    restored = 2 * _input('joint_restored', (3, 3, 256, 256)) - 1
    clear = (_input('joint_clean', (3, 3, 256, 256)) - MEAN) / DEVIATION
    yield 'mse', losses.joint_loss(torch.zeros(()), restored, clear, 1, 1), 1e-5
    assert isinstance(total, Tensor)
    yield 'joint', losses.joint_loss(total, restored, clear), 1e-5


def check_loss_b(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Many positives and places that several boxes claim."""
    maps = []
    for s in postprocess.STRIDES:
        u = _input(f'lossb_s{s}', (2, 10, 256 // s, 256 // s))
        maps.append(torch.cat((u[:, :2], 0.6 * (u[:, 2:4] - 0.5) + math.log(64 / s), 4 * (u[:, 4:] - 0.5)), 1))
    yield from _detection_loss(whole_network(folder), 'golden_loss_b.npz', maps)


def check_postprocessing(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Decoding, suppression and the way back to the image."""
    maps = []
    for s in postprocess.STRIDES:
        u = _input(f'pp_s{s}', (1, 10, 128 // s, 160 // s))
        maps.append(torch.cat((2 * u[:, :2] - 0.5, 1.2 * u[:, 2:4] + 0.6, 8 * (u[:, 4:] - 0.5)), 1))
    decoded = postprocess.decode(maps)
    yield 'decoded', decoded, None
    size = (128, 160)
    for name, score, iou in (('eval', 0.001, 0.65), ('demo', 0.5, 0.3)):
        yield f'dets_{name}_same', postprocess.detections(decoded[0], score, iou, size, size, False), None
        yield f'dets_{name}_letterbox', postprocess.detections(decoded[0], score, iou, size, (96, 150)), None


class TrainStep:
    """The published training step: 0.2 detection + 0.8 restoration, SGD with the published parameter groups.

    Args:
        folder: the golden folder.

    Attributes:
        network: after the step, with gradients.
        before: parameters before the step.
        detection, restoration, total: losses, floats.
    """

    def __init__(self, folder: GoldenFolder) -> None:
        self.record = json.loads((folder.path / 'golden_train_step.json').read_text())
        self.network = whole_network(folder, dtfe=dict(dropout=0.0)).train()
        hazy, clear = ((_input(f'step_{name}', (4, 3, 128, 128)) - MEAN) / DEVIATION for name in ('hazy', 'clean'))
        maps, restored = self.network(hazy)
        terms = self.network.detection_losses(maps, targets_of(self.record['targets']))
        detection = torch.stack(list(terms.values())).sum()
        total = losses.joint_loss(detection, restored, clear)
        total.backward()
        self.detection, self.total = detection.item(), total.item()
        self.restoration = nn.functional.mse_loss(restored, clear).item()
        self.before = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        self.optimizer().step()

    def optimizer(self) -> torch.optim.SGD:
        """Weights of convolutions, linear maps and layer norms decay; the attention's input map is left out."""
        decayed: list[Tensor] = []
        plain: list[Tensor] = []
        for name, value in self.network.named_parameters():
            if 'in_proj' in name:
                continue
            owner = self.network.get_submodule(name.rpartition('.')[0])
            decays = name.endswith('weight') and not isinstance(owner, nn.BatchNorm2d)
            (decayed if decays else plain).append(value)
        groups = [{'params': decayed, 'weight_decay': 5e-4}, {'params': plain}]
        return torch.optim.SGD(groups, lr=self.record['lr'], momentum=0.937, nesterov=True)

    def published(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Values of our parameters or buffers under the published names in :attr:`record`."""
        from mmweather.models.togethernet.state_dict_adapter import rename
        result = {}
        for name in (*self.record['params'], *self.record['bn_running_var'], *self.record['bn_running']):
            ours = re.sub(r'\.[pm]_conv\.', '.conv_offset.', rename(name))
            if ours not in values:
                continue
            value = values[ours]
            taps = len(value) // 3 if ours != rename(name) else 0
            if '.p_conv.' in name:
                value = torch.cat((value[:2 * taps:2], value[1:2 * taps:2]))
            elif '.m_conv.' in name:
                value = value[2 * taps:]
            result[name] = value
        return result


GRADIENTS = {
    'stem': 'backbone.backbone.stem.conv.conv.weight',
    'p_conv_w': 'backbone.backbone.deconv.p_conv.weight',
    'p_conv_b': 'backbone.backbone.deconv.p_conv.bias',
    'deform_w': 'backbone.backbone.deconv.conv.weight',
    'in_proj': 'backbone.backbone.swt1.m.tr.0.ma.in_proj_weight',
    'dec_out': 'backbone.decoder.conv_4.1.weight',
    'sc1_k2': 'backbone.sc1.scconv.k2.1.weight',
    'reg_pred0': 'head.reg_preds.0.weight',
    'obj_pred1': 'head.obj_preds.1.weight',
    'cls_pred2': 'head.cls_preds.2.weight',
}


def check_train_step(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Gradients of ten parameters in a whole training step."""
    step = TrainStep(folder)
    gradients = step.published({name: value.grad for name, value in step.network.named_parameters()})
    for name, key in GRADIENTS.items():
        # Compared at their own size. Batch norm over a few pixels magnifies rounding on the way back from the head: the
        # published values lie up to 8.7e-3 from the same network in float64, ours up to 4.3e-3 from the published.
        behind = name in ('stem', 'p_conv_w', 'p_conv_b', 'deform_w', 'in_proj', 'sc1_k2')
        scale = min(1.0, float(np.abs(reference[name]).max()))
        yield name, gradients[key].flatten()[:4096], scale * (1e-2 if behind else 1e-3)


SAMPLE_BOXES = np.array([[10, 12, 60, 70, 0], [50, 5, 129, 44, 2], [3, 3, 9, 80, 4]])


def _in_order_of(wanted: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Rows in the order of the published ones, which are shuffled."""
    if len(wanted) != len(boxes):
        return boxes
    result = np.empty_like(boxes)
    result[np.lexsort(wanted.T)] = boxes[np.lexsort(boxes.T)]
    return result


def check_pipeline(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Letterboxing, the paired augmentation from its seeds, normalisation and the way back of boxes."""
    from mmweather.datasets.transforms import letterbox as lb
    fog, clear = reference['fog'], reference['clean']
    yield 'fog', fog, 0.0
    yield 'clean', clear, 0.0
    image_size, canvas = (fog.shape[0], fog.shape[1]), (96, 96)
    placement = lb.letterbox(image_size, canvas)
    fitted = placement.image(fog)
    yield 'val_image', fitted, 0.0
    yield 'val_clean', placement.image(clear), 0.0
    yield 'val_boxes', _in_order_of(reference['val_boxes'], placement.boxes(SAMPLE_BOXES, image_size, True)), 0.0
    for seed in (1, 4, 7):
        draws = lb.JitterDraws.draw(np.random.RandomState(seed))
        values = [*draws.aspect, draws.scale, draws.column, draws.row, draws.flip, *draws.colour]
        yield f'aug{seed}_draws', values, 1e-12
        images, boxes = lb.jitter_together((fog, clear), SAMPLE_BOXES, canvas, draws, truncate=True)
        yield f'aug{seed}_image', images[0], 0.0
        yield f'aug{seed}_clean', images[1], 0.0
        yield f'aug{seed}_boxes', _in_order_of(reference[f'aug{seed}_boxes'], boxes), 0.0
    yield 'test_letterbox', fitted, 0.0
    yield 'test_normalised_row0_48', lb.normalise(fitted)[48], 1e-6
    boxes = reference['correct_boxes_in_xywh']
    yield 'correct_boxes_in_xywh', boxes, 0.0
    yield 'correct_boxes_out_yxyx', postprocess.undo_letterbox(boxes, canvas, image_size), 1e-12


CHECKS = {
    'golden_outputs_128x160.npz': check_outputs,
    'golden_outputs_b2_128x128.npz': check_batch,
    'golden_restored_128x160.npz': check_restored,
    'golden_feat_a_128x160.npz': check_features,
    'golden_feat_b_128x160.npz': check_features,
    'golden_neck_128x160.npz': check_neck,
    'golden_dtfe.npz': check_dtfe,
    'golden_c3tr.npz': check_c3tr,
    'golden_stage_dark3.npz': check_stage,
    'golden_scbottleneck.npz': check_bottleneck,
    'golden_decoder.npz': check_decoder,
    'golden_deform_small.npz': check_deform,
    'golden_loss.npz': check_loss,
    'golden_loss_b.npz': check_loss_b,
    'golden_pipeline.npz': check_pipeline,
    'golden_postproc.npz': check_postprocessing,
    'golden_train_step_grads.npz': check_train_step,
}
