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

    out = network(x.requires_grad_())
    (out * image(f'ssdie.{stem}.cotangent', tuple(out.shape))).sum().backward()
    keys = [key for key in folder.layout(stem) if _our_key(stem, key) in dict(network.named_parameters())]
    yield 'grad_keys', np.array(keys), 0.0
    yield 'grad_norms', _each_at_its_size(_norms(network, reference['grad_keys'], stem), reference['grad_norms']), 1e-4
    assert x.grad is not None
    yield 'grad_input', _sampled(x.grad[:1], wide_step), 1e-4
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


def _network_check(stem: str) -> Callable[[GoldenFolder, Arrays], Rows]:
    return lambda folder, reference: _check_network(folder, reference, stem)


CHECKS = {f'golden_{stem}.npz': _network_check(stem) for stem in SHAPES}
