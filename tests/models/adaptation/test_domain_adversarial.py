"""A stock mmseg segmentor and its domain critics alternate, keep recorded numbers and share checkpoints."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / 'engine'))
import domain_toy  # noqa: E402

from mmweather.errors import CheckpointError, ConfigError, DataError  # noqa: E402
from mmweather.models.adaptation.critics import CriticOptions  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402
from mmweather.utils.checkpoint import load_into  # noqa: E402

# Logs of the first implementation, a hook around the segmentor, on these samples and weights.
RECORDED = (
    {'loss_critic': 2.0983293056488037, 'critic_day': -0.023898357525467873, 'critic_night': -0.026063181459903717},
    {'loss_critic': 1.5664483308792114, 'critic_day': 0.1350940465927124, 'critic_night': 0.13099725544452667},
    {'loss': 2.1179358959198, 'day.decode.loss_ce': 0.60052889585495, 'loss_confusion': 1.517406940460205},
    {'loss': 1.3548648357391357, 'day.decode.loss_ce': 0.5718907117843628, 'loss_confusion': 0.7829741835594177},
    {'loss_critic': 1.3993054628372192, 'critic_day': 0.45609718561172485, 'critic_night': 0.44417309761047363},
    {'loss': 1.2328462600708008, 'day.decode.loss_ce': 0.5664937496185303, 'loss_confusion': 0.6663525700569153},
)
RECORDED_SUMS = (2717.308860057954, 310.9942657528445)
"""Sums of the absolute weights of the segmentor and of the critics after these iterations."""


def start(optimizer=None, wrap='mmengine.OptimWrapper', lr=0.1, **options):
    """The toy's segmentor with critics, and both optimizers."""
    torch.manual_seed(0)
    model = MODELS.build(domain_toy.adversarial(**options)).train()
    wrapper = build_optim_wrapper(model, dict(
        constructor='mmweather.DomainAdversarialOptim', type=wrap, optimizer=dict(type='mmengine.SGD', lr=lr),
        critics=dict(optimizer=optimizer) if optimizer else None))
    return model, wrapper


@pytest.fixture(autouse=True)
def step():
    """One iteration of training; the message hub holds its number, as in a run."""
    hub = MessageHub.get_current_instance()

    def call(iteration, model, wrapper, indices=(0, 1, 2, 3)):
        hub.update_info('iter', iteration)
        return model.train_step(batch(*indices), wrapper)

    yield call
    hub.runtime_info.pop('iter', None)


def batch(*indices, length=24):
    toys = domain_toy.ToyDomains(length)
    items = [toys[i] for i in indices]
    return {key: [item[key] for item in items] for key in ('inputs', 'data_samples')}


