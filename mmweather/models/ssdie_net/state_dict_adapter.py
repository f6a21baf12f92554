"""Published SSDIE-Net state dicts for our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmweather.errors import CheckpointError
from mmweather.methods import Adapter

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


def published_patch_unet(state: StateDict) -> dict[str, Tensor]:
    """Rename our keys of the patch generator to the published ones, the reverse of :func:`rename_patch_unet`."""
    renamed = {}
    for key, value in state.items():
        part, _, rest = key.partition('.')
        if part == 'unet':
            part = 'dec' if rest.startswith(('up', 'final_up')) else 'enc'
        renamed[f'{"Stack_images.model" if part == "refine" else part}.{rest}'] = value
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


#: Name of the published network -> how it becomes ours and back.
NETWORKS = {
    'unet': Adapter(_build_unet, dict),
    'msff': Adapter(_build_msff, dict),
    'ptc_gen': Adapter(_build_patch_unet, published_patch_unet),
    'disc': Adapter(_build_discriminator, dict),
    'dark': Adapter(_build_discriminator, dict),
    'vgg19_features': Adapter(_build_vgg, dict),  # without the classifier, which ours lacks
}
