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


INSTALL_HINTS = {
    'mmagic': "pip install 'mmweather[restore]' && pip install --no-deps mmagic==1.2.0",
    'mmcv': "pip install 'mmweather[lite]', or mmcv 2.1.0 with compiled operators",
    'mmdet': "pip install 'mmweather[detect]'",
    'mmseg': "pip install 'mmweather[segment]'",
    'ftfy': "pip install 'mmweather[segment]'",
    'regex': "pip install 'mmweather[segment]'",
    'click': "pip install 'mmweather[restore]'",
    'einops': "pip install 'mmweather[restore]'",
    'imageio': "pip install 'mmweather[restore]'",
    'requests': "pip install 'mmweather[restore]'",
    'pytorch_msssim': "pip install 'mmweather[restore]'",
    'skimage': "pip install 'mmweather[restore]'",
    'rasterio': "pip install 'mmweather[geo]'",
    'av': "pip install 'mmweather[video]'",
    'gradio': "pip install 'mmweather[web]'",
}


def missing_toolbox(what: str, error: ModuleNotFoundError) -> MissingToolboxError:
    """The error that says what needs the module which ``error`` did not find, and how to install it.

    Args:
        what: the name, command or file that needs the module, as it stands in the message.
        error: raised by the failed import.
    """
    missing = (error.name or str(error)).split('.')[0]
    hint = INSTALL_HINTS.get(missing, f'pip install {missing}')
    return MissingToolboxError(f"{what} needs '{missing}', which is not installed: {hint}")


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an :class:`MMWeatherError` as one line on stderr and exit with status 2."""
    try:
        yield
    except MMWeatherError as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(2) from None
