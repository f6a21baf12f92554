"""Strict reading and atomic writing of images.

A picture that cannot be decoded to the last row raises instead of yielding grey blocks, and the stored
orientation is applied, so that two files of one scene always line up.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from ..errors import ConfigError, DataError
from .atomic import write_bytes
from .files import open_regular, read_bytes
from .pixels import check_pixels, pixel_limit
from .text import one_line

IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')
"""Endings, in lower case, that count as pictures; compare case-insensitively."""

_MODES = ('rgb', 'grey3')
_EXIF_ORIENTATION = 0x0112
_EXIF_DESCRIPTION = 0x010E
_PNG_NOTE = 'Description'
_ORIENT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
_PILLOW_PIXELS = Image.MAX_IMAGE_PIXELS or 0


def is_image_file(path: str | Path) -> bool:
    """Whether the name ends like a picture's and is not hidden (``._000.jpg`` of some file systems)."""
    path = Path(path)
    return path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith('.')


class _StrictPillow:
    """Guard of Pillow's process-wide switches while a picture is read, in any number of threads.

    Other libraries switch ``LOAD_TRUNCATED_IMAGES`` on; then Pillow fills missing rows with grey. Pillow's own limit of
    pixels stays, unless the package's is above it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._kept: tuple[bool, int | None] = (False, None)

    @contextlib.contextmanager
    def __call__(self, lift: bool) -> Iterator[None]:
        """Forbid truncated pictures meanwhile; ``lift`` Pillow's limit."""
        with self._lock:
            if not self._inside:
                self._kept = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            if lift:
                Image.MAX_IMAGE_PIXELS = None
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = self._kept

    def reset(self) -> None:
        """Start anew in a forked child, whose other threads are gone."""
        self._lock = threading.Lock()
        if self._inside:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = self._kept
            self._inside = 0


_strict = _StrictPillow()
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_strict.reset)


