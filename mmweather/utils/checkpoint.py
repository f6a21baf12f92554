"""Reading and writing checkpoints without ever running code from them."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import CheckpointError

_WRAPPERS = ('state_dict', 'params', 'model', 'params_ema')
_SHOWN = 5


def _numpy_globals() -> list[Any]:
    """What NumPy scalars and arrays are rebuilt with, under the names of NumPy 1 and 2; none of it runs code."""
    core = getattr(np, '_core', None) or np.core
    reconstruct, scalar = core.multiarray._reconstruct, core.multiarray.scalar
    names = [(function, f'numpy.{package}.multiarray.{function.__name__}') for function in (reconstruct, scalar)
             for package in ('core', '_core')]
    dtypes = {type(np.dtype(kind)) for kind in ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', '?')}
    return [*names, np.ndarray, np.dtype, *dtypes]


def load_checkpoint(path: str | os.PathLike[str], map_location: Any = 'cpu') -> dict[str, Any]:
    """Read a checkpoint: ``.safetensors``, or a PyTorch file with ``weights_only=True``.

    NumPy scalars and arrays (as in published checkpoints) and MMEngine's logs are allowed beside tensors.

    Args:
        path: the file.
        map_location: device of the tensors.

    Raises:
        CheckpointError: the file is missing, broken, no checkpoint, or would need code to be run.
    """
    file = Path(path)
    if not file.is_file():
        near = f"; '{file.parent}' holds no such file" if file.parent.is_dir() else ''
        raise CheckpointError(f'{file}: no such checkpoint{near}; check the path')
    if file.stat().st_size == 0:
        raise CheckpointError(f'{file}: the file is empty; download or save it again')
    if file.suffix == '.safetensors':
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        try:
            return dict(load_file(file, device=str(map_location)))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f'{file}: not a readable safetensors file ({_line(error)}); download it again') from None
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            checkpoint = torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        blocked = re.search(r'GLOBAL ([\w.]+)|global ([\w.]+) was not', str(error), re.IGNORECASE)
        name = next((group for group in blocked.groups() if group), None) if blocked else None
        if name:
            raise CheckpointError(f"{file}: refused, it holds code or objects ('{name}') and nothing of it was run; ask "
                                  'its author for a plain state dict or a .safetensors file') from None
        raise CheckpointError(f'{file}: not a PyTorch checkpoint, or broken; download or save it again') from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f'{file}: not a readable checkpoint ({_line(error)}); download or save it again') from None
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f'{file}: holds a {type(checkpoint).__name__}, not a state dict; save model.state_dict()')
    return dict(checkpoint)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def unwrap_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict inside a checkpoint.

    Takes off ``state_dict``, ``params``, ``model`` and ``params_ema`` (in this order of preference, so plain weights
    before averaged ones) and the prefix ``module.`` of data-parallel training. Anything else is left as it is.
    """
    state = checkpoint
    for name in _WRAPPERS:
        inner = state.get(name)
        if isinstance(inner, Mapping):
            return unwrap_state_dict(inner)
    if state and all(key.startswith('module.') for key in state):
        return {key.removeprefix('module.'): value for key, value in state.items()}
    return dict(state)


def _names(keys: list[str]) -> str:
    return ', '.join(keys[:_SHOWN]) + (f' and {len(keys) - _SHOWN} more' if len(keys) > _SHOWN else '')


def load_into(model: nn.Module, state: Mapping[str, Any], source: str, strict: bool = True) -> None:
    """Load a state dict, or say in one line why it does not fit; the model is untouched then.

    Args:
        model: the network.
        state: its state dict, wrappers taken off.
        source: file or origin, for the message.
        strict: missing and unexpected keys are errors. Shapes that differ always are.

    Raises:
        CheckpointError: the state dict belongs to another network.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [f'{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}' for key in own
              if isinstance(state.get(key), Tensor) and isinstance(own[key], Tensor)
              and state[key].shape != own[key].shape]
    problems = []
    if strict and missing:
        problems.append(f'{len(missing)} of {len(own)} keys are missing ({_names(missing)})')
    if strict and unexpected:
        problems.append(f'{len(unexpected)} are unexpected ({_names(unexpected)})')
    if shapes:
        problems.append(f'{len(shapes)} differ in shape ({_names(shapes)})')
    if problems:
        raise CheckpointError(f'{source} does not fit {type(model).__name__}: {"; ".join(problems)}; give the checkpoint '
                              'of this network, or the config that the checkpoint was trained with')
    with torch.no_grad() if state else nullcontext():
        model.load_state_dict({key: value for key, value in state.items() if key in own}, strict=strict)


def save_state_dict(path: str | os.PathLike[str], state: Mapping[str, Tensor],
                    metadata: Mapping[str, Any] | None = None) -> None:
    """Write a state dict atomically, as ``.safetensors`` or a PyTorch file by the suffix.

    Args:
        path: the file; what was there stays until the new one is complete.
        state: tensors by key.
        metadata: small facts; stored as text in safetensors, under ``meta`` in PyTorch files.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f'.{file.name}.{os.getpid()}.tmp')
    try:
        if file.suffix == '.safetensors':
            from safetensors.torch import save_file
            save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary,
                      metadata={key: json.dumps(value) for key, value in (metadata or {}).items()})
        else:
            torch.save({'state_dict': dict(state), 'meta': dict(metadata or {})}, temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
