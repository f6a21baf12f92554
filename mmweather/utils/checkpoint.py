"""Reading and writing checkpoints without ever running code from them."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..compat.safe_load import numpy_globals
from ..errors import CheckpointError
from .atomic import write_bytes
from .finite import float_tensors, not_finite, some

_WRAPPERS = ('state_dict', 'params', 'model', 'params_ema')
_SHOWN = 5
# Named in a refusal, these mean malice rather than carelessness.
_RUNS_CODE = frozenset(f'builtins.{name}' for name in ('eval', 'exec', 'compile', '__import__', 'getattr', 'open'))


class _Inert:
    """Stands for an object of a class that is not loaded; takes whatever the file gives it and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def load_checkpoint(path: str | os.PathLike[str], map_location: Any = 'cpu',
                    tensors_only: bool = False) -> dict[str, Any]:
    """Read a checkpoint: ``.safetensors``, or a PyTorch file with ``weights_only=True``.

    NumPy scalars and arrays (as in published checkpoints) and MMEngine's logs are allowed beside tensors.

    Args:
        path: the file.
        map_location: device of the tensors.
        tensors_only: leave out objects of other classes instead of refusing the file. Neither their modules are
            imported nor anything of theirs is called.

    Raises:
        CheckpointError: the file is missing, broken, no checkpoint, or would need code to be run.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f'{file}: is a folder, not a checkpoint; give a file in it' if file.is_dir() else
                              f'{file}: no such checkpoint; check the path')
    if file.stat().st_size == 0:
        raise CheckpointError(f'{file}: the file is empty; download or save it again')
    if file.suffix == '.safetensors':
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        try:
            return dict(load_file(file, device=str(map_location)))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f'{file}: not a readable safetensors file ({_line(error)}); '
                                  'download it again') from None
    checkpoint = _load_pickled(file, map_location, tensors_only)
    if isinstance(checkpoint, _Inert):
        raise CheckpointError(f'{file}: holds a whole model object; save model.state_dict() where it was made')
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f'{file}: holds a {type(checkpoint).__name__}, not a state dict; save model.state_dict()')
    return dict(checkpoint)


def _load_pickled(file: Path, map_location: Any, tensors_only: bool) -> Any:
    # For good, not for the call: MMEngine's resume needs the same types on the same process-wide list.
    torch.serialization.add_safe_globals(numpy_globals())
    inert: dict[str, Any] = {}
    while True:
        try:
            with torch.serialization.safe_globals([(kind, name) for name, kind in inert.items()]):
                checkpoint = torch.load(file, map_location=map_location, weights_only=True)
            return _without_inert(checkpoint) if inert else checkpoint
        except pickle.UnpicklingError as error:
            name = _refused_global(error)
            if name is None:
                raise CheckpointError(f'{file}: {_what_it_is(file)}; download or save it again') from None
            blocked = 'is blocked' in str(error)
            if blocked or not tensors_only or name in inert:
                mend = ('do not use the file' if blocked or name in _RUNS_CODE else
                        'ask for a plain state dict, or take the tensors alone: mmweather convert --tensors-only')
                raise CheckpointError(f"{file}: refused, it holds code ('{name}'); loading stopped before anything of "
                                      f'it ran; {mend}') from None
            inert[name] = type('Inert', (_Inert, ), {})
        except Exception as error:  # damaged bytes make the reader raise anything
            if 'TorchScript' in str(error):
                raise CheckpointError(f'{file}: is a TorchScript program, not weights; '
                                      'save model.state_dict()') from None
            raise CheckpointError(f'{file}: {_what_it_is(file)} ({_line(error)}); download or save it again') from None


def _refused_global(error: Exception) -> str | None:
    found = re.search(r'GLOBAL ([^\s]+)', str(error))
    if found is None:
        return None
    # PyTorch leaves out the module of built-in names in its message.
    return found[1] if '.' in found[1] else f'builtins.{found[1]}'


def _what_it_is(file: Path) -> str:
    with file.open('rb') as stream:
        head = stream.read(16).lstrip()
    if head.startswith(b'PK'):
        return 'a PyTorch checkpoint that is cut short or damaged'
    if head[:1] == b'<':
        return 'a web page, not a checkpoint (a download that needs a login?)'
    return 'not a PyTorch checkpoint, or damaged'


def _without_inert(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_inert(item) for key, item in value.items() if not isinstance(item, _Inert)}
    if isinstance(value, (list, tuple)):
        return [_without_inert(item) for item in value if not isinstance(item, _Inert)]
    return value


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

    Wrappers are taken off as :func:`unwrap_state_dict` does. The weights of a network also fit a model that holds
    this network and nothing else, and the other way round: keys that differ by such a prefix alone
    (``generator.``) are renamed.

    Args:
        model: the network.
        state: its state dict.
        source: file or origin, for the message.
        strict: missing and unexpected keys are errors. Shapes that differ always are.

    Raises:
        CheckpointError: the state dict belongs to another network.
    """
    own = model.state_dict()
    state = _with_fitting_prefix(model, own, unwrap_state_dict(state))
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    both = [key for key in own if key in state and isinstance(own[key], Tensor)]
    shapes = [f'{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}' for key in both
              if isinstance(state[key], Tensor) and state[key].shape != own[key].shape]
    problems = []
    if strict and missing:
        problems.append(f'{len(missing)} of {len(own)} keys are missing ({_names(missing)})')
    if strict and unexpected:
        problems.append(f'{len(unexpected)} are unexpected ({_names(unexpected)})')
    if shapes:
        problems.append(f'{len(shapes)} differ in shape ({_names(shapes)})')
    strangers = [key for key in both if not isinstance(state[key], Tensor)]
    if strangers:
        problems.append(f'{len(strangers)} hold no tensor ({_names(strangers)})')
    if problems:
        raise CheckpointError(f'{source} does not fit {type(model).__name__}: {"; ".join(problems)}; '
                              f'{_likely_mend(missing, unexpected, shapes, own, state)}')
    model.load_state_dict({key: value for key, value in state.items() if key in own}, strict=strict)


