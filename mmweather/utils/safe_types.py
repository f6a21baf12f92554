"""Types that a checkpoint may hold beside tensors, rebuilt from checked data.

PyTorch's list of safe types is a list of callables: a file may call every name on it with arguments of its choice. A
forged ``numpy.ndarray((4,), numpy.dtype('O'), b'...')`` makes object pointers out of bytes. So none of NumPy's or
MMEngine's own names is put on the list. Each is replaced by a stand-in of this module, which takes exactly what
``pickle`` writes for real numbers and refuses everything else.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

_NUMBERS = frozenset('biuf')
_CORES = ('numpy.core.multiarray', 'numpy._core.multiarray')
# Pickle protocol 2, which torch.save uses, spells the module of the builtins as Python 2 did.
_BUILTINS = ('builtins', '__builtin__')


class Refused(Exception):
    """Data of a checkpoint that no honest program writes; the message completes ``FILE: refused, ...``."""


class DType:
    """Stand-in for ``numpy.dtype``: numbers and truth values only."""

    def __init__(self, code: Any = None, align: Any = False, copy: Any = True) -> None:
        try:
            found = np.dtype(code) if isinstance(code, str) and len(code) <= 4 else None
        except TypeError:
            found = None
        if found is None or found.kind not in _NUMBERS or found.hasobject or found.names:
            raise Refused(f'it holds a NumPy array of type {str(code)[:20]!r}, which is not numeric')
        self.dtype = found

    def __setstate__(self, state: Any) -> None:
        # version, byte order, then subarray, names and fields, which a plain number has not.
        if not (isinstance(state, tuple) and 5 <= len(state) <= 9 and state[1] in ('<', '>', '|', '=')
                and state[2:5] == (None, None, None)):
            raise Refused('it holds a structured NumPy type')
        self.dtype = self.dtype.newbyteorder(state[1]) if state[1] in '<>' else self.dtype


class Array:
    """Stand-in for ``numpy.ndarray``; :func:`rebuilt` gives the array."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Array:
        if args or kwargs:
            raise Refused('it builds a NumPy array over memory of its choice')
        return super().__new__(cls)

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise Refused('it holds a forged NumPy array')
        _, shape, dtype, fortran, data = state
        if not (isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape) and len(shape) <= 32
                and isinstance(dtype, DType) and isinstance(data, bytes)):
            raise Refused('it holds a forged NumPy array')
        if math.prod(shape) * dtype.dtype.itemsize != len(data):
            raise Refused(f'it holds a NumPy array of shape {shape} in {len(data)} bytes')
        flat = np.frombuffer(data, dtype.dtype) if data else np.zeros(0, dtype.dtype)
        self.array = flat.reshape(shape, order='F' if fortran else 'C').copy()


def rebuilt(stand_in: Array) -> np.ndarray:
    """Return the array of a stand-in.

    Raises:
        Refused: the file made an array and gave it no content.
    """
    if stand_in.array is None:
        raise Refused('it holds a NumPy array without content')
    return stand_in.array


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    if kind is not Array or shape != (0, ) or code not in (b'b', 'b'):
        raise Refused('it holds a forged NumPy array')
    return Array()


def _scalar(dtype: Any, data: Any = None) -> Any:
    if not (isinstance(dtype, DType) and isinstance(data, bytes) and len(data) == dtype.dtype.itemsize):
        raise Refused('it holds a forged NumPy number')
    return np.frombuffer(data, dtype.dtype)[0]


def _no_bytes(*arguments: Any) -> bytes:
    """Stand-in for ``bytes``, by which pickle writes that there are none."""
    if arguments:
        raise Refused('it makes bytes by a call')
    return b''


class _Method:
    """A statistics method of a log as the file names it; the real ones come from the class."""


@functools.cache
def _log() -> type:
    """The stand-in for MMEngine's ``HistoryBuffer``; an object of it becomes a real one when its state is set."""
    from mmengine.logging.history_buffer import HistoryBuffer

    class Log(HistoryBuffer):

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            if args or kwargs:
                raise Refused('it calls HistoryBuffer with values of its choice')
            return super().__new__(cls)

        def __setstate__(self, state: Any) -> None:
            values = state if isinstance(state, dict) else {}
            histories: list[Any] = [values.get(f'_{name}_history') for name in ('log', 'count')]
            length = values.get('max_length')
            if not all(isinstance(item, Array) for item in histories) or type(length) is not int or length < 1:
                raise Refused('it holds a forged HistoryBuffer')
            logs, counts = map(rebuilt, histories)
            if logs.ndim != 1 or logs.shape != counts.shape:
                raise Refused('it holds a HistoryBuffer whose values and counts differ in number')
            self._set_default_statistics()
            self.max_length, self._log_history, self._count_history = length, logs, counts
            self.__class__ = HistoryBuffer

    return Log


def _statistics_method(owner: Any, name: Any) -> _Method:
    """What ``getattr`` may be in a checkpoint: the name of a statistics method of a log."""
    if owner is not _log() or not isinstance(name, str) or name not in {
            'min', 'max', 'current', 'mean', *getattr(owner, '_statistics_methods', ())}:
        raise Refused(f"it holds code ('builtins.getattr' of {str(name)[:40]!r})")
    return _Method()


@functools.cache
def stand_ins() -> dict[str, Any]:
    """Return every stand-in by the name that a checkpoint uses."""
    return {
        'numpy.ndarray': Array, 'numpy.dtype': DType,
        **{f'{core}._reconstruct': _reconstruct for core in _CORES},
        **{f'{core}.scalar': _scalar for core in _CORES},
        'mmengine.logging.history_buffer.HistoryBuffer': _log(),
        **{f'{module}.getattr': _statistics_method for module in _BUILTINS},
        **{f'{module}.bytes': _no_bytes for module in _BUILTINS},
    }
