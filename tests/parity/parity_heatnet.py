"""HeatNet against its golden vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from parity_compare import Arrays, Check, GoldenFolder, Rows
from parity_fill import fill_input
from parity_heatnet_data import check_metric, check_preparation
from parity_heatnet_steps import check_readme_steps, check_six_critics_steps
from torch import Tensor, nn

from mmweather.apis.adapters import from_official, published_forward
from mmweather.models.adaptation import adversarial
from mmweather.models.heatnet import losses


def _input(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(fill_input(name, shape))


def _whole(reference: Arrays, name: str, full: Any, part: Any, tolerance: float | None = None) -> Rows:
    """A stored part, and the sum, magnitude, range and shape of the full array."""
    full = np.asarray(full)
    yield name, part, tolerance
    if f'{name}.stat' in reference:
        wide = full.astype(np.float64)
        yield f'{name}.stat', [wide.sum(), np.abs(wide).sum(), wide.min(), wide.max()], tolerance
    if f'{name}.shape' in reference:
        yield f'{name}.shape', full.shape, 0.0


def _labels(logits: np.ndarray, published: np.ndarray) -> np.ndarray:
    """The greatest class; where the published one is as great but for rounding (one pixel's two are 1e-6 apart), it."""
    theirs = np.take_along_axis(logits, published[:, None].astype(np.int64), 1)[:, 0]
    return np.where(logits.max(1) - theirs <= 1e-5, published, logits.argmax(1))


def _network(stem: str, inputs: tuple[str, ...], strides: tuple[int, ...]) -> Check:
    def check(folder: GoldenFolder, reference: Arrays) -> Rows:
        shapes = {'rgb': (1, 3, 64, 96), 'ir': (1, 1, 64, 96)}
        images = [_input(f'heatnet.{name}_day', shapes[name]) for name in inputs]
        state = folder.state(stem)
        logits, _, *features = published_forward(f'heatnet/{stem}', state, *images)
        yield from _whole(reference, 'logits', logits, logits[:, :, ::2])
        for i, (feature, stride) in enumerate(zip(features, strides, strict=True), 1):
            yield from _whole(reference, f'feat{i}', feature, feature[:, ::stride])
        critic = {key.removeprefix('critics.0.'): value for key, value in state.items()
                  if key.startswith('critics.0.')}
        scores = published_forward('heatnet/critic_in13', critic, logits)[0]
        yield from _whole(reference, 'critic0', scores, scores)
        labels = _labels(logits, reference['argmax'])
        yield from _whole(reference, 'argmax', labels, labels, 0.0)

    return check


def check_odd_size(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Sizes that 8 does not divide."""
    images = _input('heatnet.rgb_odd', (1, 3, 70, 100)), _input('heatnet.ir_odd', (1, 1, 70, 100))
    logits = published_forward('heatnet/conf_pspnet_late_c1', folder.state('conf_pspnet_late_c1'), *images)[0]
    yield from _whole(reference, 'logits', logits, logits[:, :, ::2])


@torch.no_grad()
def check_batch_statistics(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The published evaluation: batch statistics of the doubled image; dropout off."""
    network = from_official('heatnet/conf_pspnet_late_c1', folder.state('conf_pspnet_late_c1')).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0
    images = _input('heatnet.rgb_day', (1, 3, 64, 96)), _input('heatnet.ir_day', (1, 1, 64, 96))
    segmentor: Any = network.trgb_segnet
    logits = segmentor(*(torch.cat((x, x)) for x in images))[0][:1]
    yield from _whole(reference, 'logits', logits, logits[:, :, ::2], 5e-4)
    buffers = network.state_dict()
    for key in reference:
        if key.startswith('buf.') and not key.endswith(('.stat', '.shape')):
            value = buffers[key.removeprefix('buf.')]
            yield from _whole(reference, key, value, value, 5e-4)


@torch.no_grad()
def check_critics(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Six critics at two sizes."""
    whole: Any = from_official('heatnet/conf_pspnet_late_c6', folder.state('conf_pspnet_late_c6')).eval()
    for i, (critic, channels) in enumerate(zip(whole.critics, (13, 2048, 1024, 1024, 512, 128), strict=True)):
        x = _input(f'heatnet.critic_in.{i}', (2, channels, 64, 96))
        score, out = critic.score(x), critic(x)
        yield from _whole(reference, f'c{i}.pre_upsample', score, score)
        yield from _whole(reference, f'c{i}.out', out, out[:, :, ::4, ::4])
        out = critic(_input(f'heatnet.critic_in_native.{i}', (1, channels, 40, 88)))
        yield from _whole(reference, f'c{i}.native_out', out, out[:, :, ::2, ::2])


def check_losses(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Certainty, cross-entropies, critic and confusion terms, gradients."""
    def signed(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
        return ((_input(f'loss.{name}', shape) - 0.5) * scale).requires_grad_()

    logits = (2, 13, 12, 16)
    day, night, teacher = (signed(f'{name}_logits', logits, scale)
                           for name, scale in (('day', 6), ('night', 6), ('teacher', 12)))
    label = (_input('loss.label_day', (2, 12, 16)) * 13).floor().long()
    shapes = ((2, 1, 12, 16), (2, 1, 8, 8))
    ca = [signed(f'critic_day.{i}', shape, 4) for i, shape in enumerate(shapes)]
    cb = [signed(f'critic_night.{i}', shape, 4) for i, shape in enumerate(shapes)]
    pseudo = teacher.argmax(1)
    twice, once = (losses.certainty(teacher.detach(), published) for published in (True, False))
    values: dict[str, Tensor] = {
        'pseudo_label': pseudo,
        'cert': twice,
        'cert_single_softmax': once,
        'seg_day': losses.segmentation_loss(day, label),
        'seg_night_unweighted': losses.segmentation_loss(night, pseudo),
        'seg_night_weighted': losses.segmentation_loss(night, pseudo, twice),
        'seg_night_weighted_single_softmax': losses.segmentation_loss(night, pseudo, once),
    }
    for kind in ('MSE', 'BCE'):
        values[f'critic_loss.{kind}'] = adversarial.critic_loss(ca, cb, kind)
        for direction in ('multidir', 'onedir'):
            for weighting, weight in (('weighted', twice), ('plain', None)):
                values[f'conf_loss.{kind}.{direction}.{weighting}'] = adversarial.confusion_loss(
                    ca, cb, kind, direction == 'multidir', weight, published=True)
    total = values['seg_day'] + values['seg_night_weighted'] + 0.01 * values['conf_loss.MSE.multidir.weighted']
    values['total.readme'] = total
    inputs = dict(day=day, night=night, ca0=ca[0], ca1=ca[1], cb0=cb[0], cb1=cb[1])
    for name, gradient in zip(inputs, torch.autograd.grad(total, list(inputs.values())), strict=True):
        values[f'grad.{name}'] = gradient
    critics = list(inputs)[2:]
    gradients = torch.autograd.grad(values['critic_loss.MSE'], [inputs[name] for name in critics])
    values.update({f'critic_grad.{name}': g for name, g in zip(critics, gradients, strict=True)})
    target = losses.uncertainty_target(day, label)
    head = signed('cert_head', (2, 1, 12, 16), 4).sigmoid()
    values['cert_branch_target'] = target
    values['cert_branch_loss'] = losses.uncertainty_loss(head, target, published=True)
    values['cert_branch_loss_per_pixel'] = losses.uncertainty_loss(head, target)
    for name, value in values.items():
        ours = value.detach().numpy()
        # Gradients are far below 1, so they are compared at their own size.
        tolerance = 1e-4 * float(np.abs(reference[name]).max()) if 'grad.' in name else None
        yield from _whole(reference, name, ours, ours, tolerance)


#: Golden file -> check.
CHECKS = {
    'golden_pspnet_late_eval.npz': _network('conf_pspnet_late_c6', ('rgb', 'ir'), (32, 16, 16, 16, 8)),
    'golden_pspnet_early_eval.npz': _network('conf_pspnet_early_c6', ('rgb', 'ir'), (32, 16, 8, 8, 4)),
    'golden_pspnet_rgb_eval.npz': _network('conf_pspnet_rgb_c1', ('rgb', ), (32, 16, 8, 8, 4)),
    'golden_pspnet_ir_eval.npz': _network('conf_pspnet_ir_c1', ('ir', ), (32, 16, 8, 8, 4)),
    'golden_custom_late_eval.npz': _network('conf_custom_late_c6', ('rgb', 'ir'), (32, 32, 16, 32, 16)),
    'golden_custom_early_eval.npz': _network('conf_custom_early_c6', ('rgb', 'ir'), (32, 32, 16, 16, 8)),
    'golden_pspnet_late_odd_size.npz': check_odd_size,
    'golden_pspnet_late_trainbn.npz': check_batch_statistics,
    'golden_critics.npz': check_critics,
    'golden_losses.npz': check_losses,
    'golden_metric.npz': check_metric,
    'golden_preproc.npz': check_preparation,
    'golden_train_steps_readme.npz': check_readme_steps,
    'golden_train_steps_c6.npz': check_six_critics_steps,
}
