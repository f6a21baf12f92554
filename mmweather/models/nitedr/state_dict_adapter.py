"""Published NiteDR (and DRSformer) state dicts for our networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmweather.errors import CheckpointError
from mmweather.methods import Adapter

from .cleannet import CleanNet
from .fusion import LuminanceFusion
from .refinement import IlluminationRefiner
from .vgg import PublishedVGG

StateDict = Mapping[str, Tensor]


def _blocks(state: StateDict, level: str) -> int:
    prefix = f'{level}.'
    return len({key[len(prefix):].split('.')[0] for key in state if key.startswith(prefix)})


def _expansion(widths: list[tuple[int, int]]) -> float:
    """The feed-forward expansion whose truncated products give the widths; 2.66 where it fits."""
    dim, hidden = widths[-1]
    for candidate in (2.66, hidden / dim, (hidden + 0.5) / dim):
        if all(int(d * candidate) == h for d, h in widths):
            return candidate
    raise CheckpointError(f'no feed-forward expansion gives the widths {widths}: not a CleanNet checkpoint')


def cleannet_options(state: StateDict) -> dict[str, Any]:
    """Constructor arguments of :class:`CleanNet`, read from the shapes of a published state dict.

    Raises:
        CheckpointError: keys that every CleanNet has are missing.
    """
    levels = ('encoder_level1', 'encoder_level2', 'encoder_level3', 'latent')
    try:
        dim, channels = state['patch_embed.proj.weight'].shape[:2]
        expand = [(state[f'{level}.0.ffn.project_out.weight'].shape[0],
                   state[f'{level}.0.ffn.project_out.weight'].shape[1] // 2) for level in levels]
        return dict(
            in_channels=channels,
            out_channels=state['output.weight'].shape[0],
            dim=dim,
            num_blocks=tuple(_blocks(state, level) for level in levels),
            heads=tuple(len(state[f'{level}.0.attn.temperature']) for level in levels),
            ffn_expansion=_expansion(expand),
            bias='output.bias' in state,
            norm='WithBias' if 'encoder_level1.0.norm1.body.bias' in state else 'BiasFree',
        )
    except KeyError as error:
        raise CheckpointError(f'the state dict has no key {error}: not a CleanNet (or default DRSformer) checkpoint; '
                              "DRSformer's Rain200L/SPA variant lacks the expert modules and does not fit") from None


def drop_shared(state: StateDict) -> dict[str, Tensor]:
    """Drop the further names under which the published refiner saves its shared modules.

    Raises:
        CheckpointError: two names of one tensor hold different values.
    """
    result = {}
    for key, value in state.items():
        part, rest = key.split('.', 1)
        canonical = key
        if rest.startswith('blocks.'):
            canonical = f'{part}.{"conv" if part == "balance" else "convs"}.{rest.split(".", 2)[2]}'
        if canonical in result and not torch.equal(result[canonical], value):
            raise CheckpointError(f"'{key}' and '{canonical}' should be one tensor and differ: the checkpoint is "
                                  'broken')
        result[canonical] = value
    return result


def restore_shared(state: StateDict) -> dict[str, Tensor]:
    """Add the names that :func:`drop_shared` drops.

    The published ``balance`` repeats its one module once, ``adjust`` three times.
    """
    result = {}
    for key, value in state.items():
        result[key] = value
        for shared, copies in (('balance.conv.', 1), ('adjust.convs.', 3)):
            if key.startswith(shared):
                part, rest = shared.split('.')[0], key.removeprefix(shared)
                result |= {f'{part}.blocks.{number}.{rest}': value for number in range(copies)}
    return result


def _part(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One network of a published stage-2 checkpoint, which holds both; a bare state dict as it is."""
    return state.get(name, state)


def _build_cleannet(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    return CleanNet(**{**cleannet_options(state), **options}), state


def _build_fusion(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    state = _part(state, 'fusion_model')
    growth = state['conv_1.0.weight'].shape[0] if 'conv_1.0.weight' in state else 44
    layers = len({key.split('.')[1] for key in state if key.startswith('dense_layers.')}) or 5
    return LuminanceFusion(**{'growth': growth, 'layers': layers, **options}), state


def _build_refiner(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    state = drop_shared(_part(state, 'refine_model'))
    return IlluminationRefiner(**{'adjust': True, **options}), state


def _build_inference_refiner(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    state = drop_shared(_part(state, 'refine_model'))
    state = {key: value for key, value in state.items() if not key.startswith('adjust.')}
    return IlluminationRefiner(**{'adjust': False, **options}), state


def _build_vgg(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    return PublishedVGG(**options), state


def _call_refine(network: IlluminationRefiner, *inputs: Tensor) -> Any:
    return network.refine(*inputs)


#: Name of the published network -> how it becomes ours and back.
NETWORKS = {
    'cleannet': Adapter(_build_cleannet, dict),
    'cleannet_tiny_a': Adapter(_build_cleannet, dict),
    'cleannet_tiny_b': Adapter(_build_cleannet, dict),
    'fusion_dense': Adapter(_build_fusion, dict),
    'refinement': Adapter(_build_refiner, restore_shared),
    'finetune': Adapter(_build_inference_refiner, restore_shared, _call_refine),
    'vgg16': Adapter(_build_vgg, dict),
}


def join_stages(stage1: Mapping[str, Any], stage2: Mapping[str, Any]) -> dict[str, Tensor]:
    """One state dict of :class:`~mmweather.models.nitedr.restorer.NiteDR` from the checkpoints of both stages.

    Args:
        stage1: state dict of CleanNet: published, or that of our restorer (keys ``generator.*``).
        stage2: published stage-2 checkpoint (``fusion_model``, ``refine_model``), or our state dict (``fusion.*``,
            ``refiner.*``).

    Raises:
        CheckpointError: either holds no such network.
    """
    cleaner = {key.removeprefix('generator.'): value for key, value in stage1.items() if key.startswith('generator.')}
    parts = {'cleaner': cleaner or dict(stage1)}
    if 'fusion_model' in stage2 and 'refine_model' in stage2:
        parts['fusion'] = dict(stage2['fusion_model'])
        parts['refiner'] = drop_shared(stage2['refine_model'])
    else:
        for name in ('fusion', 'refiner'):
            parts[name] = {
                key.removeprefix(f'{name}.'): value for key, value in stage2.items() if key.startswith(f'{name}.')
            }
    marks = {'cleaner': 'patch_embed.proj.weight', 'fusion': 'conv_1.0.weight', 'refiner': 'balance.in_conv.0.weight'}
    for name, mark in marks.items():
        if mark not in parts[name]:
            stage = 1 if name == 'cleaner' else 2
            raise CheckpointError(f"no {name} in the checkpoint of stage {stage} (key '{mark}' is missing): give stage "
                                  '1 first, then stage 2')
    return {f'{name}.{key}': value for name, part in parts.items() for key, value in part.items()}
