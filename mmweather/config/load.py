"""Read a config so that a mistake in it is found before the training starts, and is reported in one line."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..errors import ConfigError, MMWeatherError, missing_toolbox
from ..utils.config_file import read_config
from ..utils.text import did_you_mean, nearest

_RUNNER_KEYS = tuple(name for name in inspect.signature(Runner.__init__).parameters if name not in ('self', 'cfg'))
# Read by MMEngine or by the tools from the config itself.
_OTHER_KEYS = ('activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval',
               'find_unused_parameters', 'model_wrapper_cfg', 'runner_type', 'sync_bn', 'tta_model', 'tta_pipeline')
# Plain variables by convention, some of them one letter away from a key.
_VARIABLES = ('test_pipeline', 'train_pipeline', 'val_pipeline', 'vis_backends')
_SCALAR_KEYS = ('compile', 'default_scope', 'experiment_name', 'find_unused_parameters', 'launcher', 'load_from',
                'log_level', 'resume', 'runner_type', 'sync_bn', 'work_dir')
_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
_TRIPLES = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file, apply ``--cfg-options`` and check the top-level keys.

    Args:
        path: the file.
        options: dotted keys and values that replace those of the file.

    Raises:
        ConfigError: the file is missing or faulty, or a key of the file or of the options is misspelt.
        MissingToolboxError: ``custom_imports`` or a base config needs a package that is not installed.
    """
    path = Path(path)
    if not path.is_file():
        siblings = [file.name for file in path.parent.glob('*.py')] if path.parent.is_dir() else []
        raise ConfigError(f"config file '{path}' does not exist"
                          + did_you_mean(path.name, siblings, '; check the path'))
    try:
        config = read_config(path)
    except MMWeatherError:
        raise
    except SyntaxError as error:
        raise ConfigError(f"config '{path}', line {error.lineno}: {error.msg}; fix the Python syntax") from error
    except ModuleNotFoundError as error:
        raise missing_toolbox(f"config '{path}'", error) from error
    except Exception as error:  # noqa: BLE001  a config is code: anything can be raised
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError):
            raise missing_toolbox(f"config '{path}' (custom_imports)", cause) from error
        refuse_cycle(path, error)
        raise ConfigError(f"config '{path}' cannot be read: {type(error).__name__}: {first_line(error)}") from error
    check_top_level(config, str(path))
    if options:
        apply_options(config, options)
    return config


def refuse_cycle(path: Path, error: Exception) -> None:
    """Name the files whose ``_base_`` form a cycle, if reading a config failed for that reason.

    Args:
        path: the config.
        error: raised when it was read.

    Raises:
        ConfigError: there is a cycle.
    """
    cycle = _cycle(path) if isinstance(error, RecursionError) else None
    if cycle:
        raise ConfigError(f"config '{path}': _base_ forms a cycle: {' -> '.join(cycle)}; remove one of them") from None


def _cycle(path: Path) -> list[str] | None:
    """The names of the files whose ``_base_`` lead back to the first of them, or None."""
    trail: list[Path] = []
    seen: set[Path] = set()

    def visit(file: Path) -> list[str] | None:
        if file in trail:
            return [found.name for found in (*trail[trail.index(file):], file)]
        if file in seen:
            return None
        seen.add(file)
        trail.append(file)
        with contextlib.suppress(Exception):  # reported when the file is read
            for base in Config._get_base_files(str(file)):
                found = visit((file.parent / base).resolve())
                if found:
                    return found
        trail.pop()
        return None

    return visit(path.resolve())


def _several_loaders(config: Config, key: str) -> bool:
    """Whether this is a list of loaders for a loop over several datasets, such as mmagic's MultiTestLoop."""
    loaders, loop = config.get(key), config.get(f'{key.removesuffix("_dataloader")}_cfg')
    kind = loop.get('type') if isinstance(loop, dict) else None
    name = getattr(kind, '__name__', str(kind)).rpartition('.')[2]
    return (key in ('val_dataloader', 'test_dataloader') and isinstance(loaders, (list, tuple))
            and all(isinstance(loader, dict) for loader in loaders) and name not in ('None', 'ValLoop', 'TestLoop'))


def check_values(config: Config) -> None:
    """Check the plain values that MMEngine takes without looking at them.

    Raises:
        ConfigError: one has a type or value that cannot work.
    """
    seed = (config.get('randomness') or {}).get('seed')
    level = config.get('log_level', 'INFO')
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32):
        raise ConfigError(f'randomness.seed: give a whole number from 0 to {2**32 - 1} or None, got {seed!r}')
    if not isinstance(level, (str, int)) or level not in (*_LEVELS, *map(getattr, [logging] * len(_LEVELS), _LEVELS)):
        raise ConfigError(f'log_level: give one of {", ".join(_LEVELS)}, got {level!r}')
    for key in ('work_dir', 'load_from', 'experiment_name'):
        if not isinstance(config.get(key), (str, type(None))):
            raise ConfigError(f'{key}: give a text, got {config[key]!r}')
    for key in ('default_hooks', 'env_cfg', 'train_dataloader', 'val_dataloader', 'test_dataloader'):
        if isinstance(config.get(key), (str, int, float, list, tuple)) and not _several_loaders(config, key):
            raise ConfigError(f'{key}: give a dict, got {config[key]!r}')
    hooks = config.get('custom_hooks')
    if not isinstance(hooks, (list, tuple, type(None))):
        raise ConfigError(f'custom_hooks: give a list of dicts, got {hooks!r}')
    for index, hook in enumerate(hooks or ()):
        if isinstance(hook, (str, int, float)) or hook is None:
            raise ConfigError(f"custom_hooks.{index}: give a dict with 'type', got {hook!r}")
    loop = config.get('train_cfg')
    for key in ('max_iters', 'max_epochs') if isinstance(loop, dict) else ():
        length = loop.get(key)
        if isinstance(length, (int, float)) and length < 1:
            raise ConfigError(f'train_cfg.{key} is {length}: nothing would be trained; give at least 1')
        if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
            raise ConfigError(f'train_cfg.{key}: give a whole number of at least 1, got {length!r}')


