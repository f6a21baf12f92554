"""Published ACA-CRNet state dicts for our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmweather.errors import CheckpointError
from mmweather.methods import Adapter

from .attention import AttentiveContextualAttention
from .network import ACACRNet

StateDict = Mapping[str, Tensor]

_PREFIX = re.compile(r'^(?:net\.)?(?:module\.)?')


def network_state(state: StateDict) -> dict[str, Tensor]:
    """Our keys of a published state dict: entries of one sequence to stem, blocks and refinement.

    The published scripts save from inside a parallel wrapper, hence the prefix ``net.module.``; without it, and with
    our own keys, the state dict is taken as well.

    Raises:
        CheckpointError: the keys are not those of an ACA-CRNet.
    """
    if 'stem.weight' in state:
        return dict(state)
    entries = {_PREFIX.sub('', key): value for key, value in state.items()}
    numbers = {int(key.split('.')[0]) for key in entries if key.split('.')[0].isdigit()}
    last = max(numbers, default=0)
    if last < 3 or '0.weight' not in entries or f'{last}.weight' not in entries:
        raise CheckpointError("the state dict has no keys 'net.module.0.weight' and the like: not an ACA-CRNet "
                              'checkpoint')
    result = {}
    for key, value in entries.items():
        number, _, rest = key.partition('.')
        if number in ('0', str(last)):
            result[f'{"stem" if number == "0" else "refine"}.{rest}'] = value
        elif number.isdigit():
            # Entry 1 is the stem's ReLU.
            result[f'blocks.{int(number) - 2}.{rest.removeprefix("net.")}'] = value
        else:
            result[key] = value
    return result


def published_network_state(state: StateDict) -> dict[str, Tensor]:
    """Return a state dict with our keys under the published ones (``net.module.*``), the reverse of network_state."""
    last = 2 + len({key.split('.')[1] for key in state if key.startswith('blocks.')})
    ends = {'stem': '0', 'refine': str(last)}

    def rename(key: str) -> str:
        part, _, rest = key.partition('.')
        if part != 'blocks':
            return f'net.module.{ends.get(part, part)}.{rest}'
        number, _, rest = rest.partition('.')
        return f'net.module.{int(number) + 2}.net.{rest}'  # entry 1 is the stem's ReLU

    return {rename(key): value for key, value in state.items()}


def network_options(state: StateDict) -> dict[str, Any]:
    """Constructor arguments of :class:`ACACRNet`, read from the shapes of a state dict with our keys.

    Raises:
        CheckpointError: keys that every ACA-CRNet has are missing.
    """
    try:
        width, in_channels = state['stem.weight'].shape[:2]
        out_channels = state['refine.weight'].shape[0]
    except KeyError as error:
        raise CheckpointError(f'the state dict has no key {error}: not an ACA-CRNet checkpoint') from None
    blocks = {int(key.split('.')[1]) for key in state if key.startswith('blocks.')}
    return dict(
        in_channels=in_channels,
        out_channels=out_channels,
        width=width,
        num_blocks=max(blocks, default=-1) + 1,
        attention_blocks=tuple(i for i in sorted(blocks) if f'blocks.{i}.att.query.weight' in state),
        selection=any('.att.linear_weight.' in key for key in state),
    )


def attention_options(state: StateDict) -> dict[str, Any]:
    """Constructor arguments of :class:`AttentiveContextualAttention`, read from shapes.

    Raises:
        CheckpointError: keys that every such attention has are missing.
    """
    try:
        width, channels = state['query.weight'].shape[:2]
    except KeyError as error:
        raise CheckpointError(f'the state dict has no key {error}: not an attentive contextual attention') from None
    kernel = state['linear_weight.0.weight'].shape[-1] if 'linear_weight.0.weight' in state else 1
    return dict(in_channels=channels, reduction=channels // width, kernel_size=kernel,
                selection='linear_weight.0.weight' in state)


def _build_network(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    state = network_state(state)
    return ACACRNet(**{**network_options(state), **options}), state


def _build_attention(state: StateDict, **options: Any) -> tuple[nn.Module, StateDict]:
    return AttentiveContextualAttention(**{**attention_options(state), **options}), state


#: Name of the published network -> how it becomes ours and back.
NETWORKS = {
    'rice_3to3': Adapter(_build_network, published_network_state),
    'sen12mscr_15to13': Adapter(_build_network, published_network_state),
    'ac_attention_256': Adapter(_build_attention, dict),
}