def copy_of(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(module, before):
    return {key for key, value in module.state_dict().items() if not torch.equal(value, before[key])}


def test_six_iterations_have_the_recorded_losses_and_weights(step):
    model, wrapper = start(dict(type='mmengine.RMSprop', lr=1e-3))
    torch.manual_seed(7)
    critics = nn.ModuleList(MODELS.build(dict(type='mmweather.DomainCritic', width=2, in_channels=channels))
                            for channels in (2, 4))
    model.critics.load_state_dict(critics.state_dict())
    for i, wanted in enumerate(RECORDED):
        logs = step(i, model, wrapper, range(4 * i, 4 * i + 4))
        assert wanted.keys() <= logs.keys()
        for name, value in wanted.items():
            assert float(logs[name]) == pytest.approx(value, rel=1e-4, abs=1e-6), (i, name)
    sums = [sum(value.double().abs().sum() for value in part.state_dict().values()).item()
            for part in (model.segmentor, model.critics)]
    assert sums == pytest.approx(RECORDED_SUMS, rel=1e-5)


def test_phases():
    options = CriticOptions(initial_critic_iters=3, seg_iters=2, critic_iters=1)
    assert ''.join(options.phase(i)[0] for i in range(10)) == 'cccsscsscs'
    once = CriticOptions(initial_critic_iters=2, seg_iters=1, critic_iters=0)
    assert ''.join(once.phase(i)[0] for i in range(6)) == 'ccssss'


def test_each_phase_trains_its_half_only(step):
    model, wrapper = start()
    before = copy_of(model)
    logs = step(0, model, wrapper)
    assert set(logs) == {'loss_critic', 'critic_day', 'critic_night'}
    assert changed(model, before) and not changed(model.segmentor, copy_of(start()[0].segmentor))
    critics = copy_of(model.critics)
    logs = step(2, model, wrapper)
    assert {'loss', 'day.decode.loss_ce', 'loss_confusion'} <= set(logs)
    assert not changed(model.critics, critics)
    assert all(p.grad is None for p in model.critics.parameters())
    assert {'backbone.conv1.weight', 'decode_head.conv_seg.weight'} <= changed(model, before)


def test_the_losses_are_those_of_the_critics_on_the_named_features():
    model, _ = start()
    data = batch(0, 1)
    losses = model(torch.stack(data['inputs']), data['data_samples'], mode='loss')
    with torch.no_grad():
        features = []
        for i in (0, 1):
            x = model.extract_feat(data['inputs'][i][None])
            features.append([model.decode_head(x), x[0]])
        scores = [[critic(f) for critic, f in zip(model.critics, part, strict=True)] for part in features]
        want = 0.5 * sum((a**2).mean() + ((b - 1)**2).mean() for a, b in zip(*scores, strict=True))
    torch.testing.assert_close(losses['loss_confusion'].detach(), want)


def test_critics_learn_to_tell_the_domains_apart(step):
    model, wrapper = start(dict(type='mmengine.Adam', lr=3e-3), initial_critic_iters=100)
    first = step(0, model, wrapper)
    for i in range(1, 41):
        last = step(i, model, wrapper)
    assert last['loss_critic'] < 0.5 * first['loss_critic'] and last['critic_day'] > last['critic_night'] + 0.2


def test_mixed_precision_trains_both_halves(step, monkeypatch):
    # MMEngine makes its wrapper where there is an accelerator only; on a CPU it then casts to bfloat16.
    monkeypatch.setattr('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', lambda: True)
    plain, (model, wrapper) = start(), start(wrap='mmengine.AmpOptimWrapper')
    assert {type(each).__name__ for each in wrapper.values()} == {'AmpOptimWrapper'}
    for each in wrapper.values():
        each.cast_dtype = torch.bfloat16
    for iteration in (0, 1, 2):
        parts = copy_of(model.segmentor), copy_of(model.critics)
        wanted, found = step(iteration, *plain), step(iteration, model, wrapper)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert float(found[name]) == pytest.approx(float(value), rel=0.1, abs=0.02), name
            assert iteration or float(found[name]) != float(value), 'nothing was cast'
    assert changed(model.segmentor, parts[0]) and not changed(model.critics, parts[1])
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_the_rate_follows_the_segmentors_schedule_or_its_own(step):
    for follow, wanted in ((True, 0.125), (False, 0.5)):
        model, wrapper = start(dict(type='mmengine.SGD', lr=0.5), follow_schedule=follow)
        wrapper['segmentor'].param_groups[0].update(initial_lr=0.1, lr=0.025)
        step(0, model, wrapper)
        assert wrapper['critics'].param_groups[0]['lr'] == pytest.approx(wanted)


def test_outside_of_training_it_is_the_segmentor():
    model, _ = start()
    model.eval()
    plain = MODELS.build(ConfigDict(domain_toy.segmentor())).eval()
    plain.load_state_dict(model.segmentor.state_dict())
    found, wanted = model.test_step(batch(0, 1)), plain.test_step(batch(0, 1))
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a.seg_logits.data, b.seg_logits.data)
    assert model.decode_head is model.segmentor.decode_head
    images = torch.stack(batch(0)['inputs'])
    assert torch.equal(model(images), plain(images))
    with pytest.raises(AttributeError, match='no_such_part'):
        _ = model.no_such_part
    twin = copy.deepcopy(model)
    assert torch.equal(twin(images), plain(images)) and twin.segmentor is not model.segmentor


