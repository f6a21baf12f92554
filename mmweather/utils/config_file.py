"""Reading config files: ``.py`` is code, YAML and JSON are data."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigError

_SCOPES = ('mmweather', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmagic', 'mmpretrain')
# Their values are looked up in registries, which fall back on importing what is not registered and calling it.
_NAMES = ('type', 'constructor', 'runner_type')
_SCOPE_KEYS = ('default_scope', '_scope_', 'scope')
_NAME = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)?')


def read_config(path: str | os.PathLike[str]) -> Any:
    """Read a config file.

    A ``.py`` config is code and runs. A config in YAML or JSON runs nothing: no tags, no ``custom_imports``, no
    ``_base_`` that is a Python file beside those of mmweather and the toolboxes, and ``type`` names what is registered,
    not any function of any module.

    Args:
        path: the file.

    Returns:
        The :class:`mmengine.config.Config`.

    Raises:
        ConfigError: a config in YAML or JSON asks for code, or one in Python ends the process.
        Exception: whatever MMEngine or the code of a ``.py`` config raises.
    """
    from mmengine.config import Config

    from .. import registry  # noqa: F401  lets `_base_` name the package's configs, and makes MMEngine's YAML safe
    from ..compat.data_configs import without_code

    if Path(path).suffix == '.py':
        try:
            return Config.fromfile(path)
        except SystemExit as end:
            raise ConfigError(f"config '{path}' ends the process (sys.exit, status {end.code}); remove that") from end
    source = os.fspath(path)
    with without_code(source):
        config = Config.fromfile(path, import_custom_modules=False)
    if 'custom_imports' in config:
        raise ConfigError(f'{source}: custom_imports imports modules, which is code; a config in YAML or JSON is data; '
                          'write a .py config')
    for key, value in _entries(config.to_dict()):
        if key in _SCOPE_KEYS and isinstance(value, str) and key != 'scope' and value not in _SCOPES:
            raise ConfigError(f"{source}: {key} '{value}' is unknown; choose from {', '.join(_SCOPES)}, or write a .py "
                              'config')
        if key in _NAMES and isinstance(value, str) and not _is_registered(value):
            raise ConfigError(f"{source}: {key} '{value[:80]}' is not a registered name; a config in YAML or JSON is "
                              'data and cannot name other functions; check the spelling, or write a .py config')
    return config


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _entries(item)


def _is_registered(name: str) -> bool:
    """Whether a registry gives ``name`` without importing a module of that name."""
    from mmengine import registry as roots

    if not _NAME.fullmatch(name):
        return False
    scope, _, bare = name.rpartition('.')
    try:
        importable = importlib.util.find_spec(bare) is not None
    except ValueError:  # a module without a spec, such as __main__
        importable = True
    if scope and scope not in _SCOPES:
        return False
    if not scope and not importable:
        return True  # looked up later, and then in registries only
    for registry in vars(roots).values():
        if isinstance(registry, roots.Registry) and _gives(registry, scope, bare, importable):
            return True
    return False


def _gives(registry: Any, scope: str, bare: str, importable: bool) -> bool:
    if scope and scope != registry.scope:
        try:
            importlib.import_module(f'{scope}.registry')
        except ImportError:
            return True  # the toolbox is missing, which is said when it is needed
        registry = registry.children.get(scope)
        if registry is None:
            return False
    if importable:  # asking by get() would import it
        registry.import_from_location()
        return bare in registry.module_dict
    try:
        found = registry.get(bare)
    except (RuntimeError, ImportError):  # not registered; or its toolbox is missing, which is said when it is needed
        return bare in getattr(registry, 'names', list)()
    return callable(found) and not isinstance(found, ModuleType)


def innermost(dataset: Mapping[str, Any], key: str | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield the configs of datasets inside wrappers such as SeededDataset, RepeatDataset or ConcatDataset.

    Args:
        dataset: config of a dataset or of a wrapper.
        key: also stop at a wrapper that has this key.
    """
    inner = dataset.get('dataset', dataset.get('datasets'))
    if inner is None or key in dataset:
        yield dataset
        return
    for one in inner if isinstance(inner, (list, tuple)) else [inner]:
        yield from innermost(one, key)
