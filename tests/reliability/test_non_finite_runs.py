"""Whole runs whose gradients, weights or optimizer states go bad: what is kept, and what the message says."""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

sys.path.insert(0, str(Path(__file__).parent))
import reliability_toy  # noqa: E402

from mmweather.engine.resume import find_resume_checkpoint  # noqa: E402
from mmweather.engine.runner import train, train_parser  # noqa: E402
from mmweather.errors import CheckpointError, ConfigError, NonFiniteLossError  # noqa: E402
from mmweather.registry import HOOKS  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402
from mmweather.utils.finite import checkpoint_faults  # noqa: E402

write_config = reliability_toy.engine_toy.write_config
EVERY = dict(logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=20))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)

    def start(*words, **changes):
        config = write_config(tmp_path, **changes)
        return train(train_parser().parse_args([str(config), '--work-dir', str(tmp_path / 'work'), *map(str, words)]))

    start.folder = tmp_path / 'work'
    return start


def checkpoints(folder):
    return {path.name: load_checkpoint(path) for path in sorted(folder.glob('*.pth'))}


def test_a_bad_gradient_stops_before_the_step_and_resume_goes_on(run):
    with pytest.raises(NonFiniteLossError) as caught:
        run(model=dict(type='mmweather.ToyBadGradient', at=4), default_hooks=EVERY)
    text = str(caught.value)
    assert '\n' not in text
    assert re.match(r'gradients at iteration 4 are not finite: first\.weight, first\.bias, the loss is \d\.\d+; the '
                    r'batch holds toy/\d{3}\.png, toy/\d{3}\.png \(its values are finite\); no step was taken, and the '
                    r'weights are finite \(max \|w\| = 0\.\d+\): ', text)
    found = checkpoints(run.folder)
    assert list(found) == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    assert not any(checkpoint_faults(checkpoint) for checkpoint in found.values())
    runner = run('--resume', model=dict(type='mmweather.ToyBadGradient', at=-1))
    assert runner.iter == 12 and not checkpoint_faults(load_checkpoint(run.folder / 'iter_12.pth'))


def test_weights_that_grew_are_blamed_on_the_learning_rate(run):
    with pytest.raises(NonFiniteLossError) as caught:
        run(optim_wrapper=dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.SGD', lr=1e30)),
            param_scheduler=None, default_hooks=EVERY)
    text = str(caught.value)
    assert re.search(r'the weights grew from max \|w\| = 0\.\d+ to \d\.?\d*e\+\d\d with learning rate 1e\+30', text)
    assert 'unchanged' not in text and 'lower the learning rate' in text
    assert not any(checkpoint_faults(checkpoint) for checkpoint in checkpoints(run.folder).values())


def test_weights_that_are_not_finite_at_the_start_name_their_file(run, tmp_path):
    runner = run(train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=1, val_interval=5))
    state = {key: value.clone() for key, value in runner.model.state_dict().items()}
    state['last.bias'][0] = float('nan')
    torch.save({'state_dict': state}, tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match=r"bad\.pth' gives weights that are not finite \(last\.bias\)"):
        run('--cfg-options', f'load_from={tmp_path / "bad.pth"}')
    assert [path.name for path in run.folder.glob('*.pth')] == ['iter_1.pth']


def test_resume_passes_over_checkpoints_that_are_not_finite(run, capsys):
    run(default_hooks=dict(checkpoint=dict(interval=3, max_keep_ckpts=9)))
    for name, spoil in (('iter_12', lambda found: found['state_dict']['last.bias'].fill_(float('inf'))),
                        ('iter_9', lambda found: found['optimizer']['state'][1]['exp_avg'].fill_(float('nan')))):
        found = load_checkpoint(run.folder / f'{name}.pth')
        spoil(found)
        torch.save(found, run.folder / f'{name}.pth')
    assert find_resume_checkpoint(run.folder) == run.folder / 'iter_6.pth'
    log = ''.join(capsys.readouterr())
    assert re.search(r"iter_12\.pth' holds values .*\(state_dict\.last\.bias\) and is passed over", log)
    assert re.search(r"iter_9\.pth' holds values .*\(optimizer\.state\.1\.exp_avg\) and is passed over", log)
    with pytest.raises(CheckpointError, match=r"iter_9\.pth' gives optimizer states that are not finite \(exp_avg of"):
        run('--resume', run.folder / 'iter_9.pth')


def test_an_optimizer_state_that_overflows_is_not_saved_and_the_only_checkpoint_stays(run):
    # A finite gradient whose square overflows: Adam then never moves this weight again, and the loss stays finite.
    with pytest.raises(NonFiniteLossError, match=r'no checkpoint is saved at iteration 4: not finite are exp_avg_sq of '
                       r"first\.weight.*the last one that was saved is '.*iter_2\.pth'"):
        run(model=dict(type='mmweather.ToyBadGradient', at=3, factor=1e25),
            default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=2, max_keep_ckpts=1)))
    assert list(checkpoints(run.folder)) == ['iter_2.pth']
    assert (run.folder / 'last_checkpoint').read_text().endswith('iter_2.pth')


@HOOKS.register_module()
class ToySpoilHook(Hook):
    """Spoils a weight after an iteration, or what another hook adds to a checkpoint."""

    def __init__(self, after=None, entry=None) -> None:
        self.after, self.entry = after, entry

    def before_val(self, runner) -> None:
        if self.after == runner.iter:
            runner.model.last.bias.data[0] = float('nan')

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        if self.entry:
            checkpoint[self.entry] = {'module.last.bias': torch.tensor([float('nan')])}


def test_the_best_checkpoint_is_not_replaced_by_a_bad_one(run):
    with pytest.raises(NonFiniteLossError, match='not finite are last.bias'):
        run(default_hooks=dict(checkpoint=dict(interval=50, save_last=False, save_best='toy/psnr', rule='greater')),
            train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=12, val_interval=2),
            custom_hooks=[dict(type='mmweather.NonFiniteLossHook'), dict(type='mmweather.ToySpoilHook', after=4)])
    assert list(checkpoints(run.folder)) == ['best_toy_psnr_iter_2.pth']


def test_what_a_hook_adds_to_a_checkpoint_is_checked_before_it_is_written(run):
    with pytest.raises(NonFiniteLossError, match=r'not finite are ema_state_dict\.module\.last\.bias'):
        run(default_hooks=EVERY, custom_hooks=[dict(type='mmweather.NonFiniteLossHook'),
                                               dict(type='mmweather.ToySpoilHook', entry='ema_state_dict')])
    assert not list(run.folder.glob('*.pth')) and not list(run.folder.glob('.*.part'))
    assert not (run.folder / 'last_checkpoint').exists()


@pytest.mark.parametrize('option', ['train_cfg.max_iters=0', 'train_cfg.max_iters=-5'])
def test_a_training_of_no_iteration_is_refused(run, option):
    with pytest.raises(ConfigError, match=r'train_cfg\.max_iters is (0|-5): nothing would be trained'):
        run('--cfg-options', option)
    assert not run.folder.exists()
