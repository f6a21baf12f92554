"""How many pixels a picture may have.

A file of a few hundred kilobytes can unpack into gigabytes. GeoTIFF scenes that are restored in windows are exempt.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError, DataError

MAX_PIXELS = 128_000_000
"""Maximum unless :func:`limit_pixels` or ``MMWEATHER_MAX_PIXELS`` says otherwise."""
_LIMIT_VARIABLE = 'MMWEATHER_MAX_PIXELS'


def pixel_limit() -> int | None:
    """Return the maximum number of pixels of a picture; None for no limit. See :func:`limit_pixels`.

    Raises:
        ConfigError: the environment variable ``MMWEATHER_MAX_PIXELS`` is not a number.
    """
    text = os.environ.get(_LIMIT_VARIABLE, '')
    try:
        return parse_pixels(text) if text else MAX_PIXELS
    except ValueError as error:
        raise ConfigError(f'{_LIMIT_VARIABLE}: {error}') from None


def parse_pixels(text: str) -> int | None:
    """Read a limit of pixels from text: a number above 0 such as ``200000000`` or ``2e8``, or ``none``.

    Raises:
        ValueError: it is neither.
    """
    if text.strip().lower() == 'none':
        return None
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise ValueError(f"give a number of pixels, such as 2e8, or none, not '{text}'")
    return value


@contextlib.contextmanager
def limit_pixels(limit: int | None) -> Iterator[None]:
    """Set how many pixels a picture may have, in this process and in those that it starts meanwhile.

    Without it, the environment variable ``MMWEATHER_MAX_PIXELS`` holds, or :data:`MAX_PIXELS`.

    Args:
        limit: width times height; None lifts the limit.
    """
    before = os.environ.get(_LIMIT_VARIABLE)
    os.environ[_LIMIT_VARIABLE] = 'none' if limit is None else str(limit)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_LIMIT_VARIABLE, None)
        else:
            os.environ[_LIMIT_VARIABLE] = before


def check_pixels(path: str | Path, width: int, height: int, what: str = 'image') -> None:
    """Refuse a picture of more pixels than :func:`pixel_limit`.

    Raises:
        DataError: it has more; the message names its size, the limit and the option that lifts it.
    """
    limit = pixel_limit()
    if limit is not None and width * height > limit:
        raise DataError(f"{what} '{path}' has {width}x{height} = {width * height / 1e6:.3g} megapixels, above the "
                        f'limit of {limit / 1e6:.3g}; cut it into tiles, or lift the limit (--max-pixels '
                        f'{width * height}, or {_LIMIT_VARIABLE})')
