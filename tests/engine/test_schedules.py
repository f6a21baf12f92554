"""Schedules and the class count hook."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmweather.engine.hooks.class_count import ClassCountHook
from mmweather.engine.schedulers import WarmCosineLR
from mmweather.errors import ConfigError
from mmweather.registry import PARAM_SCHEDULERS

GOLDEN = Path(__file__).parents[1] / 'parity' / 'vectors' / 'togethernet' / 'lr_schedule_100ep_bs16.json'


def rates(steps: int, lr: float = 2.5e-3, groups: int = 1, **options) -> list[list[float]]:
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(groups)]
    optimizer = torch.optim.SGD([dict(params=[p], lr=lr / 2**i) for i, p in enumerate(parameters)], lr=lr)
    kind = PARAM_SCHEDULERS.get('mmweather.WarmCosineLR')
    length = options.pop('epoch_length', None)
    schedule = kind.build_iter_from_epoch(optimizer, epoch_length=length, **options) if length else kind(
        optimizer, **options)
    result = []
    for _ in range(steps):
        result.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return result


def test_the_published_rates():
    facts = json.loads(GOLDEN.read_text())
    ours = [rate for rate, in rates(facts['epochs'], facts['init_lr'], end=facts['epochs'])]
    assert ours == pytest.approx(facts['lr'], rel=1e-12)


def test_shape_and_groups():
    both = rates(40, 1.0, groups=2, end=40)
    first = [rate for rate, _ in both]
    assert [half / whole for whole, half in both] == pytest.approx([0.5] * 40)
    assert first[0] == pytest.approx(0.1) and first[3] == pytest.approx(1.0) == max(first)
    assert first[-12:] == pytest.approx([0.01] * 12) and first[27] > 0.0101
    assert all(a > b for a, b in zip(first[3:28], first[4:29], strict=True))
    # The least rates do not vanish.
    assert min(rate for rate, in rates(10, 1e-6, end=10)) == pytest.approx(1e-6)


def test_by_iteration_it_passes_the_rates_of_the_epochs():
    by_epoch = [rate for rate, in rates(20, 1.0, end=20)]
    by_iteration = [rate for rate, in rates(100, 1.0, end=20, epoch_length=5)]
    assert by_iteration[::5] == pytest.approx(by_epoch)
    assert by_iteration[1] > by_iteration[0]


def test_a_resumed_schedule_goes_on():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = WarmCosineLR(optimizer, end=10)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    state, other = schedule.state_dict(), torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    again = WarmCosineLR(other, end=10)
    again.load_state_dict(state)
    for one, it in ((optimizer, schedule), (other, again)):
        one.step()
        it.step()
    assert other.param_groups[0]['lr'] == optimizer.param_groups[0]['lr']


@pytest.mark.parametrize('options, message', [
    (dict(), "needs 'end'"), (dict(end=10, begin=2), 'begins at 0'),
    (dict(end=2, warmup=1, constant=1), 'less than end=2'), (dict(end=10, warmup=0), 'must be positive'),
])
def test_a_schedule_that_cannot_be_is_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        WarmCosineLR(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), **options)


def runner(classes, count) -> SimpleNamespace:
    head = nn.Linear(2, 2)
    head.num_classes = count
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    return SimpleNamespace(model=nn.ModuleDict({'head': head}), train_dataloader=loader, val_dataloader=loader,
                           test_dataloader=loader, val_loop=object())


@pytest.mark.parametrize('moment', ['before_train', 'before_val', 'before_test'])
def test_class_counts_are_compared(moment):
    check = getattr(ClassCountHook(), moment)
    check(runner(('a', 'b'), 2))
    check(runner(None, 3))
    with pytest.raises(ConfigError, match=r'2 classes \(a, b\), model\.head has num_classes=3') as error:
        check(runner(('a', 'b'), 3))
    assert '\n' not in str(error.value)
    with pytest.raises(ConfigError, match=r"the text 'person': write \('person', \)"):
        check(runner('person', 1))
