"""HeatNet against its golden vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmweather.apis.official import from_official, published_forward

from .compare import Check, GoldenFolder
from .fill import fill_input

Arrays = dict[str, np.ndarray]
Rows = Iterator[tuple]


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
        yield from _whole(reference, 'argmax', logits.argmax(1), logits.argmax(1), 0.0)

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


#: Golden file -> check.
CHECKS = {
    'golden_pspnet_late_eval.npz': _network('conf_pspnet_late_c6', ('rgb', 'ir'), (32, 16, 16, 16, 8)),
    'golden_pspnet_early_eval.npz': _network('conf_pspnet_early_c6', ('rgb', 'ir'), (32, 16, 8, 8, 4)),
    'golden_pspnet_rgb_eval.npz': _network('conf_pspnet_rgb_c1', ('rgb', ), (32, 16, 8, 8, 4)),
    'golden_pspnet_ir_eval.npz': _network('conf_pspnet_ir_c1', ('ir', ), (32, 16, 8, 8, 4)),
    'golden_pspnet_late_odd_size.npz': check_odd_size,
    'golden_pspnet_late_trainbn.npz': check_batch_statistics,
    'golden_critics.npz': check_critics,
}
