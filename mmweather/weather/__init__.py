"""Weather on arrays, and the mini world that the data sets of demo and tests are drawn from.

:func:`apply_weather` adds weather of a severity to any colour picture; :data:`SEVERITIES` says what a severity means.
"""

from __future__ import annotations

import importlib
from typing import Any

_LAZY = {
    'SEVERITIES': 'severity',
    'WEATHERS': 'severity',
    'apply_weather': 'apply',
    'apply_fog': 'apply',
    'apply_rain': 'apply',
    'apply_night': 'apply',
    'apply_dust': 'apply',
    'apply_cloud': 'apply',
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f'{__name__}.{_LAZY[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted(__all__)