def _with_fitting_prefix(model: nn.Module, own: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    if not state or not own or state.keys() & own.keys():
        return state
    for child, _ in model.named_children():
        longer = {f'{child}.{key}': value for key, value in state.items()}
        if longer.keys() == own.keys():
            return longer
    prefix = next(iter(state)).split('.')[0] + '.'
    shorter = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return shorter if len(shorter) == len(state) and shorter.keys() == own.keys() else state


def _likely_mend(missing: list[str], unexpected: list[str], shapes: list[str], own: Mapping[str, Any],
                 state: Mapping[str, Any]) -> str:
    if any(isinstance(value, Mapping) for value in state.values()):
        return 'it holds several networks: convert it first (mmweather convert, tools/model_converters)'
    if shapes and not missing and not unexpected:
        return 'same network of another width: give the config that the checkpoint was trained with'
    if len(missing) == len(own):
        return ('it is a checkpoint of another network: give the one of this, or convert a published one '
                '(mmweather convert)')
    return 'the same network with other options: give the config that the checkpoint was trained with'


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`save_state_dict` noted in the head of a ``.safetensors`` file; no tensor is read.

    Raises:
        CheckpointError: the file is missing or no such file.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    try:
        with safe_open(file, framework='pt') as opened:
            found = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{file}: not a readable safetensors file ({_line(error)}); download it again') from None
    facts = {}
    for key, text in found.items():
        if key != 'format':
            try:
                facts[key] = json.loads(text)
            except ValueError:  # written by another program
                facts[key] = text
    return facts


def save_state_dict(path: str | os.PathLike[str], state: Mapping[str, Tensor],
                    metadata: Mapping[str, Any] | None = None) -> None:
    """Write a state dict atomically, as ``.safetensors`` or a PyTorch file by the suffix.

    Args:
        path: the file; what was there stays until the new one is complete.
        state: tensors by key.
        metadata: small facts; stored as text in safetensors, under ``meta`` in PyTorch files.

    Raises:
        CheckpointError: values are not finite; nothing is written.
    """
    file = Path(path)
    faults = not_finite(float_tensors(state))
    if faults:
        raise CheckpointError(f"'{file}' is not written: not finite are {some(faults)}; give weights that are finite")
    if file.suffix == '.safetensors':
        from safetensors.torch import save
        # Clones, as safetensors refuses two names of one storage.
        data = save({key: value.detach().cpu().contiguous().clone() for key, value in state.items()},
                    metadata={'format': 'pt', **{key: json.dumps(value) for key, value in (metadata or {}).items()}})
    else:
        buffer = io.BytesIO()
        torch.save({'state_dict': dict(state), 'meta': dict(metadata or {})}, buffer)
        data = buffer.getvalue()
    write_bytes(file, data)
