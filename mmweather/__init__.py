"""mmweather: clear sight in rain, fog, dust, night and cloud, as parts of the OpenMMLab ecosystem.

Importing this package is cheap on purpose: torch and the toolboxes are imported when a name is used.
"""

from __future__ import annotations

import importlib
from typing import Any

from .version import __version__

_LAZY = {
    'from_official': 'mmweather.apis.adapters',
    'published_forward': 'mmweather.apis.adapters',
    'list_models': 'mmweather.apis.hub',
    'get_model': 'mmweather.apis.hub',
    'Inferencer': 'mmweather.apis.inferencer',
    'restore_image': 'mmweather.apis.restore',
    'restore_geotiff': 'mmweather.apis.scenes.geotiff',
}

__all__ = ['__version__', *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mmweather' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