def test_state_dicts_serve_the_segmentor_and_back():
    model, _ = start()
    state = model.state_dict()
    plain = MODELS.build(domain_toy.segmentor())
    assert {key for key in state if not key.startswith('critics.')} == set(plain.state_dict())
    load_into(plain, state, 'whole.pth')
    assert not changed(plain, state)
    other, _ = start()
    critics = copy_of(other.critics)
    load_into(other, {key: value + 1 for key, value in plain.state_dict().items()}, 'plain.pth')
    assert not changed(other.critics, critics)
    assert torch.equal(other.backbone.conv1.weight, plain.backbone.conv1.weight + 1)
    del state['critics.0.conv1.weight']
    with pytest.raises(CheckpointError, match='critics.0.conv1.weight'):
        load_into(other, state, 'torn.pth')


def test_the_segmentor_starts_as_it_does_without_critics():
    torch.manual_seed(3)
    plain = MODELS.build(domain_toy.segmentor())
    plain.init_weights()
    torch.manual_seed(3)
    model = MODELS.build(domain_toy.adversarial())
    assert model.critics.channels == (2, 4)
    model.init_weights()
    assert not changed(plain, model.segmentor.state_dict())


@pytest.mark.parametrize(('options', 'message'), [
    (dict(features=[]), 'at least one name'),
    (dict(features='decode_head.conv_seg'), 'must list'),
    (dict(domains=('day', )), 'must name two'),
    (dict(adversarial='L1'), "'MSE' or 'BCE', got 'L1'"),
    (dict(seg_iters=0), 'seg_iters must be at least 1'),
    (dict(critic_weights=(1., )), '2 features need as many critic_weights, got 1'),
    (dict(in_channels=(2, )), '2 features need as many in_channels, got 1'),
    (dict(loss_wait=1.), "no option 'loss_wait'; they take features, "),
    (dict(features=['decode_head.conv_sg']), "no module 'decode_head.conv_sg'; features may be"),
    (dict(features=['backbone']), 'is a tuple, not a feature map'),
    (dict(features=['backbone[7]']), 'has no entry 7'),
    (dict(features=['decode_head.loss_decode']), 'decode_head.loss_decode did not run'),
    (dict(features=['decode_head']), 'decode_head did not run'),
])
def test_mistakes_of_the_config(options, message):
    with pytest.raises(ConfigError, match=message):
        start(**options)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(features=['decode_head'], in_channels=[2]), 'decode_head did not run'),
    (dict(features=['backbone[3]']), 'is 4x4, and its critic needs 32'),
    (dict(in_channels=[2, 5]), r"'backbone\[0\]' has 4 channels.* set critics.in_channels=\[2, 4\]"),
])
def test_features_that_do_not_fit(step, options, message):
    model, wrapper = start(initial_critic_iters=0, **options)
    with pytest.raises(ConfigError, match=message):
        step(0, model, wrapper)
    assert not any(module._forward_hooks for module in model.modules())


def test_batches_without_a_domain(step):
    model, wrapper = start()
    with pytest.raises(DataError, match="no sample of domain 'night': use mmweather.DomainPairSampler"):
        step(0, model, wrapper, (0, 2))
    data = batch(0, 1)
    data['data_samples'][0].set_metainfo({'domain': None})
    with pytest.raises(ConfigError, match="'0.png' does not say its 'domain'"):
        model.train_step(data, wrapper)


def test_one_optimizer_and_a_missing_iteration_are_reported(step):
    model, wrapper = start()
    single = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ConfigError, match="constructor='mmweather.DomainAdversarialOptim'"):
        step(0, model, single)
    MessageHub.get_current_instance().runtime_info.pop('iter')
    with pytest.raises(ConfigError, match='RuntimeInfoHook'):
        model.train_step(batch(0, 1), wrapper)
    with pytest.raises(ConfigError, match='needs the model mmweather.DomainAdversarial, got EncoderDecoder'):
        build_optim_wrapper(model.segmentor, dict(
            constructor='mmweather.DomainAdversarialOptim', optimizer=dict(type='mmengine.SGD', lr=0.1)))
