"""The semi-supervised restorer: gradients against a sum written out, passes, starts, files, mistakes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmagic.structures import DataSample
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmweather.errors import CheckpointError, ConfigError, DataError
from mmweather.models.ops.batch_groups import statistics_per_group
from mmweather.models.semi_supervised.terms import LossTerm
from mmweather.registry import MODELS
from mmweather.utils.checkpoint import load_into

GENERATOR = dict(type='mmweather.MSFF', features=4, noise_std=0.0)
CRITIC = dict(type='mmweather.SandDustDiscriminator', features=(4, 8))
ALL_TERMS = dict(
    l1=dict(type='mmweather.ReconstructionTerm', weight=10),
    pseudo_label=dict(type='mmweather.PseudoLabelTerm', weight=0.5),
    consistency=dict(type='mmweather.ConsistencyTerm', weight=2),
    adversarial=dict(type='mmweather.AdversarialTerm'))
COPIES = 3


class KeepGradients(OptimWrapper):
    def zero_grad(self, **kwargs):
        pass


def build(**options):
    torch.manual_seed(0)
    options = {'generator': GENERATOR, 'terms': ALL_TERMS, 'networks': dict(critic=CRITIC), 'signed': True,
               'objectives': dict(critic=dict(type='mmweather.CriticObjective')), 'noise_copies': COPIES, **options}
    model = MODELS.build(dict(type='mmweather.SemiSupervisedRestorer', **options)).train()
    if model.generator is not None:  # gamma starts at 0, where the attention has no gradient
        for module in model.generator.modules():
            if hasattr(module, 'gamma'):
                nn.init.constant_(module.gamma, 0.5)
    model.draw_noise = lambda image, index: 0.1 * torch.full_like(image, (-1)**index * (index + 1))
    return model


def wrappers(model, kind=OptimWrapper, **options):
    return OptimWrapperDict(**{
        name: kind(torch.optim.SGD(model.get_submodule(name).parameters(), lr=0.01), **options)
        for name in model.trained})


def images(size=16, batch=2):
    generator = torch.Generator().manual_seed(1)
    shapes = dict.fromkeys(('img', 'gt', 'unlabelled', 'pseudo_label'), (batch, 3, size, size))
    shapes |= dict.fromkeys(('gt_views', 'unlabelled_views'), (batch, COPIES, 3, size, size))
    return {name: torch.rand(shape, generator=generator) * 2 - 1 for name, shape in shapes.items()}


def gradients(network):
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def written_out(model, batch):
    """The same step as one sum: gradients of the critic, then those of the generator with the stepped critic."""
    g, d = model.generator, model.critic
    views = batch['unlabelled_views'].unbind(1)
    fakes = [g(view) for view in views]
    loss = sum(F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
               for real, fake in zip(batch['gt_views'].unbind(1), fakes, strict=True)) / 2 / COPIES
    loss.backward()
    of_critic = gradients(d)
    with torch.no_grad():
        for parameter in d.parameters():
            parameter -= 0.01 * parameter.grad
    anchor = g(batch['unlabelled'])
    total = 10 * F.l1_loss(g(batch['img']), batch['gt']) + 0.5 * F.l1_loss(anchor, batch['pseudo_label'])
    for k in range(COPIES):
        noisy = g(batch['unlabelled'] + model.draw_noise(anchor, k))
        total = total + (2 * F.l1_loss(noisy, anchor) + F.softplus(-d(fakes[k])).mean()) / COPIES
    total.backward()
    return loss.item(), total.item(), of_critic, gradients(g)


@pytest.mark.parametrize('options', [
    {}, dict(copies_per_pass=2), dict(copies_per_pass=3), dict(recompute_views=True),
    dict(copies_per_pass=2, recompute_views=True)], ids=str)
def test_gradients_are_those_of_the_sum(options):
    batch = images()
    critic_loss, total, of_critic, of_generator = written_out(build(), batch)
    model = build(**options)
    log = model.optimise(batch, wrappers(model, KeepGradients))
    assert log['loss_critic'].item() == pytest.approx(critic_loss, rel=1e-5)
    assert log['loss'].item() == pytest.approx(total + critic_loss, rel=1e-5)
    for network, wanted in ((model.critic, of_critic), (model.generator, of_generator)):
        for name, grad in gradients(network).items():
            torch.testing.assert_close(grad, wanted[name], rtol=1e-3, atol=1e-5, msg=name)


def test_running_statistics_do_not_depend_on_the_copies_per_pass():
    """Of the generator alone: what the streams' turns leave depends on their order in a pass."""
    network = MODELS.build(GENERATOR).train()
    other = copy.deepcopy(network)
    x = torch.rand(6, 3, 16, 16)
    with torch.no_grad():
        apart = torch.cat([network(part) for part in x.chunk(3)])
        with statistics_per_group(other, 3):
            together = other(x)
    torch.testing.assert_close(together, apart)
    for (name, mine), theirs in zip(other.state_dict().items(), network.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)
    with torch.no_grad():
        assert not torch.allclose(other(x), apart, atol=1e-3)  # outside, the whole batch is one again


