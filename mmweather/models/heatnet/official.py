"""Published HeatNet state dicts for our networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmweather.errors import CheckpointError

from .critic import DomainCritic
from .pspnet import HeatNetPSPNet

StateDict = Mapping[str, Tensor]


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
            blocks=tuple(len({key.split('.')[2] for key in state if key.startswith(f'feats.layer{i}.')})
                         for i in range(1, 5)))
    except KeyError as error:
        raise CheckpointError(f"the state dict has no key {error}: not a HeatNet PSPNet checkpoint; give the "
                              "'state_dict' of the student or teacher trained with --arch pspnet") from None


def _build_segmentor(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    return HeatNetPSPNet(**{**segmentor_options(state), **options}), state


def _build_critic(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    try:
        width, channels = state['conv1.weight'].shape[:2]
    except KeyError:
        raise CheckpointError("the state dict has no key 'conv1.weight': not a HeatNet critic") from None
    return DomainCritic(**{'in_channels': channels, 'width': width, **options}), state


def _part(state: StateDict, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _build_whole(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    segmentor, _ = _build_segmentor(_part(state, 'trgb_segnet.'), **options)
    count = len({key.split('.')[1] for key in state if key.startswith('critics.')})
    critics = [_build_critic(_part(state, f'critics.{i}.'))[0] for i in range(count)]
    return SegmentorWithCritics(segmentor, critics), state


def _call(network: nn.Module, *inputs: Tensor) -> Any:
    return network(*inputs)


def _call_early(network: HeatNetPSPNet | SegmentorWithCritics, *inputs: Tensor) -> Any:
    """One stream: the published network takes RGB and thermal apart and joins them itself."""
    return _segment(network, torch.cat(inputs, 1))


def _segment(network: nn.Module, *inputs: Tensor) -> Any:
    return getattr(network, 'trgb_segnet', network)(*inputs)


#: Name of the published network -> (builder from the state dict, call with the published inputs and outputs).
NETWORKS = {
    'conf_pspnet_late_c1': (_build_whole, _segment),
    'conf_pspnet_late_c6': (_build_whole, _segment),
    'conf_pspnet_early_c6': (_build_whole, _call_early),
    'conf_pspnet_ir_c1': (_build_whole, _segment),
    'conf_pspnet_rgb_c1': (_build_whole, _segment),
    'critic_in13': (_build_critic, _call),
    'teacher_vistas_pspnet': (_build_segmentor, _segment),
}
