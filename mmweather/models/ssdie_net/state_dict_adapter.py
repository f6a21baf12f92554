"""Published SSDIE-Net state dicts for our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmweather.errors import CheckpointError

from .discriminator import SandDustDiscriminator
from .msff import MSFF
from .unet import PatchUNet, SandDustUNet
from .vgg import RELUS, VGG19Features

StateDict = Mapping[str, Tensor]


def _shape(state: StateDict, key: str, network: str) -> tuple[int, ...]:
    if key not in state:
        raise CheckpointError(f"the state dict has no key '{key}': not a checkpoint of SSDIE-Net's {network}")
    return tuple(state[key].shape)


def unet_options(state: StateDict) -> dict[str, Any]:
    """Constructor arguments of :class:`SandDustUNet`, read from the shapes of a published state dict.

    Raises:
        CheckpointError: keys that every such U-Net has are missing.
    """
    features, channels = _shape(state, 'initial_down.0.weight', 'U-Net')[:2]
    downs = {match[1] for match in (re.match(r'down(\d+)\.', key) for key in state) if match}
    return dict(in_channels=channels, features=features, num_downs=len(downs) + 2)


def rename_patch_unet(state: StateDict) -> dict[str, Tensor]:
    """Keys of the published patch generator (``enc``, ``dec``, ``Stack_images``) to ours (``unet``, ``refine``)."""
    prefixes = {'enc.': 'unet.', 'dec.': 'unet.', 'Stack_images.model.': 'refine.'}
    renamed = {}
    for key, value in state.items():
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), '')
        renamed[prefixes.get(prefix, '') + key[len(prefix):]] = value
    return renamed


def _build_unet(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    return SandDustUNet(**{**unet_options(state), **options}), state


def _build_patch_unet(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    _shape(state, 'enc.initial_down.0.weight', 'patch generator')
    state = rename_patch_unet(state)
    own = {key.removeprefix('unet.'): value for key, value in state.items() if key.startswith('unet.')}
    return PatchUNet(**{**unet_options(own), **options}), state


def _build_msff(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    features, channels = _shape(state, 'E1.0.weight', 'MSFF')[:2]
    return MSFF(**{'in_channels': channels, 'features': features, **options}), state


def _build_discriminator(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    first, channels = _shape(state, 'initial.0.weight', 'discriminator')[:2]
    widths = [first]
    while f'model.{len(widths) - 1}.conv.0.weight' in state:
        widths.append(state[f'model.{len(widths) - 1}.conv.0.weight'].shape[0])
    return SandDustDiscriminator(**{'in_channels': channels, 'features': tuple(widths), **options}), state


def _build_vgg(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    layers = [name for name, index in RELUS.items() if f'features.{index - 1}.weight' in state]
    if not layers:
        raise CheckpointError("the state dict has no key 'features.0.weight': not torchvision's VGG-19")
    network = VGG19Features(**{'layers': layers, **options})
    own = network.state_dict()
    return network, {key: value for key, value in state.items() if key in own or not key.startswith('classifier.')}


def _call(network: nn.Module, *inputs: Tensor) -> Any:
    return network(*inputs)


#: Name of the published network -> (builder from the state dict, call with the published inputs and outputs).
NETWORKS = {
    'unet': (_build_unet, _call),
    'msff': (_build_msff, _call),
    'ptc_gen': (_build_patch_unet, _call),
    'disc': (_build_discriminator, _call),
    'dark': (_build_discriminator, _call),
    'vgg19_features': (_build_vgg, _call),
}
