"""Act on a module at the moment it is imported, without importing it earlier.

The finder below asks the other finders for the module's spec and replaces ``exec_module`` on that one loader
object, so the loader keeps its type and every other method.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

Execute = Callable[[ModuleType], None]
Wrapper = Callable[[ModuleType, Execute], None]


class _Watcher:
    """A meta-path finder that wraps the execution of the modules it watches."""

    def __init__(self) -> None:
        self.wrappers: dict[str, list[Wrapper]] = {}
        self._busy = threading.local()

    def find_spec(self,
                  name: str,
                  path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.wrappers or getattr(self._busy, 'name', None) == name:
            return None
        # A finder that itself calls importlib would come back here for the same name.
        self._busy.name = name
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._busy.name = None
        if spec is not None and hasattr(spec.loader, 'exec_module'):
            self._wrap(spec, self.wrappers[name])
        return spec

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find_spec = getattr(finder, 'find_spec', None)
            if finder is self or find_spec is None:
                continue
            spec = find_spec(name, path, target)
            if spec is not None:
                return spec
        return None

    @staticmethod
    def _wrap(spec: ModuleSpec, wrappers: list[Wrapper]) -> None:
        loader = spec.loader
        execute: Execute = loader.exec_module
        for wrapper in wrappers:
            execute = _bind(wrapper, execute)

        def run_once(module: ModuleType) -> None:
            # importlib.reload() finds a new spec and thus a newly wrapped loader.
            vars(loader).pop('exec_module', None)
            execute(module)

        if hasattr(loader, '__dict__'):
            loader.exec_module = run_once


def _bind(wrapper: Wrapper, execute: Execute) -> Execute:
    return lambda module: wrapper(module, execute)


_WATCHER = _Watcher()


def wrap_execution(name: str, wrapper: Wrapper) -> None:
    """Let ``wrapper(module, execute)`` run in place of the execution of module ``name``.

    It has no effect on a module that is imported already, and a second call with the same wrapper none either.
    """
    wrappers = _WATCHER.wrappers.setdefault(name, [])
    if wrapper not in wrappers:
        wrappers.append(wrapper)
    if _WATCHER not in sys.meta_path:
        sys.meta_path.insert(0, _WATCHER)


def after_import(name: str, fix: Callable[[ModuleType], None]) -> None:
    """Call ``fix(module)`` once ``name`` is imported: now if it already is, else right after its execution.

    ``fix`` may be called more than once for a module (a reload, a second call of this function) and must leave
    a fixed module as it is.
    """
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, '_initializing', False):
        fix(module)
        return
    if fix in _FIXES.setdefault(name, []):
        return
    _FIXES[name].append(fix)
    wrap_execution(name, _execute_then_fix)


_FIXES: dict[str, list[Callable[[ModuleType], None]]] = {}


def _execute_then_fix(module: ModuleType, execute: Execute) -> None:
    execute(module)
    for fix in _FIXES[module.__name__]:
        fix(module)
