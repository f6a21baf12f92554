"""Published HeatNet state dicts for our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmweather.errors import CheckpointError
from mmweather.methods import Adapter
from mmweather.utils.checkpoint import load_checkpoint, load_into, unwrap_state_dict

from .critic import DomainCritic, ResNetCritic
from .pspnet import HeatNetPSPNet
from .resnext import HeatNetResNeXt

StateDict = Mapping[str, Tensor]

#: Modules that published ResNeXt checkpoints hold and no forward pass uses.
_UNUSED_STUDENT = ('bn_out_2', 'up_borders_3', 'up_inst_2')
_UNUSED_TEACHER = (*_UNUSED_STUDENT, 'fuse_border_2', 'fuse_regborder')
#: Prefixes of our keys -> published ones.
_PYRAMID = {'aspp.project.0.': 'aspp.fuse_conv.conv1.', 'aspp.project.1.': 'aspp.fuse_conv.bn1.bn.',
            'score.': 'aspp.final_conv.', 'score_cert.': 'aspp.final_conv2.'}
_FUSE_KEYS = 14  # three convolutions, two norms with five entries each, one transposed convolution


class SegmentorWithCritics(nn.Module):
    """A segmentor and its critics under their published names.

    Args:
        segmentor: returns logits and the critics' inputs.
        critics: critics of the first inputs, in order.
    """

    def __init__(self, segmentor: nn.Module, critics: list[nn.Module]) -> None:
        super().__init__()
        self.trgb_segnet = segmentor
        self.critics = nn.ModuleList(critics)


def _count(state: StateDict, prefix: str) -> int:
    depth = prefix.count('.')
    return len({key.split('.')[depth] for key in state if key.startswith(prefix)})


def segmentor_options(state: StateDict) -> dict[str, Any]:
    """Constructor arguments of :class:`HeatNetPSPNet`, read from the shapes of a bare segmentor's state dict.

    Raises:
        CheckpointError: keys that every published PSPNet has are missing.
    """
    try:
        width, channels = state['feats.conv1.weight'].shape[:2]
        thermal = state.get('feats.conv1_2.weight')
        return dict(
            in_channels=channels,
            thermal_channels=0 if thermal is None else thermal.shape[1],
            num_classes=state['final.0.weight'].shape[0],
            width=width,
            blocks=tuple(_count(state, f'feats.layer{i}.') for i in range(1, 5)),
            decoder=(state['psp.bottleneck.weight'].shape[0],
                     *(state[f'up_{i}.conv.0.weight'].shape[0] for i in (1, 2, 3))))
    except KeyError as error:
        raise CheckpointError(f"the state dict has no key {error}: not a HeatNet PSPNet checkpoint; give the "
                              "'state_dict' of the student or teacher trained with --arch pspnet") from None


def _first_conv(state: StateDict, stem: str) -> str:
    """The student's stem calls its first convolution ``conv1_2``, the Vistas teacher's ``conv1``."""
    return f'{stem}.conv1_2.weight' if f'{stem}.conv1_2.weight' in state else f'{stem}.conv1.weight'


def resnext_options(state: StateDict) -> dict[str, Any]:
    """Constructor arguments of :class:`HeatNetResNeXt`, read from the shapes of a bare segmentor's state dict.

    Keys may be the published ones or ours.

    Raises:
        CheckpointError: keys that every published ResNeXt has are missing.
    """
    try:
        width, channels = state[_first_conv(state, 'mod1')].shape[:2]
        thermal = state.get(_first_conv(state, 'mod1_2'))
        grouped = state['mod2_1.block1.convs.conv2.weight']
        return dict(
            in_channels=channels,
            thermal_channels=0 if thermal is None else thermal.shape[1],
            num_classes=state['up_seg_2.weight'].shape[0],
            blocks=tuple(_count(state, f'mod{i}_1.') for i in range(2, 6)),
            width=width,
            groups=grouped.shape[0] // grouped.shape[1],
            pyramid=state['aspp.project.0.weight' if 'aspp.project.0.weight' in state else
                          'aspp.fuse_conv.conv1.weight'].shape[0],
            certainty='up_seg_2_cert.weight' in state)
    except KeyError as error:
        raise CheckpointError(f"the state dict has no key {error}: not a HeatNet ResNeXt checkpoint; give the "
                              "'state_dict' of the student or teacher trained with --arch custom") from None


def _resnext_key(key: str) -> str:
    key = re.sub(r'^(mod1(?:_2)?)\.(conv1|bn1)_2\.', r'\1.\2.', key)
    if match := re.match(r'aspp\.conv([1-5])\.(conv1|bn1\.bn)\.(.+)', key):
        branch, part, leaf = int(match[1]) - 1, match[2], match[3]
        place = (1 if branch == 4 else 0) + (part != 'conv1')  # the last branch starts with its pooling
        return f'aspp.convs.{branch}.{place}.{leaf}'
    for ours, published in _PYRAMID.items():
        if key.startswith(published):
            return ours + key.removeprefix(published)
    return key


def resnext_state(state: StateDict) -> dict[str, Tensor]:
    """Published keys of a bare ResNeXt segmentor to ours; the modules that nothing uses are left out.

    A state dict of :func:`published_resnext_state` has none of them, which is taken as well.

    Raises:
        CheckpointError: a module that nothing uses is there in part only.
    """
    teacher = any(key.startswith('fuse_border_2.') for key in state)
    unused = list(_UNUSED_TEACHER if teacher else _UNUSED_STUDENT)
    if not teacher and 'up_seg_2_cert.weight' not in state:
        unused.append('aspp.final_conv2')
    sizes = {'bn_out_2': 5, 'up_borders_3': 1, 'up_inst_2': 1, 'aspp.final_conv2': 6}
    counts = {module: sum(key.startswith(f'{module}.') for key in state) for module in unused}
    for module, found in counts.items():
        wanted = sizes.get(module, _FUSE_KEYS)
        if found != wanted and any(counts.values()):
            raise CheckpointError(f"the state dict has {found} entries of '{module}' and a HeatNet ResNeXt checkpoint "
                                  f'{wanted}: it is incomplete; save it again')
    return {_resnext_key(key): value for key, value in state.items()
            if not key.startswith(tuple(f'{module}.' for module in unused))}


def published_resnext_state(state: StateDict, teacher: bool = False) -> dict[str, Tensor]:
    """Rename our keys of a bare ResNeXt segmentor to the published ones, the reverse of :func:`resnext_state`.

    The modules that nothing uses (``bn_out_2``, ``up_borders_3``, ``up_inst_2``, for a student without certainty
    ``aspp.final_conv2``, for the teacher ``fuse_border_2`` and ``fuse_regborder``) have no tensors here and are left
    out; the published code loads the result with ``strict=False``.

    Args:
        state: of :class:`HeatNetResNeXt`.
        teacher: whether the network is the Vistas teacher, whose stem calls its first convolution ``conv1``.
    """
    result = {}
    for key, value in state.items():
        if not teacher:
            key = re.sub(r'^(mod1(?:_2)?)\.(conv1|bn1)\.', r'\1.\2_2.', key)
        if match := re.match(r'aspp\.convs\.(\d)\.(\d)\.(.+)', key):
            branch, place = int(match[1]), int(match[2])
            part = 'conv1' if place == (branch == 4) else 'bn1.bn'  # the last branch starts with its pooling
            key = f'aspp.conv{branch + 1}.{part}.{match[3]}'
        for ours, published in _PYRAMID.items():
            if key.startswith(ours):
                key = published + key.removeprefix(ours)
        result[key] = value
    return result


def _build_segmentor(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    return HeatNetPSPNet(**{**segmentor_options(state), **options}), state


def _build_resnext(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    return HeatNetResNeXt(**{**resnext_options(state), **options}), resnext_state(state)


def _build_critic(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    try:
        width, channels = state['conv1.weight'].shape[:2]
    except KeyError:
        raise CheckpointError("the state dict has no key 'conv1.weight': not a HeatNet critic") from None
    return DomainCritic(**{'in_channels': channels, 'width': width, **options}), state


def _build_resnet_critic(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    if 'conv1.weight' not in state:
        raise CheckpointError("the state dict has no key 'conv1.weight': not a HeatNet critic")
    bottleneck = 'layer1.0.conv3.weight' in state
    blocks = tuple(_count(state, f'layer{i}.') for i in range(1, 5))
    depths = {(b.expansion == 4, layers): depth for depth, (b, layers) in ResNetCritic.BLOCKS.items()}
    if (bottleneck, blocks) not in depths:
        raise CheckpointError(f'no ResNet critic has {blocks} blocks in its layers: the checkpoint is incomplete or of '
                              'another network')
    depth, channels = depths[bottleneck, blocks], state['conv1.weight'].shape[1]
    return ResNetCritic(**{'in_channels': channels, 'depth': depth, **options}), state


def _part(state: StateDict, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _build_whole(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    inner = _part(state, 'trgb_segnet.')
    build = _build_resnext if 'up_seg_2.weight' in inner else _build_segmentor
    segmentor, renamed = build(inner, **options)
    count = len({key.split('.')[1] for key in state if key.startswith('critics.')})
    critics = [_build_critic(_part(state, f'critics.{i}.'))[0] for i in range(count)]
    rest = {key: value for key, value in state.items() if not key.startswith('trgb_segnet.')}
    return SegmentorWithCritics(segmentor, critics), {
        **{f'trgb_segnet.{key}': value for key, value in renamed.items()}, **rest}


def _publish_whole(state: StateDict) -> dict[str, Tensor]:
    inner = _part(state, 'trgb_segnet.')
    if 'up_seg_2.weight' in inner:
        inner = published_resnext_state(inner)
    rest = {key: value for key, value in state.items() if not key.startswith('trgb_segnet.')}
    return {**{f'trgb_segnet.{key}': value for key, value in inner.items()}, **rest}


def _publish_teacher(state: StateDict) -> dict[str, Tensor]:
    return published_resnext_state(state, teacher=True)


def _call_early(network: nn.Module, *inputs: Tensor) -> Any:
    """One stream: the published network takes RGB and thermal apart and joins them itself."""
    return _segment(network, torch.cat(inputs, 1))


def _segment(network: nn.Module, *inputs: Tensor) -> Any:
    return getattr(network, 'trgb_segnet', network)(*inputs)


def _logits(network: nn.Module, image: Tensor) -> Tensor:
    """The Vistas teachers return their logits alone."""
    return network(image)[0]


#: Name of the published network -> how it becomes ours and back.
NETWORKS = {
    'conf_pspnet_late_c1': Adapter(_build_whole, _publish_whole, _segment),
    'conf_pspnet_late_c6': Adapter(_build_whole, _publish_whole, _segment),
    'conf_pspnet_early_c6': Adapter(_build_whole, _publish_whole, _call_early),
    'conf_pspnet_ir_c1': Adapter(_build_whole, _publish_whole, _segment),
    'conf_pspnet_rgb_c1': Adapter(_build_whole, _publish_whole, _segment),
    'conf_custom_late_c6': Adapter(_build_whole, _publish_whole, _segment),
    'conf_custom_early_c6': Adapter(_build_whole, _publish_whole, _call_early),
    'critic_in13': Adapter(_build_critic, dict),
    'critic_resnet18_in13': Adapter(_build_resnet_critic, dict),
    'teacher_vistas_pspnet': Adapter(_build_segmentor, dict, _logits),
    'teacher_vistas_custom': Adapter(_build_resnext, _publish_teacher, _logits),
}


def mmseg_keys(state: StateDict) -> dict[str, Tensor]:
    """The keys of :class:`HeatNetPSPNet` as those of ``mmweather.HeatNet`` with its own encoder and head."""
    renamed = {}
    for key, value in state.items():
        if key.startswith('feats.'):
            renamed[f"backbone.{key.removeprefix('feats.')}"] = value
        else:
            renamed[f"decode_head.{re.sub(r'^final.0.', 'conv_seg.', key)}"] = value
    return renamed


def network_keys(state: StateDict) -> dict[str, Tensor]:
    """The reverse of :func:`mmseg_keys`; other keys are left out."""
    renamed = {}
    for key, value in state.items():
        if key.startswith('backbone.'):
            renamed[f"feats.{key.removeprefix('backbone.')}"] = value
        elif key.startswith('decode_head.'):
            renamed[re.sub(r'^conv_seg.', 'final.0.', key.removeprefix('decode_head.'))] = value
    return renamed


def load_pspnet(path: str) -> HeatNetPSPNet:
    """A PSPNet from a checkpoint of ``mmweather.HeatNet``, of :class:`HeatNetPSPNet`, or a published one.

    Critics in a published checkpoint are left out.

    Raises:
        CheckpointError: the file cannot be read or holds another network.
    """
    state = unwrap_state_dict(load_checkpoint(path))
    if any(key.startswith('trgb_segnet.') for key in state):
        state = _part(state, 'trgb_segnet.')
    elif 'backbone.conv1.weight' in state:
        state = network_keys(state)
    network = HeatNetPSPNet(**segmentor_options(state))
    load_into(network, state, path)
    return network


def load_teacher(path: str) -> HeatNetPSPNet | HeatNetResNeXt:
    """A network from a checkpoint of ``mmweather.HeatNet``, of a network alone, or a published one.

    Critics in a published checkpoint are left out.

    Raises:
        CheckpointError: the file cannot be read or holds another network.
    """
    state = unwrap_state_dict(load_checkpoint(path))
    for prefix in ('trgb_segnet.', 'backbone.'):
        if f'{prefix}up_seg_2.weight' in state:
            state = _part(state, prefix)
    if 'up_seg_2.weight' not in state:
        return load_pspnet(path)
    network = HeatNetResNeXt(**resnext_options(state))
    load_into(network, resnext_state(state) if 'aspp.fuse_conv.conv1.weight' in state else state, path)
    return network
