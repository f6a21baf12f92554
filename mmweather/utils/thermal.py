"""Reading thermal images without losing their counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from .files import read_npy
from .images import open_picture
from .text import plural, reason

DEPTHS = (8, 16, 32)
LARGEST = 2**24
"""Maximum count: float32 keeps every whole number up to here."""


def _decode(path: Path) -> np.ndarray:
    if path.suffix.lower() == '.npy':
        return read_npy(path)
    with open_picture(path) as image:
        image.load()
        if image.mode.startswith('I;16') or (image.mode == 'I' and image.format in ('PNG', 'PPM')):
            return np.asarray(image).astype(np.uint16)
        if image.mode in ('I', 'F'):
            return np.asarray(image)
        if image.mode == 'P':
            raise ValueError('it has a colour palette: store the counts themselves')
        array = np.asarray(image.convert('L') if image.mode in ('1', 'LA') else image)
    if array.ndim == 3 and array.shape[2] >= 3:
        if not (array[..., :1] == array[..., :3]).all():
            raise ValueError('it is a colour picture: store one channel')
        array = array[..., 0]
    return array


def read_thermal(path: str | Path, depth: int | None = None) -> np.ndarray:
    """Read a thermal image as floating-point numbers; see :func:`read_counts`.

    Returns:
        float32 array (H, W): counts in [0, 255] or [0, 65535], or the stored numbers.
    """
    return read_counts(path, depth).astype(np.float32)


def depth_of(array: np.ndarray) -> int:
    """Return the bits a value of counts: 8, 16, or 32 for other numbers."""
    return {'uint8': 8, 'uint16': 16}.get(array.dtype.name, 32)


def read_counts(path: str | Path, depth: int | None = None) -> np.ndarray:
    """Read a thermal image as it is stored.

    Args:
        path: a picture of one channel (or of three equal ones) with 8 or 16 bits a value, a 32-bit TIFF, or a ``.npy``
            array.
        depth: bits a value that the file must have: 8, 16 or 32 (floating point); None takes any.

    Returns:
        Array (H, W) of the type in the file: uint8, uint16, or other numbers.

    Raises:
        DataError: the file is missing, unreadable, coloured, of another depth, or holds NaN, infinite or huge
            values.
    """
    path = Path(path)
    try:
        array = _decode(path)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"no such thermal image: '{path}'; check the path, or add the missing partner") from None
    except Exception as error:  # noqa: BLE001  decoders raise OSError, SyntaxError, struct.error, EOFError, ...
        raise DataError(f"thermal image '{path}' cannot be used ({reason(error)}); copy it again, or list it in "
                        'a quarantine file') from error
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or not array.size or array.dtype.kind not in 'uif':
        raise DataError(f"thermal image '{path}' has shape {array.shape} of {array.dtype}; store one channel")
    found = depth_of(array)
    if depth is not None and found != depth:
        raise DataError(f"thermal image '{path}' has {found} bits a value, {depth} are wanted: give the raw counts, or "
                        f'set depth={found} in LoadRGBThermal and thermal_range in the preprocessor to match')
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise DataError(f"thermal image '{path}' holds {plural(count, 'NaN or infinite value')}; replace them with "
                        'the lowest count, or leave the frame out')
    check_counts(array, f"thermal image '{path}'")
    return array


def check_counts(array: np.ndarray, what: str) -> None:
    """Refuse numbers that are beyond thermal counts, or that float32 cannot keep.

    Args:
        array: finite numbers.
        what: the image, for the message.

    Raises:
        DataError: one is above :data:`LARGEST` or below its negative.
    """
    low, high = array.min(), array.max()
    if high > LARGEST or low < -LARGEST:
        raise DataError(f'{what} holds numbers from {low:g} to {high:g}; counts beyond {LARGEST} are not thermal '
                        'counts: store the raw counts, or temperatures')