def test_passes_are_counted():
    counts = {}
    for options in ({}, dict(recompute_views=True), dict(copies_per_pass=COPIES)):
        model = build(**options)
        calls = {'generator': 0, 'critic': 0}
        for name in calls:
            model.get_submodule(name).register_forward_hook(
                lambda *_, name=name, calls=calls: calls.update({name: calls[name] + 1}))
        model.optimise(images(), wrappers(model))
        counts[str(options)] = calls
    assert list(counts.values()) == [{'generator': 2 + 2 * COPIES, 'critic': 3 * COPIES},
                                     {'generator': 2 + 3 * COPIES, 'critic': 3 * COPIES},
                                     {'generator': 4, 'critic': 3}]


def test_a_term_starts_when_it_should():
    terms = {**ALL_TERMS, 'adversarial': dict(type='mmweather.AdversarialTerm', begin=5),
             'pseudo_label': dict(type='mmweather.PseudoLabelTerm', begin=2, by_epoch=True),
             'consistency': dict(type='mmweather.ConsistencyTerm', weight=0)}
    model = build(terms=terms)
    hub = MessageHub.get_current_instance()
    seen = {}
    for place in ((4, 1), (5, 1), (4, 2)):
        hub.update_info('iter', place[0])
        hub.update_info('epoch', place[1])
        seen[place] = set(model.optimise(images(), wrappers(model)))
    hub.update_info('iter', 0)
    hub.update_info('epoch', 0)
    always = {'loss', 'loss_l1', 'loss_critic'}
    assert seen == {(4, 1): always, (5, 1): always | {'loss_adversarial'}, (4, 2): always | {'loss_pseudo_label'}}


def test_without_a_term_to_learn_the_networks_stay():
    model = build(terms=dict(l1=dict(type='mmweather.ReconstructionTerm', begin=10)), networks=None, objectives=None)
    before = copy.deepcopy(model.state_dict())
    log = model.optimise(images(), wrappers(model))
    assert log['loss'].item() == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_stopping_the_gradient_of_the_anchor_changes_the_gradient():
    found = []
    for stop in (False, True):
        model = build(terms=dict(c=dict(type='mmweather.ConsistencyTerm', stop_gradient=stop)), networks=None,
                      objectives=None)
        log = model.optimise(images(), wrappers(model, KeepGradients))
        found.append((log['loss'].item(), gradients(model.generator)['final_decoder.9.weight']))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert not torch.allclose(found[0][1], found[1][1], rtol=0.05)


def test_accumulated_gradients_wait_for_the_step():
    model = build()
    optimizers = wrappers(model, accumulative_counts=2)
    before = copy.deepcopy(dict(model.named_parameters()))
    model.optimise(images(), optimizers)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    model.optimise(images(), optimizers)
    assert not torch.equal(model.generator.final_decoder[9].weight, before['generator.final_decoder.9.weight'])
    assert not torch.equal(model.critic.initial[0].weight, before['critic.initial.0.weight'])


