"""State dicts that do not depend on how a model was distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def bare(module: nn.Module) -> nn.Module:
    """The module inside a data-parallel wrapper, or the module itself."""
    return module.module if is_model_wrapper(module) else module


def keep_keys_plain(model: nn.Module) -> None:
    """Keep the keys of a model whose children may be wrapped one by one.

    MMEngine's separate data-parallel wrapper replaces children in place, so that a checkpoint of two processes has
    keys such as ``fusion.module.weight``, which one process cannot read, and the other way round. With this, state
    dicts never hold the wrappers' ``module.``.

    Args:
        model: the parent of the children that may be wrapped.
    """

    def rename(state: dict[str, Any], old: str, new: str) -> None:
        for key in [key for key in state if key.startswith(old)]:
            state[new + key[len(old):]] = state.pop(key)

    def after_saving(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for name, child in module.named_children():
            if is_model_wrapper(child):
                rename(state, f'{prefix}{name}.module.', f'{prefix}{name}.')

    def before_loading(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name, child in module.named_children():
            if is_model_wrapper(child):
                rename(state, f'{prefix}{name}.', f'{prefix}{name}.module.')

    model.register_state_dict_post_hook(after_saving)
    model.register_load_state_dict_pre_hook(before_loading)


def leave_out_of_state(model: nn.Module, names: Sequence[str]) -> None:
    """Keep children out of a model's state dict, and let them keep their own weights when one is loaded.

    For frozen networks whose weights come from elsewhere, as an ImageNet classifier behind a loss.

    Args:
        model: the parent.
        names: of the children.
    """

    def after_saving(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for key in [key for key in state if key.startswith(tuple(f'{prefix}{name}.' for name in names))]:
            del state[key]

    def before_loading(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name in names:
            own = bare(module.get_submodule(name)).state_dict()
            state.update({f'{prefix}{name}.{key}': value for key, value in own.items()})

    if names:
        model.register_state_dict_post_hook(after_saving)
        model.register_load_state_dict_pre_hook(before_loading)
