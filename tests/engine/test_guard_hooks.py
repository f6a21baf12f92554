import types

import engine_toy
import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.optim.optimizer import amp_optimizer_wrapper
from torch.utils._python_dispatch import TorchDispatchMode

from mmweather.engine.hooks.non_finite_loss import NonFiniteLossHook
from mmweather.engine.hooks.progress_bar import ProgressBarHook
from mmweather.engine.hooks.rank_mean_log import RankMeanLogHook
from mmweather.errors import NonFiniteLossError

BATCH = engine_toy.ToyPairs(nan_index=None)


def make_batch(*indices):
    items = [BATCH[i] for i in indices]
    return {'inputs': [item['inputs'] for item in items], 'data_samples': [item['data_samples'] for item in items]}


def start(wrapper, net, **attributes):
    runner = types.SimpleNamespace(optim_wrapper=wrapper, model=net, iter=6, **attributes)
    hook = NonFiniteLossHook()
    hook.before_run(runner)
    hook.before_train(runner)
    return hook, runner


def wrapper_of(module, cls=OptimWrapper, **kwargs):
    return cls(optimizer=torch.optim.SGD(module.parameters(), lr=0.1), **kwargs)


@pytest.fixture
def cpu_amp(monkeypatch):
    """AmpOptimWrapper with PyTorch's gradient scaler of the CPU."""
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', lambda **kw: torch.amp.GradScaler('cpu', **kw))
    return lambda module: wrapper_of(module, AmpOptimWrapper, loss_scale=dict(init_scale=2. ** 16))


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_stops_before_the_step_and_names_the_files(bad):
    net = engine_toy.ToyNet(dropout=0)
    hook, runner = start(wrapper_of(net), net)
    batch = make_batch(4, 7)
    hook.before_train_iter(runner, 0, batch)
    net.train_step(make_batch(1, 2), runner.optim_wrapper)  # a good step passes and updates
    before = {k: v.clone() for k, v in net.state_dict().items()}
    batch['inputs'][1][:] = bad
    with pytest.raises(NonFiniteLossError, match=r'iteration 7 .* not finite: toy/007\.png; no step') as caught:
        net.train_step(batch, runner.optim_wrapper)
    assert '\n' not in str(caught.value) and isinstance(caught.value, FloatingPointError)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert 'backward' not in vars(runner.optim_wrapper)


def test_guards_are_taken_away_after_training_and_do_not_pile_up():
    net = torch.nn.Linear(1, 1)
    wrapper = wrapper_of(net, clip_grad=dict(max_norm=1))
    clip = wrapper.clip_func
    hook, runner = start(wrapper, net)
    first = wrapper.backward
    hook.before_train(runner)
    assert wrapper.backward != first and wrapper.clip_func is not clip and len(hook.guards) == 1
    hook.after_train(runner)
    assert wrapper.backward.__func__ is OptimWrapper.backward and wrapper.step.__func__ is OptimWrapper.step
    assert wrapper.clip_func is clip and not hook.guards


def test_accumulated_gradients_are_judged_each_time():
    net = engine_toy.ToyNet(dropout=0)
    hook, runner = start(wrapper_of(net, accumulative_counts=2), net)
    hook.before_train_iter(runner, 0, None)
    before = net.first.weight.clone()
    net.train_step(make_batch(1, 2), runner.optim_wrapper)
    with pytest.raises(NonFiniteLossError, match='names no files'):
        runner.optim_wrapper.update_params(net.first.weight.sum() * float('nan'))
    assert torch.equal(before, net.first.weight)


def test_several_optimizers():
    net = engine_toy.ToyPairOfNets(dropout=0)
    hook, runner = start(OptimWrapperDict(first=wrapper_of(net.first), last=wrapper_of(net.last)), net)
    hook.before_train_iter(runner, 0, make_batch(3))
    weights = net.last.weight.clone()
    net.train_step(make_batch(3, 5), runner.optim_wrapper)
    assert not torch.equal(weights, net.last.weight)
    weights = net.last.weight.clone()
    net.spoil = float('nan')  # the second optimizer calls backward and step itself
    with pytest.raises(NonFiniteLossError, match=r"optimizer 'last'.*toy/003"):
        net.train_step(make_batch(3, 5), runner.optim_wrapper)
    assert torch.equal(weights, net.last.weight)
    assert not any('backward' in vars(w) for w in runner.optim_wrapper.optim_wrappers.values())


def test_the_gradient_scaler_may_skip_but_a_bad_loss_stops(cpu_amp):
    net = torch.nn.Linear(1, 1)
    wrapper = cpu_amp(net)
    hook, runner = start(wrapper, net)
    hook.before_train_iter(runner, 0, {'img_path': ['a.png'], 'inputs': None})
    before = net.weight.clone()
    # A finite loss whose gradient overflows float32 once scaled: the scaler skips the step and halves its factor.
    wrapper.update_params(net.weight.sum() * 1e35)
    assert torch.equal(before, net.weight) and wrapper.loss_scaler.get_scale() == 2 ** 15
    wrapper.update_params(net.weight.square().sum() + 1)
    assert not torch.equal(before, net.weight)
    before = net.weight.clone()
    with pytest.raises(NonFiniteLossError, match='a.png'):
        wrapper.update_params(net.weight.sum() * float('nan'))
    assert torch.equal(before, net.weight)


