"""A run with domain critics, by the hook or the model: checkpoints, resuming, the guard, two processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.runner import load_checkpoint as load_as_mmengine

sys.path.insert(0, str(Path(__file__).parent))
import domain_toy  # noqa: E402
import engine_toy  # noqa: E402

from mmweather.engine.hooks.domain_critic import DomainCriticHook  # noqa: E402
from mmweather.engine.runner import train, train_parser  # noqa: E402
from mmweather.errors import CheckpointError, ConfigError, NonFiniteLossError  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint, load_into  # noqa: E402


def config_of(folder, name, batch_size=4, iters=6, by_model=False, optimizer=None, **options):
    """A config of the toy, whose critics come by the hook or by the model."""
    optimizer = optimizer or dict(type='mmengine.RMSprop', lr=1e-4)
    own = dict(model=domain_toy.segmentor())
    hooks = [domain_toy.hook(optimizer=optimizer, **options)]
    if by_model:
        own, hooks = dict(
            model=domain_toy.adversarial(**options),
            model_wrapper_cfg=dict(type='mmweather.DomainAdversarialDDP'),
            optim_wrapper=dict(
                type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=0.01),
                constructor='mmweather.DomainAdversarialOptim', critics=dict(optimizer=optimizer))), []
    return engine_toy.write_config(
        folder, name,
        custom_imports=dict(imports=['domain_toy'], allow_failed_imports=False),
        train_dataloader=dict(
            batch_size=batch_size, num_workers=0, sampler=dict(type='mmweather.DomainPairSampler'),
            dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmweather.ToyDomains'))),
        train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=iters, val_interval=1000),
        val_cfg=None, val_dataloader=None, val_evaluator=None,
        param_scheduler=[dict(type='mmengine.LinearLR', by_epoch=False, start_factor=0.5, begin=0, end=6)],
        default_hooks=dict(checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=False, interval=3)),
        custom_hooks=[dict(type='mmweather.ExactResumeHook'), dict(type='mmweather.RankMeanLogHook'),
                      dict(type='mmweather.NonFiniteLossHook'), *hooks], **own)


def run(config, folder, *words):
    return train(train_parser().parse_args([str(config), '--work-dir', str(folder), *words]))


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, 'is_available', lambda: False)
        run(config_of(folder, 'whole.py'), folder)
    return folder


def same(first, second):
    assert first['state_dict'].keys() == second['state_dict'].keys()
    for key, value in first['state_dict'].items():
        assert torch.equal(second['state_dict'][key], value), key
    ours, theirs = (entry['optimizer']['critics'] for entry in (first, second))
    assert ours['state'] and ours['state'].keys() == theirs['state'].keys() and all(
        torch.equal(ours['state'][i]['square_avg'], theirs['state'][i]['square_avg']) for i in ours['state'])


def test_a_checkpoint_serves_the_segmentor_alone(whole):
    state = load_checkpoint(whole / 'iter_3.pth')
    assert any(key.startswith('critics.1.') for key in state['state_dict'])
    plain = MODELS.build(domain_toy.segmentor())
    load_into(plain, state, 'iter_3.pth')
    assert torch.equal(plain.backbone.conv1.weight, state['state_dict']['backbone.conv1.weight'])
    stock = MODELS.build(domain_toy.segmentor())
    load_as_mmengine(stock, str(whole / 'iter_3.pth'))
    assert torch.equal(stock.decode_head.conv_seg.weight, plain.decode_head.conv_seg.weight)


def test_the_model_by_config_is_the_same_run(whole, tmp_path):
    runner = run(config_of(tmp_path, 'model.py', by_model=True), tmp_path)
    assert type(runner.model).__name__ == 'DomainAdversarial'
    same(load_checkpoint(whole / 'iter_6.pth'), load_checkpoint(tmp_path / 'iter_6.pth'))


@pytest.mark.parametrize('by_model', [False, True])
def test_a_resumed_run_is_the_same_run(whole, tmp_path, by_model):
    source = whole
    if by_model:
        source = tmp_path / 'first'
        run(config_of(tmp_path, 'first.py', iters=3, by_model=True), source)
    run(config_of(tmp_path, 'resumed.py', by_model=by_model), tmp_path, '--resume', str(source / 'iter_3.pth'))
    same(load_checkpoint(whole / 'iter_6.pth'), load_checkpoint(tmp_path / 'iter_6.pth'))


def earlier(checkpoint):
    """A checkpoint as the hook wrote it before the critics were part of the model."""
    state, both = checkpoint['state_dict'], checkpoint['optimizer']
    checkpoint['param_schedulers'] = checkpoint['param_schedulers']['segmentor']
    critics = {key.removeprefix('critics.'): state.pop(key) for key in list(state) if key.startswith('critics.')}
    for group in both['critics']['param_groups']:
        del group['initial_lr']
    checkpoint.update(optimizer=both['segmentor'], domain_critics=dict(
        features=['decode_head.conv_seg', 'backbone[0]'], state_dict=critics, optimizer=both['critics']))
    return checkpoint


def test_a_checkpoint_of_the_earlier_hook_is_resumed(whole, tmp_path):
    torch.save(earlier(load_checkpoint(whole / 'iter_3.pth')), tmp_path / 'earlier.pth')
    run(config_of(tmp_path, 'resumed.py'), tmp_path, '--resume', str(tmp_path / 'earlier.pth'))
    same(load_checkpoint(whole / 'iter_6.pth'), load_checkpoint(tmp_path / 'iter_6.pth'))
    config = config_of(tmp_path, 'other.py', features=['decode_head.conv_seg'])
    with pytest.raises(CheckpointError, match='has critics of decode_head.conv_seg: resume with the config'):
        run(config, tmp_path, '--resume', str(tmp_path / 'earlier.pth'))


def test_other_critics_are_not_resumed(whole, tmp_path):
    config = config_of(tmp_path, 'wider.py', critic=dict(type='mmweather.DomainCritic', width=3))
    with pytest.raises(CheckpointError, match='differ in shape .critics.0'):
        run(config, tmp_path, '--resume', str(whole / 'iter_3.pth'))
    state = load_checkpoint(whole / 'iter_3.pth')
    state['state_dict'] = {key: value for key, value in state['state_dict'].items() if not key.startswith('critics.')}
    torch.save(state, tmp_path / 'plain.pth')
    with pytest.raises(CheckpointError, match='holds no critics, .*load_from='):
        run(config_of(tmp_path, 'none.py'), tmp_path, '--resume', str(tmp_path / 'plain.pth'))


def test_a_bad_critic_loss_stops_the_run(tmp_path):
    config = config_of(tmp_path, 'bad.py', optimizer=dict(type='mmengine.SGD', lr=1e30), initial_critic_iters=6)
    with pytest.raises(NonFiniteLossError, match="optimizer 'critics' at iteration"):
        run(config, tmp_path)


def test_wrong_options_are_found_when_the_hook_is_built():
    with pytest.raises(ConfigError, match='seg_iters must be at least 1'):
        DomainCriticHook(seg_iters=0)
    with pytest.raises(ConfigError, match="no option 'optimiser'"):
        DomainCriticHook(optimiser=dict(type='mmengine.SGD'))


@pytest.mark.slow
@pytest.mark.parametrize('by_model', [False, True])
def test_two_processes_are_one_process_with_twice_the_batch(whole, tmp_path, by_model):
    config = config_of(tmp_path, 'two.py', batch_size=2, by_model=by_model)
    process = subprocess.run(
        ['bash', str(engine_toy.ROOT / 'tools/dist_train.sh'), str(config), '2', '--work-dir', str(tmp_path)],
        env=engine_toy.environment(), capture_output=True, text=True, timeout=280)
    assert process.returncode == 0, (process.stdout + process.stderr)[-4000:]
    one, two = (load_checkpoint(folder / 'iter_6.pth') for folder in (whole, tmp_path))
    assert one['state_dict'].keys() == two['state_dict'].keys()
    for key, value in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][key], value, rtol=1e-3, atol=1e-4)