def check_top_level(config: Config, source: str) -> None:
    """Find misspelt section names; other names are variables of the config and are left alone.

    Raises:
        ConfigError: a name is almost, but not quite, one that the runner reads.
    """
    known = {*_RUNNER_KEYS, *_OTHER_KEYS}
    for key, value in config.items():
        if key in known or key in _VARIABLES:
            continue
        match = nearest(key, _RUNNER_KEYS + _OTHER_KEYS, cutoff=0.8 if len(key) <= 6 else 0.87)
        if match and (match in _SCALAR_KEYS or isinstance(value, (dict, list, tuple))):
            raise ConfigError(f"{source}: unknown key '{key}'; did you mean '{match}'? (rename it if it is a variable)")


def apply_options(config: Config, options: Mapping[str, Any]) -> None:
    """Merge ``--cfg-options`` into the config, in place.

    A new last key is allowed (``optim_wrapper.clip_grad.max_norm=1``) unless it looks like a misspelt one.

    Raises:
        ConfigError: a key does not exist, or goes into something that is not a dict or list.
    """
    for dotted in options:
        _check_option(config, dotted)
        if '.' not in dotted and dotted not in _RUNNER_KEYS + _OTHER_KEYS:
            warnings.warn(f"--cfg-options {dotted}: this is a plain variable of the config; what the config computed "
                          'from it keeps the old value', stacklevel=2)
    try:
        config.merge_from_dict(dict(options))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f'--cfg-options {" ".join(options)}: {first_line(error)}') from error


def _check_option(config: Config, dotted: str) -> None:
    node: Any = config
    parts = dotted.split('.')
    for depth, part in enumerate(parts):
        where = '.'.join(parts[:depth]) or 'the config'
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(f"--cfg-options {dotted}: '{where}' is a list of {len(node)}; "
                                  f"'{part}' must be an index from 0 to {len(node) - 1}")
            node = node[int(part)]
            continue
        if not isinstance(node, (dict, Config)):
            if node is None:
                return
            raise ConfigError(f"--cfg-options {dotted}: '{where}' is {node!r} and has no keys; "
                              f'set it as a whole: --cfg-options {where}=...')
        if part in node:
            node = node[part]
            continue
        names = [str(name) for name in node]
        if depth == 0:
            names += [*_RUNNER_KEYS, *_OTHER_KEYS]
            if part in names:
                return
            raise ConfigError(f"--cfg-options {dotted}: the config has no '{part}'"
                              + did_you_mean(part, names, f'; it has {", ".join(sorted(map(str, config)))}'))
        match = nearest(part, names, cutoff=0.8)
        if match and not _takes(node, part):
            raise ConfigError(f"--cfg-options {dotted}: '{where}' has no '{part}'; did you mean '{match}'?")
        return


def _takes(node: Mapping, part: str) -> bool:
    """Whether the class that ``node`` configures has a parameter of this name."""
    from mmengine.registry import root

    kind = node.get('type')
    for registry in vars(root).values():
        if isinstance(kind, str) and hasattr(registry, 'module_dict'):
            with contextlib.suppress(Exception):
                kind = registry.get(kind) or kind
    return callable(kind) and part in parameters(kind)


def check_sections(config: Config, mode: str) -> None:
    """Check that what a run needs is there.

    Args:
        config: the config.
        mode: ``'train'`` or ``'test'``.

    Raises:
        ConfigError: a section is missing, or only part of a group of three is given.
    """
    if config.get('model') is None:
        raise ConfigError("the config has no 'model'" + did_you_mean('model', config.keys(), '; add it'))
    for name, group in _TRIPLES.items():
        missing = [key for key in group if config.get(key) is None]
        if missing and (name == mode or len(missing) < 3):
            keys = [key for key in config if key not in _RUNNER_KEYS + _OTHER_KEYS]
            raise ConfigError(f"the config has no '{missing[0]}'" + did_you_mean(
                missing[0], keys, f'; {", ".join(group)} go together'))


def signature(target: Any) -> dict[str, inspect.Parameter]:
    """Return what a class (its base classes included) or function takes by keyword, by name."""
    functions = [c.__init__ for c in inspect.getmro(target)] if inspect.isclass(target) else [target]
    found: dict[str, inspect.Parameter] = {}
    for function in functions:
        try:
            own = inspect.signature(function).parameters
        except (TypeError, ValueError):
            continue
        for name, parameter in own.items():
            if name != 'self' and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break  # what a base class takes cannot be reached
    return found


def parameters(target: Any) -> list[str]:
    """Return the names of :func:`signature`."""
    return list(signature(target))


def default_work_dir(path: str | Path) -> str:
    """``./work_dirs/<name of the config>``, as in the OpenMMLab tools."""
    return os.path.join('./work_dirs', Path(path).stem)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 300 characters; its type where there is none."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
    lines = [line for line in str(text).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
