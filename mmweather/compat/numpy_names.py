"""Names that NumPy dropped and the frozen releases still use.

Fault: ``mmagic.utils.trans_utils`` reads ``numpy.bool8``, which NumPy 2 removed, so nothing of mmagic imports.  The
only other dropped name in mmcv-lite 2.1.0, mmdet 3.3.0, mmsegmentation 1.2.2 and mmagic 1.2.0 is ``numpy.float`` (the
builtin ``float``, removed in NumPy 1.24), in mmdet's YouTube-VIS evaluation and in ``mmcv.ops.pixel_group``.

Fix: NumPy is given those of the two that it lacks.  NumPy 1.26 keeps its own ``bool8``.
"""

from __future__ import annotations

import warnings
from types import ModuleType

from ._post_import import after_import

NAMES = ('bool8', 'float')


def apply() -> None:
    """Add the dropped names when NumPy is imported."""
    after_import('numpy', add_dropped_names)


def add_dropped_names(numpy: ModuleType) -> None:
    """Give ``numpy`` the names of :data:`NAMES` that it lacks."""
    values = {'bool8': numpy.bool_, 'float': float}
    for name in NAMES:
        with warnings.catch_warnings():
            # Asking for a name on its way out makes NumPy warn.
            warnings.simplefilter('ignore')
            present = hasattr(numpy, name)
        if not present:
            setattr(numpy, name, values[name])