@contextlib.contextmanager
def open_picture(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture with Pillow; every reader of the package does it here.

    It must be a regular file within :func:`~mmweather.utils.pixels.pixel_limit`, and loading it raises where the file
    is cut short, whatever another library has set. Warnings are silenced.

    Yields:
        The picture; no pixel is read yet.

    Raises:
        DataError: it has too many pixels.
        OSError: it is not a regular file or not a picture, see :func:`~mmweather.utils.files.open_regular`.
    """
    limit = pixel_limit()
    with open_regular(path) as file, warnings.catch_warnings():
        # Damaged EXIF warns, and so does Pillow between one and two times its limit; neither harms the pixels.
        warnings.simplefilter('ignore')
        try:
            with _strict(lift=limit is None or limit > 2 * _PILLOW_PIXELS), Image.open(file) as image:
                check_pixels(path, *image.size)
                yield image
        except Image.DecompressionBombError:
            file.seek(0)
            with _strict(lift=True), Image.open(file) as image:
                size = image.size
            check_pixels(path, *size)
            raise


def _to_8_bit(array: np.ndarray) -> np.ndarray:
    """uint16 of full range to uint8: v / 257, rounded, so 0 -> 0 and 65535 -> 255."""
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _has_16_bit_colour(image: Image.Image) -> bool:
    # Pillow has no mode for these and would drop the low byte.
    if image.mode not in ('RGB', 'RGBA', 'LA', 'RGBX'):
        return False
    for tile in getattr(image, 'tile', ()):
        raw = tile[3][0] if isinstance(tile[3], tuple) else tile[3]
        if isinstance(raw, str) and ';16' in raw:
            return True
    return False


def _decode_16_bit_colour(path: Path, image: Image.Image) -> np.ndarray:
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    image.load()  # raises where the file is cut; OpenCV would not
    array = cv2.imdecode(np.frombuffer(read_bytes(path), np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError('16-bit colour could not be decoded')
    if array.dtype == np.uint16:
        array = _to_8_bit(array)
    array = array[..., None] if array.ndim == 2 else array
    # IMREAD_UNCHANGED gives B, G, R[, A]; two and one channels are grey[, alpha].
    array = array[..., 2::-1] if array.shape[2] >= 3 else np.repeat(array[..., :1], 3, axis=2)
    return _ORIENT.get(orientation, lambda a: a)(array)


def _decode(path: Path) -> np.ndarray:
    """uint8 array, HW (grey) or HWC (RGB)."""
    with open_picture(path) as file:
        if _has_16_bit_colour(file):
            return _decode_16_bit_colour(path, file)
        file.load()
        # The turned copy has no format any more.
        sixteen = file.mode.startswith('I;16') or (file.mode == 'I' and file.format in ('PNG', 'PPM'))
        image: Image.Image = ImageOps.exif_transpose(file)
        if sixteen:
            return _to_8_bit(np.asarray(image).astype(np.uint16))
        if image.mode in ('I', 'F'):
            raise ValueError(f'32 bits a value (mode {image.mode}) have no fixed range: store 8 or 16 bits')
        if image.mode in ('1', 'L', 'LA', 'La'):
            return np.array(image.convert('L'))
        return np.array(image.convert('RGB'))


def _luma(rgb: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(np.ascontiguousarray(rgb)).convert('L'))


@contextlib.contextmanager
def _reasons(path: str | Path) -> Iterator[None]:
    """What goes wrong when a picture is read, as one line."""
    try:
        yield
    except (DataError, ConfigError):
        raise
    except FileNotFoundError as error:
        if os.path.islink(path):
            raise DataError(f"image '{path}' cannot be opened ({error.strerror}); restore the file or remove the "
                            'link') from None
        raise DataError(f"no such image: '{path}'; check the path (or data_root and data_prefix)") from None
    except Image.UnidentifiedImageError:
        with contextlib.suppress(OSError):
            if not os.path.getsize(path):
                raise DataError(f"image '{path}' is empty (0 bytes); copy or download it again") from None
        raise DataError(f"'{path}' is not an image that can be decoded; replace it or move it away") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError, ...
        if isinstance(error, OSError) and error.filename is not None:
            raise DataError(f"image '{path}' cannot be opened ({error.strerror}); check what it is and its "
                            'permissions') from error
        raise DataError(
            f"image '{path}' is damaged or unsupported ({one_line(error)}); copy it again, or list it in a quarantine "
            f'file (mmweather check --quarantine)') from error


def read_image(path: str | Path, mode: str = 'rgb') -> np.ndarray:
    """Read one picture.

    * The EXIF orientation is applied.
    * 16 bits a value become 8 by ``round(v / 257)`` (full range, nothing is clipped or stretched).
    * Grey becomes three equal channels; palette and CMYK become RGB.
    * Alpha is ignored: the colour channels are returned as stored, not composited.
    * Of an animation the first frame is read.

    Args:
        path: the file.
        mode: ``'rgb'``, or ``'grey3'`` for infrared: colour is reduced to BT.601 luma (Pillow's ``L``), and the one
            channel is repeated three times.

    Returns:
        uint8 array (H, W, 3), RGB, C-contiguous and writable.

    Raises:
        DataError: the file is missing, not a regular file, empty, cut short, not a picture, has more pixels than
            :func:`~mmweather.utils.pixels.pixel_limit`, or 32 bits a value.
        ValueError: ``mode`` is unknown.
    """
    if mode not in _MODES:
        raise ValueError(f'mode must be one of {_MODES}, got {mode!r}')
    path = Path(path)
    with _reasons(path):
        array = _decode(path)
    if mode == 'grey3' and array.ndim == 3:
        array = _luma(array)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return np.require(array, requirements=['C', 'W'])


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture as :func:`read_image` would give it, from the head of the file.

    Raises:
        DataError: the file is missing, not a regular file or not a picture, or has too many pixels.
    """
    with _reasons(path), open_picture(path) as image:
        width, height = image.size
        # Pillow decodes a whole PNG to look for EXIF behind the pixels, where nobody writes it.
        exif = image.format != 'PNG' or 'exif' in image.info or 'Raw profile type exif' in image.info
        turned = exif and image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return (width, height) if turned else (height, width)


def encode_image(array: np.ndarray, extension: str = '.png', quality: int = 95, note: str = '') -> bytes:
    """Encode a picture.

    Args:
        array: uint8, (H, W), (H, W, 1) or (H, W, 3) RGB.
        extension: chooses the format.
        quality: of JPEG and WebP, 1 to 100.
        note: ASCII text kept in the file (see :func:`read_note`); BMP and PPM have no place for it.

    Raises:
        DataError: the array is not such a picture, or the ending is unknown.
    """
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise DataError(
            f'a picture must be a uint8 array (H, W) or (H, W, 3), got {array.dtype} {array.shape}; '
            'scale to 0..255, round and cast before writing')
    registered = Image.registered_extensions()
    kind = registered.get(extension.lower())
    if kind is None or extension.lower() not in IMAGE_EXTENSIONS:
        raise DataError(f"cannot write images ending in '{extension}'; use one of {', '.join(IMAGE_EXTENSIONS)}")
    options: dict[str, Any] = {'quality': quality} if kind in ('JPEG', 'WEBP') else {}
    if note and kind == 'PNG':
        options['pnginfo'] = PngInfo()
        options['pnginfo'].add_text(_PNG_NOTE, note)
    elif note and kind in ('JPEG', 'WEBP', 'TIFF'):
        options['exif'] = Image.Exif()
        options['exif'][_EXIF_DESCRIPTION] = note
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format=kind, **options)
    return buffer.getvalue()


def read_note(path: str | Path) -> str:
    """The note that :func:`encode_image` put into a file: PNG text ``Description``, EXIF image description elsewhere.

    Returns:
        The note; empty where there is none, or no picture.
    """
    try:
        with open_picture(path) as image:
            return str(image.info.get(_PNG_NOTE) or image.getexif().get(_EXIF_DESCRIPTION) or '')
    except (OSError, SyntaxError, ValueError):
        return ''


def write_image(path: str | Path, array: np.ndarray, quality: int = 95) -> Path:
    """Write a picture atomically; a path without a picture's ending gets ``.png``.

    Args:
        path: where to; missing folders are created.
        array: uint8, (H, W) or (H, W, 3) RGB.
        quality: of JPEG and WebP.

    Returns:
        The path written.

    Raises:
        DataError: the array is not a picture, or the file cannot be written.
    """
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix('.png')
    data = encode_image(array, path.suffix, quality)
    try:
        return write_bytes(path, data)
    except OSError as error:
        remedy = 'shorten the name of the input' if error.errno == errno.ENAMETOOLONG else 'choose another folder'
        raise DataError(f"cannot write '{path}' ({error.strerror}); {remedy}") from error
