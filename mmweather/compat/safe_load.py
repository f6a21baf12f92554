"""Resuming MMEngine's checkpoints with PyTorch's safe default.

Fault: since PyTorch 2.6 ``torch.load`` refuses every type that is not on its list, and mmengine 0.10.7 calls it without
more: resuming fails on ``mmengine.logging.history_buffer.HistoryBuffer`` and then on the NumPy values inside.

Mend: exactly these types are put on PyTorch's list, under the names that NumPy 1 and NumPy 2 write.  ``HistoryBuffer``
also pickles references to its own methods, as calls of ``getattr``; that name is put on the list as
:func:`statistics_method`, which gives those methods and nothing else.  None of this runs code of the file; a checkpoint
with anything else is refused as before.
"""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

from ._post_import import after_import


def apply() -> None:
    """Allow the types when both PyTorch and MMEngine's log buffer are imported."""
    for name in ('torch.serialization', 'mmengine.logging.history_buffer'):
        after_import(name, _allow)


def numpy_globals() -> list[Any]:
    """What NumPy numbers and numeric arrays are rebuilt with, as ``add_safe_globals`` takes it."""
    import numpy as np
    multiarray = (getattr(np, '_core', None) or np.core).multiarray
    functions = [(getattr(multiarray, function), f'numpy.{core}.multiarray.{function}')
                 for function in ('_reconstruct', 'scalar') for core in ('core', '_core')]
    return [*functions, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in '?bhilqBHILQefd'}]


def _allow(_: ModuleType) -> None:
    serialization = sys.modules.get('torch.serialization')
    buffers = sys.modules.get('mmengine.logging.history_buffer')
    if hasattr(serialization, 'add_safe_globals') and hasattr(buffers, 'HistoryBuffer'):
        # Pickle protocol 2, which torch.save uses, spells the module of the builtins as Python 2 did.
        methods = [(statistics_method, f'{builtins}.getattr') for builtins in ('builtins', '__builtin__')]
        serialization.add_safe_globals([buffers.HistoryBuffer, *methods, *numpy_globals()])


def statistics_method(owner: Any, name: str) -> Any:
    """What ``getattr`` may be in a checkpoint: a statistics method of ``HistoryBuffer``.

    Raises:
        pickle.UnpicklingError: anything else is asked for.
    """
    buffer = sys.modules['mmengine.logging.history_buffer'].HistoryBuffer
    if owner is not buffer or name not in {'min', 'max', 'current', 'mean', *buffer._statistics_methods}:
        raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is refused: GLOBAL builtins.getattr')
    return getattr(buffer, name)
