"""torchvision's compiled kernels behind ``mmcv._ext``.

Fault: mmcv-lite (or an mmcv built where torch could not be imported) has no ``mmcv._ext``, from which ``mmcv.ops``
imports about sixty symbols, so neither mmdet, mmseg nor mmagic imports.

Fix: a finder behind all others offers a module of that name.  A compiled ``mmcv._ext`` is found first and wins.  The
operators that torchvision has kernels for (``_mmcv_kernels.py``) work on CPU and CUDA, with gradients; every other one
imports and, when called, raises :class:`~mmweather.errors.MissingToolboxError` with its name and the way to the
compiled one.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from ..errors import MissingToolboxError

_NAME = 'mmcv._ext'


def how_to_get(op: str) -> str:
    """One line for an operator that only the compiled mmcv has."""
    return (f"mmcv's operator '{op}' is not among those that mmweather runs on torchvision's kernels; "
            'put the compiled mmcv in place of mmcv-lite: pip uninstall -y mmcv-lite && '
            "MMCV_WITH_OPS=1 pip install --no-build-isolation 'mmcv==2.1.0' (needs a C++ compiler)")


def _refuser(op: str) -> Callable[..., NoReturn]:

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise MissingToolboxError(how_to_get(op))

    refuse.__name__ = op
    return refuse


class _ExtFinder:
    """Offers ``mmcv._ext``; it is also the loader of that module."""

    def find_spec(self,
                  name: str,
                  path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, origin='mmweather.compat.mmcv_ops') if name == _NAME else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        from . import _mmcv_kernels

        for op in _mmcv_kernels.OPS:
            setattr(module, op, getattr(_mmcv_kernels, op))

        def __getattr__(op: str) -> Callable[..., NoReturn]:
            if op.startswith('_'):
                raise AttributeError(f'module {_NAME!r} has no attribute {op!r}')
            return _refuser(op)

        module.__getattr__ = __getattr__


_FINDER = _ExtFinder()


def apply() -> None:
    """Offer the stand-in wherever no compiled ``mmcv._ext`` is found."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)


def in_use() -> bool:
    """Whether ``mmcv._ext`` is the stand-in (imports mmcv, not its operators)."""
    try:
        spec = importlib.util.find_spec(_NAME)
    except ModuleNotFoundError:  # no mmcv at all
        return False
    return spec is not None and spec.loader is _FINDER
