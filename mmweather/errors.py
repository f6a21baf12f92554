"""Errors that speak to the user.

Each message is one line: what is wrong, in which file or key, and the mend.  The command line and the
tools print that line and exit with status 2; Python callers can catch :class:`MMWeatherError`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


class MMWeatherError(Exception):
    """Base of every error that a user can mend."""


class DataError(MMWeatherError, ValueError):
    """A file, a folder or an array is unreadable, unpaired, mismatched or empty."""


class ConfigError(MMWeatherError, ValueError):
    """A config key is misspelt, missing or has a value that cannot work."""


class CheckpointError(MMWeatherError, ValueError):
    """A checkpoint belongs to another network, is broken, or holds code."""


class NonFiniteLossError(MMWeatherError, FloatingPointError):
    """A loss became NaN or infinite."""


class MissingToolboxError(MMWeatherError, ImportError):
    """An optional toolbox (mmagic, mmdet, mmseg, ...) is needed and not installed."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an :class:`MMWeatherError` as one line on stderr and exit with status 2."""
    try:
        yield
    except MMWeatherError as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(2) from None