def test_it_learns():
    model = build(terms=dict(l1=dict(type='mmweather.ReconstructionTerm')), networks=None, objectives=None)
    optimizer = OptimWrapper(torch.optim.Adam(model.generator.parameters(), lr=1e-2))
    batch = images()
    batch['gt'] = -0.5 * batch['img']
    losses = [model.optimise(batch, optimizer)['loss'].item() for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_frozen_network_is_left_alone_and_a_classifier_behind_a_loss_is_not_saved():
    networks = dict(critic=CRITIC, judge=CRITIC, vgg=dict(type='mmweather.VGG19Features', layers=('relu1_1', )))
    terms = {**ALL_TERMS, 'judge': dict(type='mmweather.AdversarialTerm', network='judge'),
             'perceptual': dict(type='mmweather.PerceptualTerm', layers=('relu1_1', )),
             'style': dict(type='mmweather.StyleTerm', layers=('relu1_1', ))}
    model = build(networks=networks, terms=terms)
    before = copy.deepcopy(model.state_dict())
    calls = []
    model.vgg.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    log = model.optimise(images(), wrappers(model))
    assert calls == [2, 2]  # prediction and target, once for both terms
    assert {'loss_judge', 'loss_perceptual', 'loss_style'} <= set(log)
    changed = {name.split('.')[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {'generator', 'critic'}
    assert not model.judge.training and model.critic.training
    assert {name.split('.')[0] for name in before} == {'generator', 'critic', 'judge'}
    other = build(networks=networks, terms=terms)
    own = other.vgg.features[0].weight.clone()
    load_into(other, model.state_dict(), 'memory')
    assert torch.equal(other.generator.E1[0].weight, model.generator.E1[0].weight)
    assert torch.equal(other.vgg.features[0].weight, own)


class SaturationTerm(LossTerm):
    stream = 'views'

    def forward(self, restored, step, groups=1):
        return (restored.amax(1) - restored.amin(1)).mean()


def test_a_term_of_the_user():
    MODELS.register_module(name='TestSaturationTerm', module=SaturationTerm, force=True)
    try:
        model = build(terms=dict(saturation=dict(type='mmweather.TestSaturationTerm', weight=3)), networks=None,
                      objectives=None)
    finally:
        MODELS._module_dict.pop('TestSaturationTerm')
    log = model.optimise(images(), wrappers(model))
    assert set(log) == {'loss_saturation', 'loss'} and log['loss'] > 0


def test_weights_to_start_from(tmp_path):
    first = build(networks=None, objectives=None)
    torch.save({'state_dict': first.state_dict(), 'meta': {}}, tmp_path / 'stage.pth')
    critic = MODELS.build(CRITIC)
    torch.save({'state_dict': critic.state_dict(), 'optimizer': {}}, tmp_path / 'disc.pth.tar')
    files = dict(generator=str(tmp_path / 'stage.pth'), critic=str(tmp_path / 'disc.pth.tar'))
    model = build(pretrained=files)
    nn.init.zeros_(model.generator.E1[0].weight)
    model.init_weights()
    assert torch.equal(model.generator.E1[0].weight, first.generator.E1[0].weight)
    assert torch.equal(model.critic.initial[0].weight, critic.initial[0].weight)
    with pytest.raises(CheckpointError, match='disc.pth.tar'):
        build(pretrained=dict(generator=files['critic'])).init_weights()
    with pytest.raises(CheckpointError, match='nowhere.pth'):
        build(pretrained=dict(generator='nowhere.pth')).init_weights()


@pytest.mark.parametrize('size', [(1, 1), (5, 9), (16, 23)])
def test_any_size_is_restored(size):
    model = build().eval()
    photo = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    grey = photo[:1].expand(3, -1, -1)
    for image in (photo, grey):
        out = model.test_step({'inputs': {'img': [image]}, 'data_samples': [DataSample()]})[0]
        assert out.output.pred_img.shape == (3, *size) and out.output.pred_img.dtype == torch.uint8
        assert torch.equal(out.input, image)


def test_signed_networks_see_the_image_from_minus_one_to_one():
    model = build(generator=dict(type='mmweather.MSFF', features=4), terms=None, networks=None, objectives=None).eval()
    model.generator.forward = lambda img: img
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(model.predict_images({'img': image}), image)
    model.generator.forward = lambda img: img.sign()
    assert set(model.predict_images({'img': image}).unique().tolist()) == {0.0, 1.0}


def test_missing_images_are_named():
    model = build()
    batch = images()
    del batch['pseudo_label']
    with pytest.raises(DataError, match="'pseudo_label'.*PackImages"):
        model.optimise(batch, wrappers(model))


def test_mistakes_of_the_config_are_named():
    with pytest.raises(ConfigError, match="no network \\['judge'\\]"):
        build(objectives=dict(judge=dict(type='mmweather.CriticObjective')))
    with pytest.raises(ConfigError, match="'generator' is taken"):
        build(networks=dict(generator=CRITIC))
    with pytest.raises(ConfigError, match='at least 1'):
        build(copies_per_pass=0)
    with pytest.raises(ConfigError, match='generator'):
        build(generator=None, objectives=None)
    model = build()
    with pytest.raises(ConfigError, match='MultiOptimWrapperConstructor'):
        model.optimise(images(), OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)))
    with pytest.raises(ConfigError, match='MMSeparateDistributedDataParallel'):
        model(images(), mode='loss')
    model = build(terms=dict(a=dict(type='mmweather.AdversarialTerm', network='nobody')), networks=None,
                  objectives=None)
    with pytest.raises(ConfigError, match="'nobody'"):
        model.optimise(images(), wrappers(model))
    critic_only = build(generator=None, terms=None)
    with pytest.raises(ConfigError, match='need a generator'):
        critic_only.optimise(images(), wrappers(critic_only))
    with pytest.raises(ConfigError, match='no generator'):
        critic_only({'img': images()['img']}, mode='predict')
