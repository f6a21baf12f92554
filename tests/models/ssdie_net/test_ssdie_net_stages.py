"""The three published stages, the models of the shipped configs, against the golden training steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict
from parity_compare import COMMITTED, GoldenFolder
from parity_fill import fill_input
from parity_ssdie_net_inputs import blocky, gained_state, norms

from mmweather.registry import MODELS

MODELS_OF_CONFIGS = Path(__file__).parents[3] / 'configs/_base_/models'
GOLDEN = COMMITTED / 'ssdie_net'
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # half a minute of CPU seconds, at 256x256 through VGG-19
]
STILL = {'unet': dict(type='mmweather.SandDustUNet', dropout=0.0, noise_std=0.0),
         'msff': dict(type='mmweather.MSFF', noise_std=0.0)}


class KeepGradients(OptimWrapper):
    def zero_grad(self, **kwargs):
        pass


def stage(name, generator=None, **options):
    """The model of a config with the golden weights, and its optimizers, which leave the gradients in place."""
    folder = GoldenFolder(GOLDEN)
    config = Config.fromfile(MODELS_OF_CONFIGS / name).model
    config.update(options, pretrained=None)
    if generator:
        config.generator = STILL[generator]
    model = MODELS.build(config)
    for child, stem in (('generator', generator), ('critic', 'disc'), ('dark', 'dark'), ('vgg', 'vgg19_features')):
        network = getattr(model, child, None)
        if network is not None:
            state = {key: torch.from_numpy(value) for key, value in gained_state(folder, stem).items()}
            network.load_state_dict({key: state[key] for key in network.state_dict()})
    wrappers = OptimWrapperDict(**{
        name: KeepGradients(torch.optim.Adam(getattr(model, name).parameters(), lr=1e-4, betas=(0.5, 0.999)))
        for name in model.trained})
    return model.train(), wrappers


def check_network(network, reference, prefix, tolerance, norm_tolerance=1e-4):
    """Gradients and batch-norm statistics after a step."""
    keys = reference[f'{prefix}/grad_keys']
    wanted = reference[f'{prefix}/grad_norms']
    np.testing.assert_allclose(norms(network, keys), wanted, rtol=tolerance, atol=0.1 * tolerance)
    for key in (key for key in reference if key.startswith(f'{prefix}/bn/')):
        name, _, leaf = key.removeprefix(f'{prefix}/bn/').rpartition('/')
        found = getattr(network.get_submodule(name), 'num_batches_tracked' if leaf == 'nbt' else leaf)
        np.testing.assert_allclose(found.numpy(), reference[key], rtol=norm_tolerance, atol=norm_tolerance)


def check_log(log, reference, names):
    for ours, (published, factor) in names.items():
        assert log[ours].item() == pytest.approx(factor * float(reference[published]), rel=1e-5), ours


def test_stage_a_warms_the_restorer_up():
    reference = GoldenFolder(GOLDEN).arrays('golden_pretrain_step.npz')
    model, wrappers = stage('ssdie_net_supervised.py', 'unet')
    log = model.optimise({'img': blocky('ssdie.step.X_s'), 'gt': blocky('ssdie.step.X')}, wrappers)
    check_log(log, reference, {
        'loss_reconstruction': ('l1', 100), 'loss_perceptual': ('perceptual', 1), 'loss_style': ('style', 1),
        'loss': ('total', 1)})
    check_network(model.generator, reference, 'gen', 5e-4)


def test_stage_b_trains_the_classifier_of_dark_channels():
    reference = GoldenFolder(GOLDEN).arrays('golden_dark_step.npz')
    model, wrappers = stage('ssdie_net_dark.py')
    images = {'gt': blocky('ssdie.step.X', 2), 'unlabelled': blocky('ssdie.step.X_r', 2)}
    log = model.optimise(images, wrappers)
    check_log(log, reference, {'loss_dark': ('total', 1), 'loss': ('total', 1)})
    check_network(model.dark, reference, 'dark', 1e-4)


def test_stage_c_is_semi_supervised():
    """MSFF and two copies. (The U-Net with five takes a minute; the parity check computes it.)"""
    copies = 2
    reference = GoldenFolder(GOLDEN).arrays('golden_train_step_msff.npz')
    model, wrappers = stage('ssdie_net.py', 'msff', noise_copies=copies, recompute_views=True)
    model.draw_noise = lambda image, copy: 0.2 * (
        torch.from_numpy(fill_input(f'ssdie.step.noise.{copy}', (1, 3, 256, 256))) - 0.5)
    passes = []
    model.generator.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    views = {key: torch.stack([blocky(f'ssdie.step.{name}.{k}') for k in range(copies)], 1)
             for key, name in (('gt_views', 'aug_clean'), ('unlabelled_views', 'aug_dust'))}
    log = model.optimise({
        'img': blocky('ssdie.step.X_s'), 'gt': blocky('ssdie.step.X'), 'unlabelled': blocky('ssdie.step.X_r'),
        'pseudo_label': blocky('ssdie.step.retinex'), **views}, wrappers)
    check_log(log, reference, {
        'loss_reconstruction': ('L1_sup', 100), 'loss_perceptual': ('L_perceptual', 1), 'loss_style': ('L_style', 1),
        'loss_consistency': ('L_con', 1), 'loss_adversarial': ('L_adv', 1), 'loss_dark_channel': ('L_reg', 1),
        'loss_pseudo_label': ('L_psu_weighted', 1), 'loss_critic': ('D_loss', 1)})
    assert log['loss'].item() == pytest.approx(float(reference['L_total'] + reference['D_loss']), rel=1e-5)
    assert passes == [1] * (2 + 3 * copies)
    check_network(model.generator, reference, 'gen', 2e-3, 2e-4)
    check_network(model.critic, reference, 'disc', 1e-4, 2e-4)
    assert all(parameter.grad is None for parameter in (*model.dark.parameters(), *model.vgg.parameters()))
