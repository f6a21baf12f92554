"""Configs in YAML and JSON that name Python files.

Fault: a config in YAML or JSON looks like data, but ``_base_`` in it may name a ``.py`` file, which mmengine 0.10.7
runs.

Fix: within :func:`without_code`, in which mmweather reads such a config, MMEngine reads Python files only below the
``configs`` of mmweather and of the installed toolboxes. Outside of it nothing is changed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ConfigError
from ._post_import import after_import

_TOOLBOXES = ('mmdet', 'mmseg', 'mmagic', 'mmpretrain', 'mmcls')
_SOURCE: ContextVar[str | None] = ContextVar('mmweather_data_config', default=None)


def apply() -> None:
    """Add the check when MMEngine's configs are imported."""
    after_import('mmengine.config.config', _guard)


@contextlib.contextmanager
def without_code(source: str) -> Iterator[None]:
    """Read the config ``source`` in the block, without running Python files beside those of the packages.

    Raises:
        ConfigError: one is named.
    """
    token = _SOURCE.set(source)
    try:
        yield
    finally:
        _SOURCE.reset(token)


def _trusted(file: Path) -> bool:
    package = Path(__file__).resolve().parents[1]
    roots = [package / '.mim' / 'configs']
    if (package.parent / 'model-index.yml').is_file():
        roots.append(package.parent / 'configs')
    for name in _TOOLBOXES:
        found = importlib.util.find_spec(name)
        roots += [Path(folder) / '.mim' / 'configs' for folder in (found and found.submodule_search_locations) or ()]
    return any(file.resolve().is_relative_to(root.resolve()) for root in roots)


def _guard(module: ModuleType) -> None:
    config = module.Config
    if hasattr(config._file2dict, '__wrapped__'):
        return
    original = config._file2dict

    @functools.wraps(original)
    def guarded(filename: Any, *args: Any, **kwargs: Any) -> Any:
        source = _SOURCE.get()
        if source is not None and str(filename).endswith('.py') and not _trusted(Path(filename)):
            raise ConfigError(f"{source}: its _base_ names '{filename}', which is code; a config in YAML or JSON may "
                              "build on data and on the packages' own configs (mmweather::...); write a .py config")
        return original(filename, *args, **kwargs)

    config._file2dict = staticmethod(guarded)
