"""Reading files that others made: regular files only, JSON without surprises, numbers that are finite.

A name says nothing about what is behind it. Opening a named pipe waits forever and reading ``/dev/zero`` never ends, so
every reader of the package opens files here, or checks them here before a library opens them by name.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import IO, Any, NoReturn

from .text import one_line

_KINDS = (
    (stat.S_ISDIR, 'a folder'),
    (stat.S_ISFIFO, 'a named pipe'),
    (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISCHR, 'a device'),
    (stat.S_ISBLK, 'a device'),
)


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), 'a special file')


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file for reading, in binary mode.

    The check is made on the open file, so nothing can be exchanged in between, and opening never waits.

    Args:
        path: the file; links are followed.

    Raises:
        FileNotFoundError: there is no such file, or it is a link to a missing one.
        OSError: it is not a regular file, or cannot be opened; ``strerror`` says why.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    except FileNotFoundError:
        if os.path.islink(path):
            raise FileNotFoundError(errno.ENOENT, 'it is a link to a missing file', str(path)) from None
        raise
    except OSError:  # a socket cannot be opened at all
        mode = 0
        with contextlib.suppress(OSError):
            mode = os.stat(path).st_mode
        if mode and not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f'it is {_kind(mode)}, not a regular file', str(path)) from None
        raise
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f'it is {_kind(mode)}, not a regular file', str(path))
        return os.fdopen(handle, 'rb')
    except BaseException:
        os.close(handle)
        raise


def check_regular(path: str | os.PathLike[str]) -> int:
    """Check a file that a library will open by its name.

    Returns:
        Its size in bytes.

    Raises:
        OSError: see :func:`open_regular`.
    """
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Content of a regular file.

    Raises:
        OSError: see :func:`open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | os.PathLike[str]) -> str:
    """Content of a regular file of UTF-8 text, without a byte-order mark.

    Raises:
        OSError: see :func:`open_regular`.
        UnicodeDecodeError: it is not UTF-8; a ``ValueError``.
    """
    return read_bytes(path).decode('utf-8-sig')


def _refuse(text: str) -> NoReturn:
    raise ValueError(f'{text} is not a JSON number')


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:32])


def parse_json(text: str) -> Any:
    """Parse JSON as the standard has it.

    Raises:
        ValueError: it is not JSON, nested too deeply, or holds NaN, Infinity or a number beyond floating point.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError('nested too deeply') from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file; see :func:`parse_json`.

    Raises:
        OSError: see :func:`open_regular`.
        ValueError: it is not UTF-8, or see :func:`parse_json`.
    """
    return parse_json(read_text(path))


def finite_number(value: Any) -> float:
    """A number of an annotation.

    Args:
        value: a number, or text that states one.

    Raises:
        ValueError: it is not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f'{str(value)[:32]!r} is not a number')
    try:
        number = float(value)
    except (OverflowError, ValueError):
        raise ValueError(f'{str(value)[:32]!r} is not a number') from None
    if not math.isfinite(number):
        raise ValueError(f'{str(value)[:32]} is not a finite number')
    return number


def stays_below(name: str) -> bool:
    """Whether a name in an annotation stays below the folder that it is relative to; links are not looked at."""
    path = Path(name.replace('\\', '/'))
    return bool(path.parts) and not path.is_absolute() and '..' not in path.parts and '\0' not in name


def read_npy(path: str | os.PathLike[str]) -> Any:
    """Read one array from a ``.npy`` file; nothing in the file is run.

    Returns:
        The array.

    Raises:
        OSError: see :func:`open_regular`.
        ValueError: it is not a ``.npy`` file (but ``.npz``, say), is cut short, or holds objects.
    """
    import numpy as np
    from numpy.lib import format as npy

    with open_regular(path) as file:
        if file.read(4) == b'PK\x03\x04':
            raise ValueError('it is a .npz archive of arrays, not a .npy file')
        file.seek(0)
        version = npy.read_magic(file)
        head = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            shape, _, dtype = head(file)
        except Exception as error:  # the header is read by Python's own parser, which raises many kinds
            raise ValueError(f"its header cannot be read ({one_line(error)[:80]})") from None
        if math.prod(shape) * dtype.itemsize > os.fstat(file.fileno()).st_size - file.tell():
            raise ValueError('it is cut short')
        file.seek(0)
        return np.asarray(npy.read_array(file, allow_pickle=False))
