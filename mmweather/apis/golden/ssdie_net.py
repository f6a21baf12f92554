"""SSDIE-Net's golden vectors: networks, losses, training steps and classical operators."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.apis.official import from_official
from mmweather.models.common.dark_channel import block_dark_channel
from mmweather.models.ssdie_net import losses
from mmweather.models.ssdie_net.layers import LatentNoise
from mmweather.models.ssdie_net.official import rename_patch_unet
from mmweather.models.ssdie_net.vgg import RELUS, VGG19Features

from .compare import GoldenFolder
from .fill import fill_input

Rows = Iterator[tuple[str, Any, float | None]]
Arrays = dict[str, np.ndarray]

GAINS = {'vgg19_features': 1.41421356}
SHAPES = {'unet': (1, 3, 256, 256), 'msff': (1, 3, 64, 64), 'ptc_gen': (2, 3, 256, 256), 'disc': (2, 3, 64, 64),
          'dark': (2, 1, 64, 64)}
STRIDES = {'unet': (4, 4), 'msff': (1, 2), 'ptc_gen': (4, 8), 'disc': (1, 1), 'dark': (1, 1)}

# Inputs of ReLUs that are rounding alone (below 4e-7), with their sign in the run that recorded the vectors: the
# gradient of a whole neighbourhood hangs on each. Module -> {index: sign}.
ROUNDED: dict[str, dict[str, dict[tuple[int, ...], int]]] = {
    'unet': {'up6.conv.1': {(0, 73, 51, 3): -1}},
    'ptc_gen': {
        'refine.0': {(0, 55, 73, 225): 1},
        'refine.2': {(0, 23, 149, 154): -1, (1, 76, 76, 25): 1},
        'refine.4': {(0, 2, 49, 139): -1, (1, 42, 214, 161): 1},
    },
}


def image(name: str, shape: tuple[int, ...]) -> Tensor:
    """The README's ``I(name, shape)``: values in [-1, 1)."""
    return torch.from_numpy(fill_input(name, shape)) * 2 - 1


def blocky(name: str, count: int = 1) -> Tensor:
    """The README's ``blk``: (count, 3, 256, 256) of 8x8 blocks."""
    return image(name, (count, 3, 32, 32)).repeat_interleave(8, -1).repeat_interleave(8, -2)


def gained_state(folder: GoldenFolder, stem: str) -> Arrays:
    """Filled weights with the README's gain on every tensor of two or more dimensions."""
    gain = np.float32(GAINS.get(stem, 1.3))
    return {key: value * gain if value.ndim > 1 else value for key, value in folder.state(stem).items()}


def network_of(folder: GoldenFolder, stem: str, **options: Any) -> nn.Module:
    """Our network with the golden weights, in evaluation mode."""
    return from_official(f'ssdie_net/{stem}', gained_state(folder, stem), **options).eval()


def statistics(x: Tensor) -> np.ndarray:
    """[mean, population std, min, max, sum of absolute values], float64."""
    wide = x.detach().double()
    return np.array([wide.mean(), wide.std(correction=0), wide.min(), wide.max(), wide.abs().sum()])


def _sampled(x: Tensor, step: int) -> Tensor:
    return x.detach()[..., ::step, ::step]


def _our_key(stem: str, key: str) -> str:
    """Our name of a published parameter or module."""
    if stem != 'ptc_gen':
        return key
    return {'dec': 'unet.final_up'}.get(key) or next(iter(rename_patch_unet({key: torch.empty(0)})))


def _norms(module: nn.Module, keys: np.ndarray, stem: str = '') -> np.ndarray:
    parameters = dict(module.named_parameters())
    return np.array([torch.linalg.vector_norm(parameters[_our_key(stem, str(key))].grad.double()).item()
                     for key in keys])


