"""Reading and writing checkpoints without ever running code from them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .atomic import write_bytes
from .checkpoint_reader import Inert, first_line, read_pickled
from .download import local_file
from .finite import float_tensors, not_finite
from .text import shorten

_WRAPPERS = ('state_dict', 'params', 'model', 'params_ema', 'model_state_dict', 'net_g')
# Keys of the critics of mmweather.DomainAdversarial, which only training needs.
_CRITICS = 'critics.'


def load_checkpoint(source: str | os.PathLike[str], map_location: Any = 'cpu',
                    tensors_only: bool = False) -> dict[str, Any]:
    """Read a checkpoint: ``.safetensors``, or a PyTorch file with ``weights_only=True``.

    This is the only way into the package for weights, and :mod:`mmweather.compat` makes it MMEngine's. NumPy numbers
    and arrays (as in published checkpoints) and MMEngine's logs are allowed beside tensors.

    Args:
        source: a file or an address, see :func:`mmweather.utils.download.local_file`.
        map_location: device of the tensors.
        tensors_only: leave out objects of other classes instead of refusing the file. Neither their modules are
            imported nor anything of theirs is called.

    Raises:
        CheckpointError: the file is missing, cannot be fetched, is broken, forged, no checkpoint, or would need code
            to be run.
    """
    file = checkpoint_file(source)
    if file.suffix == '.safetensors':
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        device = str(map_location) if isinstance(map_location, (str, torch.device)) else 'cpu'
        try:
            return dict(load_file(file, device=device))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f'{file}: not a readable safetensors file ({first_line(error)}); '
                                  'download it again') from None
    checkpoint = read_pickled(file, map_location, tensors_only)
    if isinstance(checkpoint, Inert):
        raise CheckpointError(f'{file}: holds a whole model object; save model.state_dict() where it was made')
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f'{file}: holds a {type(checkpoint).__name__}, not a state dict; save model.state_dict()')
    state: Any = checkpoint
    while isinstance(state, Mapping):
        strange = [key for key in state if not isinstance(key, str)]
        if strange:
            raise CheckpointError(f'{file}: holds {strange[0]!r:.40} as the name of an entry, not text; save '
                                  'model.state_dict()')
        state = next((state[name] for name in _WRAPPERS if isinstance(state.get(name), Mapping)), None)
    if os.fspath(source).startswith('mmcls://'):
        from mmengine.runner.checkpoint import _process_mmcls_checkpoint
        checkpoint = _process_mmcls_checkpoint(checkpoint)
    return checkpoint


def checkpoint_file(source: str | os.PathLike[str]) -> Path:
    """Return the file of a source of weights, downloaded first if it is an address.

    Raises:
        CheckpointError: the file is missing, empty or no regular file, or cannot be fetched.
    """
    file = local_file(source)
    if not file.is_file():
        raise CheckpointError(f'{file}: is a folder, not a checkpoint; give a file in it' if file.is_dir() else
                              f'{file}: is not a regular file; give a checkpoint' if file.exists() else
                              f'{file}: no such checkpoint; check the path')
    if file.stat().st_size == 0:
        raise CheckpointError(f'{file}: the file is empty; download or save it again')
    return file


def unwrap_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict inside a checkpoint.

    Takes off ``state_dict``, ``params``, ``model``, ``params_ema``, ``model_state_dict`` and ``net_g`` (in this order
    of preference, so plain weights before averaged ones) and the prefix ``module.`` of data-parallel training.
    Anything else is left as it is.
    """
    state = checkpoint
    for name in _WRAPPERS:
        inner = state.get(name)
        if isinstance(inner, Mapping):
            return unwrap_state_dict(inner)
    if state and all(isinstance(key, str) and key.startswith('module.') for key in state):
        return {key.removeprefix('module.'): value for key, value in state.items()}
    return dict(state)


