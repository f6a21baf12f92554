"""Reading thermal images without losing their counts."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError

DEPTHS = (8, 16, 32)


def _decode(path: Path) -> np.ndarray:
    if path.suffix.lower() == '.npy':
        return np.load(path, allow_pickle=False)
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.mode.startswith('I;16') or (image.mode == 'I' and image.format in ('PNG', 'PPM')):
                return np.asarray(image).astype(np.uint16)
            if image.mode == 'F':
                return np.asarray(image)
            if image.mode == 'I':
                return np.asarray(image).astype(np.float32)
            if image.mode == 'P':
                raise ValueError('it has a colour palette: store the counts themselves')
            array = np.asarray(image.convert('L') if image.mode in ('1', 'LA') else image)
    if array.ndim == 3 and array.shape[2] >= 3:
        if not (array[..., :1] == array[..., :3]).all():
            raise ValueError('it is a colour picture: store one channel')
        array = array[..., 0]
    return array


def read_thermal(path: str | Path, depth: int | None = None) -> np.ndarray:
    """Read a thermal image as it is stored.

    Args:
        path: a picture of one channel (or of three equal ones) with 8 or 16 bits a value, a 32-bit TIFF, or a ``.npy``
            array.
        depth: bits a value that the file must have: 8, 16 or 32 (floating point); None takes any.

    Returns:
        float32 array (H, W): counts in [0, 255] or [0, 65535], or the stored numbers.

    Raises:
        DataError: the file is missing, unreadable, coloured, of another depth, or holds NaN or infinite values.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no such thermal image: '{path}'; check the path, or add the missing partner")
    try:
        array = _decode(path)
    except Exception as error:  # noqa: BLE001  decoders raise OSError, SyntaxError, struct.error, EOFError, ...
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise DataError(f"thermal image '{path}' cannot be used ({reason}); copy it again, or list it in a quarantine "
                        'file') from error
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or not array.size or array.dtype.kind not in 'uif':
        raise DataError(f"thermal image '{path}' has shape {array.shape} of {array.dtype}; store one channel")
    found = {'uint8': 8, 'uint16': 16}.get(array.dtype.name, 32)
    if depth is not None and found != depth:
        raise DataError(f"thermal image '{path}' has {found} bits a value, {depth} are wanted: give the raw counts, or "
                        f'set depth={found} in LoadRGBThermal and thermal_range in the preprocessor to match')
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise DataError(f"thermal image '{path}' holds {count} value(s) that are NaN or infinite; replace them with "
                        'the lowest count, or leave the frame out')
    return array.astype(np.float32)
