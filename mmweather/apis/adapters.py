"""Published weights in our networks."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmweather.errors import CheckpointError, ConfigError
from mmweather.methods import Adapter, Method, methods
from mmweather.utils.checkpoint import load_into, unwrap_state_dict

from ..utils.text import closest


def _published() -> dict[str, Method]:
    return {name: method for name, method in methods().items() if method.adapters is not None}


def published_networks() -> list[str]:
    """Return every name that :func:`from_official` takes."""
    return [f'{method}/{name}' for method in sorted(_published()) for name in _adapters(method)]


def _adapters(name: str) -> dict[str, Adapter]:
    method = _published()[name]
    return importlib.import_module(method.module(str(method.adapters))).NETWORKS


def _adapter(network: str) -> Adapter:
    method, _, name = network.partition('/')
    if method in _published() and name in _adapters(method):
        return _adapters(method)[name]
    near = closest(network, published_networks(), 3, 0.3) or published_networks()
    raise ConfigError(f"unknown published network '{network}': try {', '.join(near)}")


def as_tensors(state: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of a (possibly nested) state dict as tensors.

    Raises:
        CheckpointError: weights stand under names that are not text.
    """
    odd = next((key for key, value in state.items() if isinstance(value, Tensor) and not isinstance(key, str)), None)
    if odd is not None:
        raise CheckpointError(f'the checkpoint holds weights under {odd!r:.40}, which is not text; save '
                              'model.state_dict()')
    return {
        key: as_tensors(value) if isinstance(value, Mapping) else
        (torch.from_numpy(np.array(value)) if isinstance(value, (np.ndarray, np.generic)) else value)
        for key, value in state.items()
    }


def from_official(network: str, state_dict: Mapping[str, Any], **options: Any) -> nn.Module:
    """Our network with a published state dict, loaded strictly.

    Args:
        network: method and published network, for example ``'nitedr/cleannet'``; :func:`published_networks` lists
            them.
        state_dict: published weights, tensors or arrays; the usual wrappers (``params``, ``state_dict``,
            ``module.`` prefixes) are taken off.
        **options: constructor arguments that override what the shapes show.

    Raises:
        ConfigError: unknown network.
        CheckpointError: missing or unexpected keys, or shapes that differ; the keys are listed.
    """
    module, state = _adapter(network).build(unwrap_state_dict(as_tensors(state_dict)), **options)
    load_into(module, dict(state), source=f'published weights of {network}')
    return module


def to_published(network: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of ours under the names of the published code, the reverse of :func:`from_official`.

    Tensors that the published code saves under several names come back under all of them. Modules that the published
    network holds and nothing uses (HeatNet's ResNeXt) have no tensors here: they are left out, and the published code
    loads the result with ``strict=False``.

    Args:
        network: as in :func:`from_official`.
        state_dict: of the network that :func:`from_official` returns; not checked.

    Raises:
        ConfigError: unknown network, or one whose adapter has no way back.
    """
    adapter = _adapter(network)
    if adapter.to_published is None:
        raise ConfigError(f"'{network}' cannot be converted back: its Adapter has no to_published")
    return dict(adapter.to_published(state_dict))


def _flatten(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _flatten(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _flatten(item)
    elif value is not None:
        raise CheckpointError(f'a network returned {type(value).__name__}, not tensors')


@torch.no_grad()
def published_forward(network: str, state_dict: Mapping[str, Any], *inputs: Any) -> tuple[np.ndarray, ...]:
    """Outputs of a published network, computed by ours in evaluation mode and float32.

    Args:
        network: as in :func:`from_official`.
        state_dict: as in :func:`from_official`.
        *inputs: the published network's positional inputs, arrays or tensors.

    Returns:
        Its outputs in the published order and layout; nested outputs flattened depth first, absent ones dropped.
    """
    call = _adapter(network).call
    module = from_official(network, state_dict).float().eval()
    tensors = [torch.as_tensor(np.array(x) if not isinstance(x, Tensor) else x) for x in inputs]
    outputs = call(module, *(x.float() if x.is_floating_point() else x for x in tensors))
    return tuple(x.detach().cpu().numpy() for x in _flatten(outputs))
