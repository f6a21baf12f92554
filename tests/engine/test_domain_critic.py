"""Domain critics attach to a stock mmseg segmentor by config alone, alternate, resume and run in two processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper

sys.path.insert(0, str(Path(__file__).parent))
import domain_toy  # noqa: E402
import engine_toy  # noqa: E402

from mmweather.engine.hooks.domain_critic import DomainCriticHook  # noqa: E402
from mmweather.engine.runner import train, train_parser  # noqa: E402
from mmweather.errors import CheckpointError, ConfigError, DataError, NonFiniteLossError  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402


def attach(wrap=OptimWrapper, **options):
    """A runner's worth of parts with the hook attached; the iteration is the caller's to count."""
    torch.manual_seed(0)
    model = MODELS.build(domain_toy.segmentor()).train()
    hook = DomainCriticHook(**{key: value for key, value in domain_toy.hook(**options).items() if key != 'type'})
    wrapper = wrap(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, iter=0, hooks=[hook])
    hook.before_train(runner)
    return runner, hook


def batch(*indices):
    toys = domain_toy.ToyDomains()
    items = [toys[i] for i in indices]
    return {key: [item[key] for item in items] for key in ('inputs', 'data_samples')}


def copy(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(module, before):
    return {key for key, value in module.state_dict().items() if not torch.equal(value, before[key])}


def test_phases():
    hook = DomainCriticHook(initial_critic_iters=3, seg_iters=2, critic_iters=1)
    assert ''.join(hook.phase(i)[0] for i in range(10)) == 'cccsscsscs'
    once = DomainCriticHook(initial_critic_iters=2, seg_iters=1, critic_iters=0)
    assert ''.join(once.phase(i)[0] for i in range(6)) == 'ccssss'


def test_each_phase_trains_its_half_only():
    runner, hook = attach()
    model = runner.model
    before = copy(model)
    logs = model.train_step(batch(0, 1, 2, 3), runner.optim_wrapper)
    assert set(logs) == {'loss_critic', 'critic_day', 'critic_night'} and not changed(model, before)
    critics = copy(hook.critics)
    model.train_step(batch(0, 1, 2, 3), runner.optim_wrapper)
    assert changed(hook.critics, critics) and not changed(model, before)
    runner.iter, critics = 2, copy(hook.critics)
    logs = model.train_step(batch(0, 1, 2, 3), runner.optim_wrapper)
    assert {'loss', 'day.decode.loss_ce', 'loss_confusion'} <= set(logs)
    assert not changed(hook.critics, critics)
    assert all(p.grad is None for p in hook.critics.parameters())
    assert {'backbone.conv1.weight', 'decode_head.conv_seg.weight'} <= changed(model, before)


def test_the_losses_are_those_of_the_critics_on_the_named_features():
    runner, hook = attach(initial_critic_iters=0)
    hook.build([2, 4])
    model, data = runner.model, batch(0, 1)
    losses = model(torch.stack(data['inputs']), data['data_samples'], mode='loss')
    with torch.no_grad():
        features = []
        for i in (0, 1):
            x = model.extract_feat(data['inputs'][i][None])
            features.append([model.decode_head(x), x[0]])
        scores = [[critic(f) for critic, f in zip(hook.critics, part, strict=True)] for part in features]
        want = 0.5 * sum((a**2).mean() + ((b - 1)**2).mean() for a, b in zip(*scores, strict=True))
    torch.testing.assert_close(losses['loss_confusion'].detach(), want)


def test_critics_learn_to_tell_the_domains_apart():
    runner, _ = attach(initial_critic_iters=100, optimizer=dict(type='mmengine.Adam', lr=3e-3))
    first = runner.model.train_step(batch(0, 1, 2, 3), runner.optim_wrapper)
    for _ in range(25):
        last = runner.model.train_step(batch(0, 1, 2, 3), runner.optim_wrapper)
    assert last['loss_critic'] < 0.75 * first['loss_critic'] and last['critic_day'] > last['critic_night'] + 0.1


def test_mixed_precision_trains_both_halves(monkeypatch):
    # MMEngine makes its wrapper where there is an accelerator only; on a CPU it then casts to bfloat16.
    monkeypatch.setattr('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', lambda: True)
    (plain, _), (runner, hook) = attach(), attach(lambda optimizer: AmpOptimWrapper(optimizer=optimizer,
                                                                                    dtype='bfloat16'))
    for iteration in (0, 1, 2):
        plain.iter = runner.iter = iteration
        parts = copy(runner.model), copy(hook.critics) if hook.critics else None
        wanted = plain.model.train_step(batch(0, 1, 2, 3), plain.optim_wrapper)
        found = runner.model.train_step(batch(0, 1, 2, 3), runner.optim_wrapper)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert float(found[name]) == pytest.approx(float(value), rel=0.1, abs=0.02), name
            assert iteration or float(found[name]) != float(value), 'nothing was cast'
    assert changed(runner.model, parts[0]) and not changed(hook.critics, parts[1])
    assert hook.optim_wrapper.cast_dtype == torch.bfloat16
    assert {p.dtype for p in (*hook.critics.parameters(), *runner.model.parameters())} == {torch.float32}


def test_the_rate_follows_the_segmentors_schedule():
    runner, hook = attach(optimizer=dict(type='mmengine.SGD', lr=0.5))
    group = runner.optim_wrapper.param_groups[0]
    group.update(initial_lr=0.1, lr=0.025)
    runner.model.train_step(batch(0, 1), runner.optim_wrapper)
    assert hook.optim_wrapper.param_groups[0]['lr'] == pytest.approx(0.125)


def test_it_leaves_the_segmentor_as_it_was():
    runner, hook = attach()
    hook.after_train(runner)
    assert not {'forward', 'train_step'} & set(runner.model.__dict__) and not hook._handles
    assert not any(module._forward_hooks for module in runner.model.modules())


@pytest.mark.parametrize(('options', 'message'), [
    (dict(features=[]), 'at least one name'),
    (dict(features='decode_head.conv_seg'), 'must list'),
    (dict(domains=('day', )), 'must name two'),
    (dict(adversarial='L1'), "'MSE' or 'BCE', got 'L1'"),
    (dict(seg_iters=0), 'seg_iters must be at least 1'),
    (dict(critic_weights=(1., )), '2 features need as many critic_weights, got 1'),
    (dict(features=['decode_head.conv_sg']), "no module 'decode_head.conv_sg'; features may be"),
])
def test_mistakes_of_the_config(options, message):
    with pytest.raises(ConfigError, match=message):
        attach(**options)


@pytest.mark.parametrize(('feature', 'message'), [
    ('backbone', 'is a tuple, not a feature map'),
    ('backbone[7]', 'has no entry 7'),
    ('decode_head', 'decode_head did not run'),
    ('backbone[3]', 'is 4x4, and its critic needs 32'),
])
def test_features_that_are_none(feature, message):
    runner, hook = attach(features=[feature], initial_critic_iters=0)
    with pytest.raises(ConfigError, match=message):
        runner.model.train_step(batch(0, 1), runner.optim_wrapper)
    assert hook._captured is None


def test_batches_without_a_domain():
    runner, _ = attach()
    with pytest.raises(DataError, match="no sample of domain 'night': use mmweather.DomainPairSampler"):
        runner.model.train_step(batch(0, 2), runner.optim_wrapper)
    data = batch(0, 1)
    data['data_samples'][0].set_metainfo({'domain': None})
    with pytest.raises(ConfigError, match="'0.png' does not say its 'domain'"):
        runner.model.train_step(data, runner.optim_wrapper)


def config_of(folder, name, batch_size=4, iters=6, **options):
    return engine_toy.write_config(
        folder, name,
        custom_imports=dict(imports=['domain_toy'], allow_failed_imports=False),
        model=domain_toy.segmentor(),
        train_dataloader=dict(
            batch_size=batch_size, num_workers=0, sampler=dict(type='mmweather.DomainPairSampler'),
            dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmweather.ToyDomains'))),
        train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=iters, val_interval=1000),
        val_cfg=None, val_dataloader=None, val_evaluator=None,
        param_scheduler=[dict(type='mmengine.LinearLR', by_epoch=False, start_factor=0.5, begin=0, end=6)],
        default_hooks=dict(checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=False, interval=3)),
        custom_hooks=[dict(type='mmweather.ExactResumeHook'), dict(type='mmweather.RankMeanLogHook'),
                      dict(type='mmweather.NonFiniteLossHook'), domain_toy.hook(**options)])


def run(config, folder, *words):
    return train(train_parser().parse_args([str(config), '--work-dir', str(folder), *words]))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, 'is_available', lambda: False)
        run(config_of(folder, 'whole.py'), folder)
    return folder


def same(first, second):
    for key, value in first['state_dict'].items():
        assert torch.equal(second['state_dict'][key], value), key
    for key, value in first['domain_critics']['state_dict'].items():
        assert torch.equal(second['domain_critics']['state_dict'][key], value), key
    ours, theirs = (entry['domain_critics']['optimizer']['state'] for entry in (first, second))
    assert ours.keys() == theirs.keys() and all(
        torch.equal(ours[i]['square_avg'], theirs[i]['square_avg']) for i in ours)


def test_a_checkpoint_is_that_of_the_segmentor_with_critics_beside_it(whole):
    state = load_checkpoint(whole / 'iter_3.pth')
    plain = MODELS.build(domain_toy.segmentor())
    plain.load_state_dict(state['state_dict'])
    assert state['domain_critics']['features'] == ['decode_head.conv_seg', 'backbone[0]']


def test_a_resumed_run_is_the_same_run(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    run(config_of(tmp_path, 'resumed.py'), tmp_path, '--resume', str(whole / 'iter_3.pth'))
    same(load_checkpoint(whole / 'iter_6.pth'), load_checkpoint(tmp_path / 'iter_6.pth'))


def test_other_critics_are_not_resumed(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    config = config_of(tmp_path, 'other.py', features=['decode_head.conv_seg'])
    with pytest.raises(CheckpointError, match='wants critics of decode_head.conv_seg: resume with the config'):
        run(config, tmp_path, '--resume', str(whole / 'iter_3.pth'))
    config = config_of(tmp_path, 'wider.py', critic=dict(type='mmweather.DomainCritic', width=3))
    with pytest.raises(CheckpointError, match='are others than those'):
        run(config, tmp_path, '--resume', str(whole / 'iter_3.pth'))


def test_a_bad_critic_loss_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    config = config_of(tmp_path, 'bad.py', optimizer=dict(type='mmengine.SGD', lr=1e30), initial_critic_iters=6)
    with pytest.raises(NonFiniteLossError, match="optimizer 'domain critics' at iteration"):
        run(config, tmp_path)


@pytest.mark.slow
def test_two_processes_are_one_process_with_twice_the_batch(whole, tmp_path):
    config = config_of(tmp_path, 'two.py', batch_size=2)
    process = subprocess.run(
        ['bash', str(engine_toy.ROOT / 'tools/dist_train.sh'), str(config), '2', '--work-dir', str(tmp_path)],
        env=engine_toy.environment(), capture_output=True, text=True, timeout=280)
    assert process.returncode == 0, (process.stdout + process.stderr)[-4000:]
    one, two = (load_checkpoint(folder / 'iter_6.pth') for folder in (whole, tmp_path))
    assert not any(key.startswith('module.') for key in two['state_dict'])
    for part in (lambda state: state['state_dict'], lambda state: state['domain_critics']['state_dict']):
        for key, value in part(one).items():
            torch.testing.assert_close(part(two)[key], value, rtol=1e-3, atol=1e-4)