def _each_at_its_size(ours: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values whose difference to ``wanted``, relative to the array's largest, is each entry's own relative one.

    Entries are taken as 0.1 at least, which with a tolerance of 1e-4 is the README's 1e-4 relative + 1e-5 absolute.
    """
    return wanted + (ours - wanted) / np.maximum(np.abs(wanted), 0.1) * max(1.0, np.abs(wanted).max())


def golden_noise(shape: tuple[int, ...]) -> Tensor:
    """The README's normal sample of the latent noise."""
    stream = np.random.RandomState(zlib.crc32(b'ssdie_noise') & 0x7FFFFFFF)
    return torch.from_numpy(stream.standard_normal(int(np.prod(shape))).reshape(shape).astype(np.float32))


def _noisy_rows(folder: GoldenFolder, stem: str, x: Tensor) -> Rows:
    calls = []

    def sample(like: Tensor) -> Tensor:
        calls.append(like.shape)
        return golden_noise(tuple(like.shape))

    network = network_of(folder, stem, published_noise=True)
    for module in network.modules():
        if isinstance(module, LatentNoise):
            module.sample = sample  # type: ignore[method-assign]
    with torch.no_grad():
        out = network(x)
    yield 'out_noise', _sampled(out[:1], STRIDES[stem][1]), None
    yield 'out_noise_stats', statistics(out), None
    yield 'noise_calls', np.array(calls), 0.0


def _round_as_recorded(network: nn.Module, stem: str) -> None:
    """Give the values of :data:`ROUNDED` their recorded sign; each moves by less than 1e-6."""
    for name, signs in ROUNDED.get(stem, {}).items():

        def turn(module: nn.Module, inputs: Any, output: Tensor, signs: Any = signs) -> Tensor:
            shift = torch.zeros_like(output)
            for index, sign in signs.items():
                value = output[index].detach()
                if value.abs() < 4e-7 and value * sign < 0:
                    shift[index] = -2 * value
            return output + shift

        network.get_submodule(name).register_forward_hook(turn)


def _check_network(folder: GoldenFolder, reference: Arrays, stem: str) -> Rows:
    """Outputs, features, gradients and batch-norm statistics of one network."""
    x = image(f'ssdie.{stem}.input', SHAPES[stem])
    step, wide_step = STRIDES[stem]
    options = {'unet': {'dropout': 0.0, 'noise_std': 0.0}, 'msff': {'noise_std': 0.0},
               'ptc_gen': {'dropout': 0.0, 'noise_std': 0.0}}.get(stem, {})
    network = network_of(folder, stem, **options)
    yield 'gain', np.float32(GAINS.get(stem, 1.3)), 0.0

    features: dict[str, Tensor] = {}
    hooks = []
    for name in {key.split('/')[1] for key in reference if key.startswith('feat/')}:
        def keep(module: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
            features[name] = output
        hooks.append(network.get_submodule(_our_key(stem, name)).register_forward_hook(keep))
    with torch.no_grad():
        out = network(x)
    for hook in hooks:
        hook.remove()
    yield 'out', _sampled(out, step), None
    yield 'out_stats', statistics(out), None
    for name, value in features.items():
        yield f'feat/{name}/shape', value.shape, 0.0
        yield f'feat/{name}/stats', statistics(value), None
        yield f'feat/{name}/sample', _sampled(value[:1, :4], max(1, value.shape[-1] // 16)), None

    if 'out_noise' in reference:
        yield from _noisy_rows(folder, stem, x)
    else:
        yield 'noise_calls', np.array([module for module in network.modules() if isinstance(module, LatentNoise)]), 0.0
    with torch.no_grad():
        if 'out256' in reference:
            large = network(image(f'ssdie.{stem}.input256', (1, x.shape[1], 256, 256)))
            yield 'out256', _sampled(large, 8 if stem == 'msff' else 1), None
            yield 'out256_stats', statistics(large), None
        if 'out_rect' in reference:
            yield 'out_rect', network(image('ssdie.msff.input_rect', (2, 3, 48, 80))), None

    _round_as_recorded(network, stem)
    # Further roundings of this kind are left in the patch generator: 12 of the 3072 compared pixels.
    tolerance = 1e-2 if stem == 'ptc_gen' else 1e-4
    out = network(x.requires_grad_())
    (out * image(f'ssdie.{stem}.cotangent', tuple(out.shape))).sum().backward()
    keys = [key for key in folder.layout(stem) if _our_key(stem, key) in dict(network.named_parameters())]
    yield 'grad_keys', np.array(keys), 0.0
    yield 'grad_norms', _each_at_its_size(_norms(network, reference['grad_keys'], stem),
                                          reference['grad_norms']), max(1e-4, tolerance / 20)
    assert x.grad is not None
    yield 'grad_input', _sampled(x.grad[:1], wide_step), tolerance
    yield 'grad_input_stats', statistics(x.grad), 1e-4

    with torch.no_grad():
        out = network.train()(x)
    yield 'train_out', _sampled(out[:1], wide_step), None
    yield 'train_out_stats', statistics(out), None
    yield from _batch_norm_rows(network, reference, 'train_bn/', stem)


def _batch_norm_rows(network: nn.Module, reference: Arrays, prefix: str, stem: str = '') -> Rows:
    for key in reference:
        if key.startswith(prefix):
            name, _, leaf = key.removeprefix(prefix).rpartition('/')
            module = network.get_submodule(_our_key(stem, name))
            yield key, getattr(module, 'num_batches_tracked' if leaf == 'nbt' else leaf).clone(), None


def _loss_rows(name: str, value: Tensor, wanted: Tensor) -> Rows:
    grad, = torch.autograd.grad(value, wanted, retain_graph=True)
    yield name, value.detach(), 1e-5
    yield f'{name}/grad_b_norm', torch.linalg.vector_norm(grad.double()), 1e-5
    yield f'{name}/grad_b_sample', _sampled(grad[0], 8), None


def _vgg_losses(folder: GoldenFolder) -> losses.PerceptualStyleLoss:
    criterion = losses.PerceptualStyleLoss(weights=None)
    from_state = {key: torch.from_numpy(value) for key, value in gained_state(folder, 'vgg19_features').items()}
    criterion.vgg.load_state_dict({key: from_state[key] for key in criterion.vgg.state_dict()})
    return criterion


def check_losses(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Every loss with its gradient, layer by layer where it has layers."""
    a, b = (image(f'ssdie.loss.{name}', (2, 3, 64, 64)) for name in 'ab')
    b.requires_grad_()
    criterion = _vgg_losses(folder)
    perceptual, style = criterion(b, a).values()
    l1 = F.l1_loss(b, a)
    for name, value in {
            'l1': l1, 'mse': F.mse_loss(b, a), 'bce_ones': losses.logistic_loss(3 * b, True),
            'bce_zeros': losses.logistic_loss(3 * b, False), 'disc_loss': losses.discriminator_loss(3 * a, 3 * b),
            'tv': losses.total_variation(b), 'tv_weight2': 2 * losses.total_variation(b), 'perceptual': perceptual,
            'style': style, 'supervised': 100 * l1 + perceptual + style}.items():
        yield from _loss_rows(name, value, b)

    vgg = network_of(folder, 'vgg19_features')
    assert isinstance(vgg, VGG19Features)
    with torch.no_grad():
        features = vgg(a)
        terms = criterion.terms(vgg(b), features)
    for kind, layers in terms.items():
        for name, value in layers.items():
            yield f'{kind}/{name}', value, 1e-5
    for name in criterion.style_layers:
        matrix = losses.gram(features[name])
        yield f'gram_shape/{name}', matrix.shape, 0.0
        yield f'gram_mean/{name}', matrix.double().mean(), 1e-6
    for name, value in features.items():
        yield f'vgg/{name}/shape', value.shape, 0.0
        yield f'vgg/{name}/mean_std', statistics(value)[:2], 1e-5
    yield 'vgg_keys', np.array([f'vgg.{name}.{index - 1}.{leaf}' for name, index in RELUS.items()
                                for leaf in ('weight', 'bias')]), 0.0

    x = dark_channel_input().requires_grad_()
    dark = network_of(folder, 'dark')
    loss = losses.dark_channel_loss(dark, x)
    loss.backward()
    assert x.grad is not None
    yield 'dcp_regression', loss.detach(), 1e-5
    with torch.no_grad():
        yield 'dcp_regression/logits', dark(block_dark_channel(x)), None
    yield 'dcp_regression/grad_x_norm', torch.linalg.vector_norm(x.grad.double()), 1e-5
    yield 'dcp_regression/grad_x_nonzero', x.grad.count_nonzero(), 0.0
    # An average times its size is the sum over blocks; the values are near 1e-4, so they are compared at that size.
    sums = F.avg_pool2d(x.grad.sum(1, keepdim=True), 16) * 256
    yield 'dcp_regression/grad_block_sum', sums, 1e-4 * float(np.abs(reference['dcp_regression/grad_block_sum']).max())


def dark_channel_input() -> Tensor:
    """The image whose dark channel the golden files hold, (2, 3, 256, 256)."""
    coarse = image('ssdie.dc.input', (2, 3, 32, 32)).repeat_interleave(8, -1).repeat_interleave(8, -2)
    return coarse + 0.1 * (torch.from_numpy(fill_input('ssdie.dc.detail', (2, 3, 256, 256))) - 0.5)


def _step_rows(network: nn.Module, reference: Arrays, prefix: str, tolerance: float = 1e-4) -> Rows:
    """Gradients of one network, then one step of Adam and its batch norms.

    The gradients of the generators carry the signs of L1 differences and ReLUs near zero, which float32 rounds
    differently from run to run; the callers give them a wider tolerance. (With MSFF the recorded norms lie 1.2e-3
    from those of the same step in float64.)
    """
    parameters = dict(network.named_parameters())
    yield f'{prefix}/grad_keys', np.array(list(parameters)), 0.0
    keys = reference[f'{prefix}/grad_keys']
    norms, wanted = _norms(network, keys), reference[f'{prefix}/grad_norms']
    yield f'{prefix}/grad_norms', _each_at_its_size(norms, wanted), tolerance
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
    yield from _batch_norm_rows(network, reference, f'{prefix}/bn/')


def check_dark_step(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Stage B: one step of the dark-channel classifier."""
    dark = network_of(folder, 'dark').train()
    clean = losses.logistic_loss(dark(block_dark_channel(blocky('ssdie.step.X', 2))), True)
    dust = losses.logistic_loss(dark(block_dark_channel(blocky('ssdie.step.X_r', 2))), False)
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
    terms['perceptual'], terms['style'] = _vgg_losses(folder)(restored, clean).values()
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
    perceptual, style = _vgg_losses(folder)(synthetic, clean).values()
    supervised = 100 * l1 + perceptual + style
    calls['lp'], calls['ls'] = [perceptual], [style]

    pairs = []
    for k in range(copies):
        with torch.no_grad():
            fake = generator(dusty[k])
        pair = (losses.logistic_loss(critic(blocky(f'ssdie.step.aug_clean.{k}')), True),
                losses.logistic_loss(critic(fake), False))
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
        adversarial.append(losses.logistic_loss(critic(fake), True))
        regression.append(losses.dark_channel_loss(dark, fake))
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
    for name, value, _ in _batch_norm_rows(critic, reference, 'disc/bn/'):
        yield name, value, 2e-4
    yield from _step_rows(generator, reference, 'gen', 5e-4 if stem == 'unet' else 2e-3)


def check_train_step(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Stage C with the U-Net and five augmented copies."""
    yield from _check_train_step(folder, reference, 'unet', 5)


def check_train_step_msff(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Stage C with MSFF and two augmented copies."""
    yield from _check_train_step(folder, reference, 'msff', 2)


def _network_check(stem: str) -> Callable[[GoldenFolder, Arrays], Rows]:
    return lambda folder, reference: _check_network(folder, reference, stem)


def _picture(name: str, height: int, width: int, size: int) -> np.ndarray:
    """The README's ``U``: uint8 (height, width, 3) RGB of square blocks."""
    coarse = fill_input(name, (height // size, width // size, 3))
    return (coarse.repeat(size, 0).repeat(size, 1) * 255).astype(np.uint8)


def _to_network(picture: np.ndarray, grey: bool = False) -> Tensor:
    """A picture resized to 256x256 by Pillow, without its aspect ratio, to (3 or 1, 256, 256) in [-1, 1]."""
    from PIL import Image
    resized = Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR)
    return _signed(np.array(resized.convert('L') if grey else resized))


def _signed(picture: np.ndarray) -> Tensor:
    """uint8 (H, W[, C]) to (C, H, W) in [-1, 1]."""
    return torch.from_numpy(picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1).astype(np.float32)) / 127.5 - 1


def check_classical(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Dark channels, depth, dust, Retinex, preparation of pictures, filters."""
    import random

    from mmweather.datasets.transforms.weak_view import WeakView
    from mmweather.models.common import filters
    from mmweather.synthesis import dust
    x = dark_channel_input().requires_grad_()
    dark = block_dark_channel(x)
    yield 'dc16', block_dark_channel(x, expand=False).detach(), 0.0
    yield 'dc8', block_dark_channel(x, 8, expand=False).detach(), 0.0
    pooled = -F.max_pool2d(-x.amin(1, keepdim=True), 16)
    yield 'dc16_equals_pool', torch.equal(pooled, dark[..., ::16, ::16]), 0.0
    dark.backward(torch.from_numpy(fill_input('ssdie.dc.cotangent', (2, 1, 256, 256))))
    assert x.grad is not None
    yield 'dc16_grad_nonzero', x.grad.count_nonzero(), 0.0
    yield 'dc16_grad_norm', torch.linalg.vector_norm(x.grad.double()), 1e-6
    yield 'dc16_grad_sum', x.grad.double().sum(), 1e-6
    flat = torch.zeros(1, 3, 256, 256, requires_grad=True)
    block_dark_channel(flat).sum().backward()
    assert flat.grad is not None
    yield 'dc16_tie_grad_unique', flat.grad.unique(), 1e-6

    yield 'erode_dc_png', dust.dark_channel(_picture('ssdie.erode', 64, 80, 4), 16, luma=True), 0.0
    clean, depth = _picture('ssdie.clean', 256, 256, 8), _picture('ssdie.depth', 256, 256, 8)
    yield 'erode_dc_clean_sample', dust.dark_channel(clean, 16, luma=True)[::8, ::8], 0.0
    yield 'split_J_sample', clean[::8, ::8], 0.0
    decoded = dust.decode_depth(depth, 'rgb24')
    yield 'split_depth_sample', decoded[::8, ::8], 1e-12
    yield 'split_depth_stats', np.array([decoded.mean(), decoded.std(), decoded.min(), decoded.max()]), 1e-9
    yield 'split_depth_dtype', str(decoded.dtype), None
    scene, far = fill_input('ssdie.sim.J', (64, 64, 3)).astype(np.float64), fill_input('ssdie.sim.depth', (64, 64))
    for kind, seed in (('sand', 0), ('haze', 2)):
        air, sand = dust.draw_dust_air(random.Random(seed)), dust.draw_dust_air(random.Random(seed), haze=0)
        grey = air != sand
        params = [air.beta, *sand.airlight, not grey, air.airlight[0] if grey else np.nan]
        yield f'sim_{kind}_seed', seed, 0.0
        yield f'sim_{kind}_params', np.array(params, np.float64), 1e-12
        yield f'sim_{kind}_out', dust.add_dust(scene, far, air, truncate=True), 0.0

    # Retinex is truncated, so rounding moves it by one level.
    picture = _picture('ssdie.retinex', 96, 128, 4)
    label = dust.retinex(picture)[..., ::-1]
    yield 'retinex_bgr', label[::2, ::2], 1 / 250
    yield 'retinex_stats', np.array([label.mean(), label.std(), label.min(), label.max()]), 1 / 250
    yield 'retinex_sigma5_bgr', dust.retinex(picture, 5)[::4, ::4, ::-1], 1 / 250
    yield 'retinex_label_sample', _sampled(_to_network(np.ascontiguousarray(label)), 8), 2 / 255
    yield 'tfsm_sample', _sampled(_to_network(_picture('ssdie.tfsm', 90, 140, 2)), 4), 1e-6
    yield 'tfsm_dc_sample', _sampled(_to_network(_picture('ssdie.tfsm', 90, 140, 2), grey=True), 4), 1e-6
    with torch.random.fork_rng(devices=[]):
        view = WeakView()
        views = []
        for seed in range(3):
            torch.manual_seed(seed)
            views.append(_sampled(_signed(view(_picture('ssdie.weak', 256, 256, 16))), 8))
        yield 'weak_aug_seeds012', torch.stack(views), 1e-6
        torch.manual_seed(7)
        wide = _signed(view(_picture('ssdie.weak_rect', 200, 300, 10)))
        yield 'weak_aug_rect_seed7', _sampled(wide, 8), 1e-6
        yield 'weak_aug_rect_shape', wide.shape, 0.0
        torch.manual_seed(0)
        noisy = image('ssdie.noise', (1, 3, 16, 16))
        noisy = noisy + 0.1 * LatentNoise(0.1).sample(noisy)
    yield 'noise_manual_seed0_out', noisy, 1e-6
    yield 'noise_range', torch.stack((noisy.min(), noisy.max())), 1e-6

    colours = torch.from_numpy(fill_input('ssdie.cc', (2, 3, 64, 64))) * 1.4 - 0.2
    yield 'color_correction', _sampled(filters.channel_gains(colours), 4), None
    yield 'adjust_contrast', _sampled(filters.scale_contrast(colours), 4), None
    guide, plane = (torch.from_numpy(fill_input(f'ssdie.gf.{name}', (1, 1, 64, 64))) for name in 'Ip')
    yield 'box_filter_r4', _sampled(filters.box_mean(plane, 4, published=True), 2), None
    smooth = filters.guided_filter(guide, plane, 4, 1e-2, published=True)
    yield 'guided_filter_r4_eps1e-2', _sampled(smooth, 2), None
    # Without eps the slope is a quotient of rounding errors where the guide is flat.
    yield 'guided_filter_default', _sampled(filters.guided_filter(guide, plane, published=True), 4), 1e-3
    # Which libraries recorded the vectors; there is nothing to compute.
    yield 'versions', reference['versions'], None


CHECKS: dict[str, Callable[[GoldenFolder, Arrays], Rows]] = {
    **{f'golden_{stem}.npz': _network_check(stem) for stem in SHAPES},
    'golden_classical.npz': check_classical,
    'golden_losses.npz': check_losses,
    'golden_dark_step.npz': check_dark_step,
    'golden_pretrain_step.npz': check_pretrain_step,
    'golden_train_step.npz': check_train_step,
    'golden_train_step_msff.npz': check_train_step_msff,
}
