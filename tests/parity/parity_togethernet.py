"""TogetherNet's golden vectors: network, parts, losses, data pipeline, post-processing, one training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import parity_togethernet_boxes as published
import torch
from parity_compare import Arrays, GoldenFolder, Rows
from parity_togethernet_inputs import NETWORK, input_of, published_state, whole_network
from parity_togethernet_training import check_loss, check_loss_b, check_train_step
from torch import Tensor, nn

from mmweather.apis.adapters import from_official, published_forward
from mmweather.datasets.transforms import letterbox as lb
from mmweather.models.togethernet.dtfe import DynamicTransformerEnhancement
from mmweather.models.togethernet.layers import TransformerCSP
from mmweather.registry import MODELS


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
    maps = published_forward(NETWORK, published_state(folder), input_of('input', (1, 3, 128, 160)))[:3]
    for stride, value in zip(published.STRIDES, maps, strict=True):
        yield f'raw_s{stride}', value, 5e-5
    decoded = published.decode([torch.from_numpy(value) for value in maps])
    yield 'decoded', decoded, None
    size = (128, 160)
    for name, score, iou, image in (('dets_a', 0.3, 0.3, size), ('dets_b', 0.001, 0.65, size),
                                    ('dets_a_letterbox96x150', 0.3, 0.3, (96, 150))):
        yield name, _detections(reference[name], decoded[0], score, iou, size, image, image != size), None


def check_batch(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The whole network on a batch of two."""
    outputs = published_forward(NETWORK, published_state(folder), input_of('input_b2', (2, 3, 128, 128)))
    for name, value in zip(('raw_s8', 'raw_s16', 'raw_s32'), outputs, strict=False):
        yield name, value, 5e-5
    yield 'restored', outputs[3][..., ::4, ::4], None


def check_restored(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The restored image."""
    outputs = published_forward(NETWORK, published_state(folder), input_of('input', (1, 3, 128, 160)))
    yield 'restored', outputs[3], None


def check_features(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Every stage of the backbone."""
    network = whole_network(folder)
    stages = {f'dark{i + 1}': f'stage{i}' for i in range(1, 4)}
    features, seen = _recorded(network.backbone, {'stem': 'stem', **stages, 'deform': 'dtfe.deform'},
                               {'dark5_pre': 'dtfe'}, lambda: network.backbone(input_of('input', (1, 3, 128, 160))))
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
                        lambda: network.extract_feat(input_of('input', (1, 3, 128, 160))))
    steps = {'sc1': 4, 'sc2': 2, 'P3': 2}
    for name in reference:
        step = steps.get(name, 1)
        yield name, seen[name][0][..., ::step, ::step], 5e-5


