"""HeatNet's training steps against the published loop, run with our segmentor and our critics' hook."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from parity_compare import Arrays, GoldenFolder, Relative, Rows
from parity_fill import fill_input, fill_state_dict
from torch import Tensor, nn

from mmweather.apis.adapters import as_tensors, from_official
from mmweather.engine.hooks.domain_critic import DomainCriticHook
from mmweather.models.heatnet.pspnet import HeatNetPSPNet
from mmweather.models.heatnet.segmentor import HeatNet
from mmweather.models.heatnet.state_dict_adapter import mmseg_keys, network_keys

FEATURES = ('decode_head.conv_seg', *(f'backbone[{i}]' for i in (4, 3, 2, 1, 0)))
_README = dict(initial_critic_iters=1, seg_iters=1, critic_iters=1)


def _no_dropout(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.Dropout2d):
            part.p = 0.
    return module


def _batch(step: int, height: int, width: int) -> dict[str, Any]:
    """Two samples by day, then two by night, of the published loop's iteration."""
    images, samples = [], []
    for domain in ('day', 'night'):
        for number in (2 * step, 2 * step + 1):
            parts = [fill_input(f'heatnet.train.{name}_{domain}.{number}', (channels, height, width))
                     for name, channels in (('rgb', 3), ('ir', 1))]
            images.append(torch.from_numpy(np.concatenate(parts)) * 2 - 1)
            sample = SegDataSample(metainfo=dict(domain=domain))
            if domain == 'day':
                label = np.floor(fill_input(f'heatnet.train.label_day.{number}', (height // 8, width // 8)) * 13)
                label = label.astype(np.int64).repeat(8, 0).repeat(8, 1)
                sample.gt_sem_seg = PixelData(data=torch.from_numpy(label)[None])
            samples.append(sample)
    return dict(inputs=torch.stack(images), data_samples=samples)


def _teacher() -> nn.Module:
    """A thermal PSPNet filled under the names ``teacher.*``."""
    network = HeatNetPSPNet(1, 0)
    filled = fill_state_dict({f'teacher.{key}': tuple(value.shape) for key, value in network.state_dict().items()})
    network.load_state_dict({key.removeprefix('teacher.'): value for key, value in as_tensors(filled).items()})
    return _no_dropout(network)


def run_steps(folder: GoldenFolder, stem: str, steps: int, size: tuple[int, int], teacher: nn.Module | None,
              decay_idle: bool, **options: Any) -> tuple[list[dict[str, Any]], list[dict[str, Tensor]]]:
    """The published loop's first iterations.

    Args:
        folder: with the layout of the weights.
        stem: of the layout.
        steps: iterations.
        size: height and width.
        teacher: supervises the night, or None.
        decay_idle: let RMSprop's second moment of the half that does not learn fall, as ``zero_grad`` of PyTorch 1 did.
        **options: of the hook.

    Returns:
        For each iteration what it logged, and the state after it under published names.
    """
    whole: Any = from_official(f'heatnet/{stem}', folder.state(stem))
    model = HeatNet(dict(type='mmweather.HeatNetEncoder'), dict(type='mmweather.HeatNetPSPHead'),
                    published_certainty=True, published_teacher_mode=True)
    model.load_state_dict(mmseg_keys(whole.trgb_segnet.state_dict()))
    model.set_teacher(teacher)
    _no_dropout(model).train()
    wrapper = OptimWrapper(torch.optim.RMSprop(model.parameters(), lr=1e-4))
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, param_schedulers=None)
    DomainCriticHook(features=FEATURES[:len(whole.critics)], published_certainty_mean=True,
                     in_channels=[critic.conv1.in_channels for critic in whole.critics], **options).before_run(runner)
    critics: Any = runner.model.critics.train()
    critics.load_state_dict(whole.critics.state_dict())
    logs, states = [], []
    for step in range(steps):
        runner.model.message_hub.update_info('iter', step)
        logs.append({'phase': f'train_{runner.model.phase(step)}'.replace('segmentation', 'seg')})
        logs[-1].update({name: value.item() for name, value in
                         runner.model.train_step(_batch(step, *size), runner.optim_wrapper).items()})
        idle = runner.optim_wrapper['segmentor' if logs[-1]['phase'] == 'train_critic' else 'critics']
        for state in idle.optimizer.state.values() if decay_idle else ():
            state['square_avg'].mul_(0.99)
        state = {f'trgb_segnet.{key}': value for key, value in network_keys(model.state_dict()).items()}
        state.update({f'critics.{key}': value for key, value in critics.state_dict().items()})
        if teacher is not None:
            state.update({f'teacher.{key}': value for key, value in teacher.state_dict().items()})
        states.append({key: torch.stack((value.double().sum(), value.double().abs().sum()))
                       for key, value in state.items()})
    return logs, states


def _rows(reference: Arrays, prefix: str, logs: list[dict], states: list[dict], weight: float) -> Rows:
    """The README's tolerances: 1e-4 in the first two iterations (confusion 1e-3), 3e-2 later (the last confusion 5e-2).

    The first RMSprop steps move every weight by the learning rate times ten, whatever the gradient's size, so rounding
    grows; the published loop differs from itself as much with another number of threads.
    """
    yield f'{prefix}.phase', np.array([log['phase'] for log in logs]), 0.
    critic = [(i, log) for i, log in enumerate(logs) if log['phase'] == 'train_critic']
    seg = [(i, log) for i, log in enumerate(logs) if log['phase'] == 'train_seg']

    def tolerance(places: list[int], first: float, last: float = 3e-2) -> np.ndarray:
        values = [first if place < 2 else 3e-2 for place in places]
        return np.array([*values[:-1], max(values[-1], last) if places[-1] > 1 else values[-1]])

    def loss(name: str, part: list[tuple[int, dict]], values: list[float], first: float = 1e-4,
             last: float = 3e-2) -> tuple:
        return f'{prefix}.{name}', np.array(values), Relative(tolerance([i for i, _ in part], first, last))

    yield loss('critic_loss', critic, [log['loss_critic'] for _, log in critic])
    day = [log['day.decode.loss_ce'] for _, log in seg]
    night = [log.get('night.teacher.loss_ce', 0.) for _, log in seg]
    confusion = [log['loss_confusion'] / weight for _, log in seg]
    yield loss('day_loss', seg, day)
    if f'{prefix}.night_loss' in reference:
        yield loss('night_loss', seg, night)
    yield loss('seg_loss', seg, [a + b for a, b in zip(day, night, strict=True)])
    yield loss('conf_loss', seg, confusion, 1e-3, 5e-2)
    yield loss('total_seg_phase', seg, [log['loss'] for _, log in seg], 1e-3)
    for name in (name for name in reference if name.startswith(f'{prefix}.sum.')):
        key = name.removeprefix(f'{prefix}.sum.')
        # Both sums of a tensor are held to a share of its magnitude, the second.
        share = np.where(np.arange(len(logs))[:, None] < 2, 1e-4, 3e-2)
        yield name, torch.stack([state[key] for state in states]).numpy(), Relative(share, reference[name][:, 1:])


def check_readme_steps(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Six iterations of the README's recipe, with and without the second moment's decay in the idle half."""
    for prefixes, decay in ((('modern', ), False), (('legacy', 'legacy_1thread'), True)):
        logs, states = run_steps(folder, 'conf_pspnet_late_c1', 6, (64, 96), _teacher(), decay, loss_weight=0.01,
                                 **_README)
        for prefix in prefixes:
            yield from _rows(reference, prefix, logs, states, 0.01)


def check_six_critics_steps(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Three iterations with six critics and no teacher."""
    logs, states = run_steps(folder, 'conf_pspnet_late_c6', 3, (256, 256), None, True, loss_weight=0.1,
                             both_directions=False, **_README)
    yield from _rows(reference, 'legacy', logs, states, 0.1)
