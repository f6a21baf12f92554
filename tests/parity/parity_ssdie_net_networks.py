"""Golden vectors of the five networks of SSDIE-Net."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from parity_compare import Arrays, GoldenFolder, Relative, Rows
from parity_ssdie_net_inputs import GAINS, batch_norm_rows, image, network_of, norms, our_key, sampled, statistics
from torch import Tensor, nn

from mmweather.models.ssdie_net.layers import LatentNoise

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
    yield 'out_noise', sampled(out[:1], STRIDES[stem][1]), None
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


def check_network(folder: GoldenFolder, reference: Arrays, stem: str) -> Rows:
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
        hooks.append(network.get_submodule(our_key(stem, name)).register_forward_hook(keep))
    with torch.no_grad():
        out = network(x)
    for hook in hooks:
        hook.remove()
    yield 'out', sampled(out, step), None
    yield 'out_stats', statistics(out), None
    for name, value in features.items():
        yield f'feat/{name}/shape', value.shape, 0.0
        yield f'feat/{name}/stats', statistics(value), None
        yield f'feat/{name}/sample', sampled(value[:1, :4], max(1, value.shape[-1] // 16)), None

    if 'out_noise' in reference:
        yield from _noisy_rows(folder, stem, x)
    else:
        yield 'noise_calls', np.array([module for module in network.modules() if isinstance(module, LatentNoise)]), 0.0
    with torch.no_grad():
        if 'out256' in reference:
            large = network(image(f'ssdie.{stem}.input256', (1, x.shape[1], 256, 256)))
            yield 'out256', sampled(large, 8 if stem == 'msff' else 1), None
            yield 'out256_stats', statistics(large), None
        if 'out_rect' in reference:
            yield 'out_rect', network(image('ssdie.msff.input_rect', (2, 3, 48, 80))), None

    _round_as_recorded(network, stem)
    # Further roundings of this kind are left in the patch generator: 12 of the 3072 compared pixels.
    tolerance = 1e-2 if stem == 'ptc_gen' else 1e-4
    out = network(x.requires_grad_())
    (out * image(f'ssdie.{stem}.cotangent', tuple(out.shape))).sum().backward()
    keys = [key for key in folder.layout(stem) if our_key(stem, key) in dict(network.named_parameters())]
    yield 'grad_keys', np.array(keys), 0.0
    yield 'grad_norms', norms(network, reference['grad_keys'], stem), Relative(max(1e-4, tolerance / 20), 0.1)
    assert x.grad is not None
    yield 'grad_input', sampled(x.grad[:1], wide_step), tolerance
    yield 'grad_input_stats', statistics(x.grad), 1e-4

    with torch.no_grad():
        out = network.train()(x)
    yield 'train_out', sampled(out[:1], wide_step), None
    yield 'train_out_stats', statistics(out), None
    yield from batch_norm_rows(network, reference, 'train_bn/', stem)