def check_dtfe(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The feature enhancement on its own."""
    dtfe: DynamicTransformerEnhancement = whole_network(folder).backbone.dtfe
    x = input_of('dtfe_in', (2, 512, 4, 5))
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
    out, seen = _recorded(csp, {'conv1': 'conv1', 'tr': 'm'}, {}, lambda: csp(input_of('c3tr_in', (2, 512, 3, 4))))
    yield 'conv1', seen['conv1'][0], None
    yield 'tr', seen['tr'][0], None
    yield 'out', out, None


@torch.no_grad()
def check_stage(folder: GoldenFolder, reference: Arrays) -> Rows:
    """One stage of mmdet's backbone with published weights."""
    yield 'out', whole_network(folder).backbone.stage2(input_of('stage_in', (1, 64, 32, 40))), None


def check_bottleneck(folder: GoldenFolder, reference: Arrays) -> Rows:
    """A self-calibrated bottleneck on a size that its windows do not divide."""
    block = whole_network(folder).neck.calibrated[0]
    out, seen = _recorded(block, {'scconv': 'scconv'}, {'conv1_b': 'scconv'},
                          lambda: block(input_of('sc_in', (1, 128, 10, 13))))
    yield 'conv1_b', seen['conv1_b'][0], None
    yield 'scconv', seen['scconv'][0], None
    yield 'out', out, None


@torch.no_grad()
def check_decoder(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The restoration decoder on its own."""
    features = [input_of(f'dec_f{i}', (1, 64 << i, 16 >> i, 24 >> i)) for i in (1, 2, 3)]
    yield 'out', whole_network(folder).restoration_head(features), None


def check_deform(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The deformable convolution far outside the image, and its gradients."""
    module: Any = from_official('togethernet/deform_small', published_state(folder, 'deform_small'))
    x = (8 * (input_of('deform_in', (2, 6, 9, 11)) - 0.5)).requires_grad_()
    with torch.no_grad():
        offset, mask = module.predict(x)
    yield 'offset', _published_offset(offset), None
    yield 'mask', mask, None
    out = module(x)
    yield 'out', out.detach(), None
    out.backward(input_of('deform_gout', (2, 8, 9, 11)) - 0.5)
    yield 'grad_x', x.grad, None
    yield 'grad_conv.weight', module.conv.weight.grad, None
    for kind in ('weight', 'bias'):
        rows = getattr(module.conv_offset, kind).grad
        yield f'grad_p_conv.{kind}', _published_offset(rows[None, :18])[0], None
        yield f'grad_m_conv.{kind}', rows[18:], None


def _detections(reference: np.ndarray, *args: Any) -> np.ndarray:
    """Detections; of those whose scores lie within 1e-5 of the next, the order is the recorded one."""
    found = published.detections(*args)
    if found.shape != reference.shape:
        return found
    near = np.append(-np.diff(reference[:, 4].astype(float) * reference[:, 5]) < 1e-5, False)
    start = 0
    for end in np.flatnonzero(~near) + 1:
        gaps = np.abs(found[None, start:end] - reference[start:end, None]).sum(-1)
        order = gaps.argmin(1)
        if len(set(order)) == len(order):
            found[start:end] = found[start:end][order]
        start = end
    return found


def check_postprocessing(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Decoding, suppression and the way back to the image."""
    maps = []
    for s in published.STRIDES:
        u = input_of(f'pp_s{s}', (1, 10, 128 // s, 160 // s))
        maps.append(torch.cat((2 * u[:, :2] - 0.5, 1.2 * u[:, 2:4] + 0.6, 8 * (u[:, 4:] - 0.5)), 1))
    decoded = published.decode(maps)
    yield 'decoded', decoded, None
    size = (128, 160)
    for name, score, iou in (('eval', 0.001, 0.65), ('demo', 0.5, 0.3)):
        for ending, image in (('same', size), ('letterbox', (96, 150))):
            key = f'dets_{name}_{ending}'
            yield key, _detections(reference[key], decoded[0], score, iou, size, image, image != size), None


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
        moved = draws.placement(image_size, canvas)
        yield f'aug{seed}_image', draws.recolour(moved.image(fog)), 0.0
        yield f'aug{seed}_clean', draws.recolour(moved.image(clear)), 0.0
        boxes = moved.boxes(SAMPLE_BOXES, image_size, truncate=True)
        yield f'aug{seed}_boxes', _in_order_of(reference[f'aug{seed}_boxes'], boxes), 0.0
    yield 'test_letterbox', fitted, 0.0
    preprocessor = MODELS.build(dict(type='mmweather.PairedDetPreprocessor'))
    packed = dict(inputs=[torch.from_numpy(fitted[..., ::-1].copy()).permute(2, 0, 1)], data_samples=None)
    normalised = preprocessor(packed)['inputs'][0, :, :canvas[0], :canvas[1]].permute(1, 2, 0)
    yield 'test_normalised_row0_48', normalised[48], 1e-6
    boxes = reference['correct_boxes_in_xywh']
    yield 'correct_boxes_in_xywh', boxes, 0.0
    yield 'correct_boxes_out_yxyx', published.undo_letterbox(boxes, canvas, image_size), 1e-12


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