def test_means_over_ranks_replace_the_scalars(monkeypatch):
    from mmweather.engine.hooks import rank_mean_log
    outputs = {'loss': torch.tensor(2.0, requires_grad=True), 'loss_a': torch.tensor([4.0]), 'map': torch.ones(2, 2),
               'note': 'text'}
    hook = RankMeanLogHook()
    hook.after_train_iter(None, 0, outputs=outputs)
    assert outputs['loss'].requires_grad  # one process: untouched
    monkeypatch.setattr(rank_mean_log, 'get_world_size', lambda: 2)
    monkeypatch.setattr(rank_mean_log, 'all_reduce', lambda values, op: values.mul_(0.5) if op == 'mean' else None)
    hook.after_train_iter(None, 0, outputs=outputs)
    assert (float(outputs['loss']), float(outputs['loss_a'])) == (1, 2)
    assert outputs['map'].shape == (2, 2) and outputs['note'] == 'text'
    hook.after_train_iter(None, 0, outputs=None)


def test_progress_bar_shows_loss_and_psnr_on_the_main_process_only(capsys, monkeypatch):
    from mmweather.engine.hooks import progress_bar
    runner = types.SimpleNamespace(max_iters=4, iter=1)
    hook = ProgressBarHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(0.125)})
    hook.after_val_epoch(runner, {'toy/ssim': 0.5, 'toy/PSNR_Y': 31.25})
    hook.after_train_iter(runner, 1, outputs={'loss': 0.5})
    hook.after_train(runner)
    shown = capsys.readouterr().err
    assert '3/4' in shown and 'loss=0.125' in shown and 'PSNR_Y=31.25' in shown and 'ssim' not in shown
    monkeypatch.setattr(progress_bar, 'is_main_process', lambda: False)
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, outputs={'loss': 1.0})
    hook.after_val_epoch(runner, {'psnr': 1.0})
    hook.after_train(runner)
    assert capsys.readouterr().err == ''


class Waits(TorchDispatchMode):
    """Counts reads of tensors, each of which waits for an accelerator."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default,
                               torch.ops.aten.equal.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def waits(monkeypatch):
    """Count the waits of a call; ``tolist`` reads without an operator on a CPU."""

    def count(call):
        own = torch.Tensor.tolist
        with Waits() as mode, monkeypatch.context() as patch:
            def tolist(tensor):
                mode.count += 1
                return own(tensor)

            patch.setattr(torch.Tensor, 'tolist', tolist)
            call()
        return mode.count

    return count


@pytest.mark.parametrize('options', [{}, dict(accumulative_counts=3), dict(clip_grad=dict(max_norm=1)),
                                     dict(clip_grad=dict(type='value', clip_value=1))], ids=str)
def test_a_step_waits_once_more_than_without_the_guard_and_clipping_none(waits, options):
    net = engine_toy.ToyNet(dropout=0)
    wrapper, batch = wrapper_of(net, **options), make_batch(1, 2)

    def step():
        for _ in range(options.get('accumulative_counts', 1)):
            net.train_step(batch, wrapper)

    free = waits(step)
    hook, _ = start(wrapper, net)
    hook.before_train_iter(types.SimpleNamespace(iter=0), 0, batch)
    clips_by_norm = 'max_norm' in options.get('clip_grad', {})
    assert free == (1 if clips_by_norm else 0)
    assert waits(step) == 1


def test_the_scaler_waits_once_and_the_guard_once(waits, cpu_amp):
    net = torch.nn.Linear(1, 1)
    wrapper = cpu_amp(net)
    call = lambda: wrapper.update_params(net.weight.square().sum())  # noqa: E731
    free = waits(call)
    start(wrapper, net)
    assert waits(call) == free + 1


def test_a_scaler_that_skips_without_end_is_stopped(cpu_amp):
    net = torch.nn.Linear(1, 1)
    wrapper = cpu_amp(net)
    hook, _ = start(wrapper, net)
    net.weight.register_hook(lambda gradient: gradient * float('nan'))
    before = net.weight.clone()
    for _ in range(49):
        wrapper.update_params(net.weight.sum())
    with pytest.raises(NonFiniteLossError, match='not finite in 50 steps in a row, which GradScaler skipped: weight'):
        wrapper.update_params(net.weight.sum())
    assert torch.equal(before, net.weight)


@pytest.mark.parametrize('clip', [None, dict(max_norm=1)], ids=['plain', 'clipped'])
def test_a_norm_that_overflows_is_no_fault(clip):
    net = torch.nn.Linear(2, 1)
    wrapper = wrapper_of(net, clip_grad=clip)
    start(wrapper, net)
    wrapper.update_params((net.weight * 1e30).sum())
    assert torch.isfinite(net.weight).all()


def test_only_the_bad_gradients_are_named_also_where_clipping_has_spread_them():
    net = engine_toy.ToyNet(dropout=0)
    wrapper = wrapper_of(net, clip_grad=dict(max_norm=1))
    hook, _ = start(wrapper, net)
    net.last.bias.register_hook(lambda gradient: gradient * float('nan'))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(NonFiniteLossError, match=r'gradients at iteration 0 are not finite: last\.bias, the loss'):
        net.train_step(make_batch(1, 2), wrapper)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_buffers_that_are_infinite_by_design_are_left_alone():
    net = torch.nn.Linear(1, 1)
    net.register_buffer('mask', torch.tensor([0., -float('inf')]))
    hook, runner = start(wrapper_of(net), net)
    hook.before_save_checkpoint(runner, {'state_dict': net.state_dict()})
    net.register_buffer('statistics', torch.tensor([float('inf')]))
    with pytest.raises(NonFiniteLossError, match='not finite are state_dict.statistics'):
        hook.before_save_checkpoint(runner, {'state_dict': net.state_dict()})
