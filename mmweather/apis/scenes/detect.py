"""Telling scenes from pictures without rasterio."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from ...utils.files import open_regular

# TIFF tags.
_BITS, _SAMPLES, _FORMAT = 258, 277, 339
# Pixel scale, tie points, matrix, GeoKeys.
_GEO = (33550, 33922, 34264, 34735)


def is_tiff(path: Path) -> bool:
    """Whether the name ends like a TIFF's."""
    return path.suffix.lower() in ('.tif', '.tiff')


def is_scene(path: Path) -> bool:
    """Whether a file is a TIFF with coordinates (its own or a world file's), or with numbers that no picture has.

    Pictures have 8 or 16 bits without sign and one to four bands, alpha counted.
    """
    if not is_tiff(path):
        return False
    if path.with_suffix('.tfw').exists():
        return True
    try:
        tags = _tags(path)
    except Exception:  # noqa: BLE001  a damaged file, which the reader of pictures names
        return False
    bits = tags.get(_BITS, (1, ))
    bits = bits if isinstance(bits, tuple) else (bits, )
    kind = tags.get(_FORMAT, (1, ))
    kind = kind if isinstance(kind, tuple) else (kind, )
    return bool(any(tag in tags for tag in _GEO) or tags.get(_SAMPLES, 1) > 4 or max(bits) > 16 or set(kind) != {1})


def _tags(path: Path) -> Any:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with open_regular(path) as file:
        header = file.read(8)
        if header[2:3] == b'\x2b' or header[3:4] == b'\x2b':  # BigTIFF
            header += file.read(8)
        directory = ImageFileDirectory_v2(header)
        if not directory.next:
            raise struct.error('no directory')
        file.seek(directory.next)
        directory.load(file)
        return dict(directory)