def load_into(model: nn.Module, state: Mapping[str, Any], source: str, strict: bool = True) -> None:
    """Load a state dict, or say in one line why it does not fit; the model is untouched then.

    Wrappers are taken off as :func:`unwrap_state_dict` does. The weights of a network also fit a model that holds
    this network and nothing else, and the other way round: keys that differ by such a prefix alone
    (``generator.``) are renamed.

    Args:
        model: the network.
        state: its state dict. The critics of ``mmweather.DomainAdversarial`` are passed over where the model has none;
            parts that the model names as ``optional_parts`` keep their own weights where the state has none of them.
        source: file or origin, for the message.
        strict: missing and unexpected keys are errors. Shapes that differ always are.

    Raises:
        CheckpointError: the state dict belongs to another network.
    """
    own = model.state_dict()
    odd = [repr(key)[:40] for key in unwrap_state_dict(state) if not isinstance(key, str)]
    if odd:
        raise CheckpointError(f'{source} does not fit {type(model).__name__}: names of entries are not text '
                              f'({shorten(odd)}); save model.state_dict()')
    state = _with_fitting_prefix(model, own, _fit_optional(model, own, unwrap_state_dict(state)))
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    both = [key for key in own if key in state and isinstance(own[key], Tensor)]
    shapes = [f'{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}' for key in both
              if isinstance(state[key], Tensor) and state[key].shape != own[key].shape]
    problems = []
    if strict and missing:
        problems.append(f'{len(missing)} of {len(own)} keys are missing ({shorten(missing)})')
    if strict and unexpected:
        problems.append(f'{len(unexpected)} are unexpected ({shorten(unexpected)})')
    if shapes:
        problems.append(f'{len(shapes)} differ in shape ({shorten(shapes)})')
    strangers = [key for key in both if not isinstance(state[key], Tensor)]
    if strangers:
        problems.append(f'{len(strangers)} hold no tensor ({shorten(strangers)})')
    imaginary = [key for key in both if isinstance(state[key], Tensor) and state[key].is_complex()
                 and not own[key].is_complex()]
    if imaginary:
        problems.append(f'{len(imaginary)} are complex ({shorten(imaginary)})')
    if problems:
        raise CheckpointError(f'{source} does not fit {type(model).__name__}: {"; ".join(problems)}; '
                              f'{_likely_mend(missing, unexpected, shapes, own, state)}')
    model.load_state_dict({key: value for key, value in state.items() if key in own}, strict=strict)


def missing_parts(model: nn.Module, state: Mapping[str, Any]) -> list[str]:
    """Return the ``optional_parts`` of a model that a state dict has nothing of."""
    return [part for part in getattr(model, 'optional_parts', ())
            if not any(str(key).startswith(f'{part}.') for key in state)]


def _fit_optional(model: nn.Module, own: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    if not any(key.startswith(_CRITICS) for key in own):
        rest = {key: value for key, value in state.items() if not key.startswith(_CRITICS)}
        state = rest or state
    lacking = tuple(f'{part}.' for part in missing_parts(model, state))
    return {key: value for key, value in own.items() if key.startswith(lacking)} | state if lacking else state


def same_shapes(state: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of ``state`` that ``own`` has with the same shape."""
    return {key: value for key, value in state.items()
            if key in own and getattr(value, 'shape', None) == own[key].shape}


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
        raise CheckpointError(f'{file}: not a readable safetensors file ({first_line(error)}); '
                              'download it again') from None
    facts = {}
    for key, text in found.items():
        if key != 'format':
            try:
                facts[key] = json.loads(text)
            except (ValueError, RecursionError):  # written by another program
                facts[key] = text
    return facts


def training_parts(model: nn.Module, left_out: Any, source: str) -> tuple[str, ...]:
    """Prefixes of the keys that a file may lack because only training needs them.

    The class has the last word: a file can leave out nothing that ``training_only`` of the model does not name.

    Args:
        model: the model; ``training_only`` are names of its children.
        left_out: what the file notes under this name, or None.
        source: the file, for the message.

    Raises:
        CheckpointError: the note is no list of names, or names a part that the model needs.
    """
    if left_out is None:
        return ()
    if not isinstance(left_out, list) or not all(isinstance(part, str) for part in left_out):
        raise CheckpointError(f"{source}: the note 'left_out' in its head is not a list of names; write the file again "
                              '(tools/model_converters/shrink.py)')
    allowed = tuple(getattr(model, 'training_only', ()))
    needed = [part for part in left_out if part not in allowed]
    if needed:
        raise CheckpointError(f"{source}: '{needed[0]}' is left out, but {type(model).__name__} needs it (not needed: "
                              f'{", ".join(allowed) or "none"}); give the whole weights')
    return tuple(f'{part}.' for part in left_out)


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
        raise CheckpointError(f"'{file}' is not written: not finite are {shorten(faults)}; give weights that are "
                              'finite')
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
