"""Golden vectors of one training step of each stage of SSDIE-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from parity_compare import Arrays, GoldenFolder, Relative, Rows
from parity_fill import fill_input
from parity_ssdie_net_inputs import PerceptualStyle, batch_norm_rows, blocky, dark_channel_loss, network_of, norms
from torch import Tensor, nn

from mmweather.models.losses.image import logistic_loss
from mmweather.models.ops.dark_channel import block_dark_channel


def _step_rows(network: nn.Module, reference: Arrays, prefix: str, tolerance: float = 1e-4) -> Rows:
    """Gradients of one network, then one step of Adam and its batch norms.

    The gradients of the generators carry the signs of L1 differences and ReLUs near zero, which float32 rounds
    differently from run to run; the callers give them a wider tolerance. (With MSFF the recorded norms lie 1.2e-3
    from those of the same step in float64.)
    """
    parameters = dict(network.named_parameters())
    yield f'{prefix}/grad_keys', np.array(list(parameters)), 0.0
    keys = reference[f'{prefix}/grad_keys']
    wanted = reference[f'{prefix}/grad_norms']
    yield f'{prefix}/grad_norms', norms(network, keys), Relative(tolerance, 0.1)
    for key in reference:
        if key.startswith(f'{prefix}/grad/'):
            grad = parameters[key.removeprefix(f'{prefix}/grad/')].grad
            assert grad is not None
            yield key, grad[:len(reference[key])].clone(), tolerance
    before = {key: value.detach().clone() for key, value in parameters.items()}
    torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.999)).step()
    moved = np.array([(parameters[key] - before[key]).detach().double().abs().mean().item() for key in keys])
    # A first step of Adam is the learning rate times the gradient's sign, except where the gradient is all but zero.
    alive = wanted > 1e-5
    yield f'{prefix}/delta_l1', np.where(alive, moved, reference[f'{prefix}/delta_l1']), 1e-6
    yield from batch_norm_rows(network, reference, f'{prefix}/bn/')


def check_dark_step(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Stage B: one step of the dark-channel classifier."""
    dark = network_of(folder, 'dark').train()
    clean = logistic_loss(dark(block_dark_channel(blocky('ssdie.step.X', 2))), True)
    dust = logistic_loss(dark(block_dark_channel(blocky('ssdie.step.X_r', 2))), False)
    total = (clean + dust) / 2
    total.backward()
    for name, value in (('bce_clean', clean), ('bce_dust', dust), ('total', total)):
        yield name, value.detach(), 1e-5
    yield from _step_rows(dark, reference, 'dark')


def check_pretrain_step(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Stage A: one supervised step of the U-Net."""
    generator = network_of(folder, 'unet', dropout=0.0, noise_std=0.0).train()
    restored, clean = generator(blocky('ssdie.step.X_s')), blocky('ssdie.step.X')
    terms = {'l1': F.l1_loss(restored, clean)}
    terms['perceptual'], terms['style'] = PerceptualStyle(folder)(restored, clean)
    terms['total'] = 100 * terms['l1'] + terms['perceptual'] + terms['style']
    terms['total'].backward()
    for name, value in terms.items():
        yield name, value.detach(), 1e-5
    yield from _step_rows(generator, reference, 'gen', 5e-4)


def _check_train_step(folder: GoldenFolder, reference: Arrays, stem: str, copies: int) -> Rows:
    """Stage C: one step of the discriminator, then one of the generator.

    The dust copies are restored once for both: the discriminator's step does not change the generator. The batch
    norms of the published generator meet them twice, first before and then between the noisy images, so the
    first meeting is a pass without gradient.
    """
    options: dict[str, Any] = {'noise_std': 0.0}
    generator = network_of(folder, stem, **options, **({'dropout': 0.0} if stem == 'unet' else {})).train()
    critic, dark = network_of(folder, 'disc').train(), network_of(folder, 'dark')
    # The published code leaves gradients in the frozen classifier; they are taken only where they are compared.
    dark.requires_grad_('dark_grad_left_over_norm' in reference)
    clean, real = blocky('ssdie.step.X'), blocky('ssdie.step.X_r')
    dusty = [blocky(f'ssdie.step.aug_dust.{k}') for k in range(copies)]
    calls: dict[str, list[Tensor]] = {'l1': [], 'lp': [], 'ls': [], 'bce': []}
    synthetic, restored = generator(blocky('ssdie.step.X_s')), generator(real)
    l1 = F.l1_loss(synthetic, clean)
    perceptual, style = PerceptualStyle(folder)(synthetic, clean)
    supervised = 100 * l1 + perceptual + style
    calls['lp'], calls['ls'] = [perceptual], [style]

    pairs = []
    for k in range(copies):
        with torch.no_grad():
            fake = generator(dusty[k])
        pair = (logistic_loss(critic(blocky(f'ssdie.step.aug_clean.{k}')), True),
                logistic_loss(critic(fake), False))
        calls['bce'] += pair
        pairs.append(sum(pair) / 2)
    critic_loss = torch.stack(pairs).mean()
    critic_loss.backward()
    # The rows of the critic are taken before the generator's step passes more images through its batch norms.
    critic_rows = [row for row in _step_rows(critic, reference, 'disc') if '/bn/' not in row[0]]
    critic.requires_grad_(False)

    pseudo = 0.1 * F.l1_loss(restored, blocky('ssdie.step.retinex'))
    consistency, adversarial, regression = [], [], []
    for k in range(copies):
        noise = (torch.from_numpy(fill_input(f'ssdie.step.noise.{k}', (1, 3, 256, 256))) - 0.5) * 0.2
        consistency.append(F.l1_loss(generator(real + noise), restored))
        fake = generator(dusty[k])
        adversarial.append(logistic_loss(critic(fake), True))
        regression.append(dark_channel_loss(dark, fake))
        calls['bce'] += [adversarial[-1], regression[-1]]
    calls['l1'] = [l1, pseudo * 10, *consistency]
    terms = {'L_con': torch.stack(consistency).mean(), 'L_adv': torch.stack(adversarial).mean(),
             'L_reg': torch.stack(regression).mean(), 'L_psu_weighted': pseudo}
    unsupervised = torch.stack(list(terms.values())).sum()
    total = supervised + unsupervised
    total.backward()
    terms |= {'L1_sup': l1, 'L_perceptual': perceptual, 'L_style': style, 'L_sup': supervised,
              'L_unsup': unsupervised, 'L_total': total, 'D_loss': critic_loss}
    for name, value in terms.items():
        yield name, value.detach(), 1e-5
    for name, values in calls.items():
        yield f'calls/{name}', torch.stack(values).detach(), 1e-5
    if 'K' in reference:
        yield 'K', copies, 0.0
    else:
        left_over = [p.grad for p in dark.parameters() if p.grad is not None]
        yield 'dark_grad_left_over_norm', nn.utils.get_total_norm(left_over), 1e-4
    yield from critic_rows
    # Behind the critic's first step of Adam, which magnifies rounding in tiny gradients.
    for name, value, _ in batch_norm_rows(critic, reference, 'disc/bn/'):
        yield name, value, 2e-4
    yield from _step_rows(generator, reference, 'gen', 5e-4 if stem == 'unet' else 2e-3)


def check_train_step(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Stage C with the U-Net and five augmented copies."""
    yield from _check_train_step(folder, reference, 'unet', 5)


def check_train_step_msff(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Stage C with MSFF and two augmented copies."""
    yield from _check_train_step(folder, reference, 'msff', 2)
