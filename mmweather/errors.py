"""Errors that speak to the user, and the one place where a command ends.

Each message is one line: the problem, the file or key, and the fix.  :func:`one_line_errors` prints that line and exits
with status 2; Python callers can catch :class:`MMWeatherError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

from .utils.text import one_line


class MMWeatherError(Exception):
    """Base class of errors that the user can fix."""


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


DEBUG = 'MMWEATHER_DEBUG'
"""Environment variable: with any value, commands also print the traceback of an error."""
INTERNAL = 70
"""Exit status of an internal error (EX_SOFTWARE of sysexits.h)."""

_REMEDIES = {
    errno.ENOSPC: 'free space or choose another folder',
    errno.EDQUOT: 'free space or choose another folder',
    errno.EROFS: 'choose a folder that can be written',
    errno.EACCES: 'change its permissions or choose another path',
    errno.EPERM: 'change its permissions or choose another path',
    errno.EMFILE: 'raise the limit (ulimit -n) or use fewer workers',
    errno.ENFILE: 'close programs or use fewer workers',
    errno.ENAMETOOLONG: 'shorten the name of the file or of its folders',
    errno.ENOENT: 'check the path',
    errno.ENOTDIR: 'a part of the path is a file; choose another path',
    errno.EISDIR: 'it is a folder; give a file',
    errno.EEXIST: 'choose another name or remove it',
    errno.ENOTEMPTY: 'choose another name or remove it',
    errno.EFBIG: 'raise the limit of file sizes (ulimit -f) or choose another folder',
    errno.EIO: 'check the disk or the network drive',
    errno.ENOMEM: 'close programs or use fewer workers',
    errno.EADDRINUSE: 'choose another port (--port)',
}
_OUT_OF_MEMORY = ('out of memory', 'allocate memory')
_STOP_SIGNALS = ('SIGTERM', 'SIGINT', 'SIGHUP')
_GRACE = 5.0  # seconds in which a stopping process ignores further stop signals


def remedy(error: OSError) -> str:
    """Return what a reader can do about an :class:`OSError`."""
    return _REMEDIES.get(error.errno or 0, 'check the path or choose another folder')


def cannot_write(path: Any, error: OSError) -> DataError:
    """Return the error for a file or folder that cannot be written.

    Args:
        path: what was to be written.
        error: what the system said.
    """
    return DataError(f"cannot write '{path}' ({error.strerror or error}); {remedy(error)}")


def explain(error: BaseException) -> str | None:
    """Return the line for an error that the machine or the user caused, or None for an internal error."""
    if isinstance(error, MMWeatherError):
        return one_line(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or '').split('.')[0] != 'mmweather':
        return one_line(missing_toolbox('this command', error))
    if isinstance(error, OSError) and (error.errno is not None or error.filename is not None):
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
        place = f"'{names[-1]}': " if names else ''
        return one_line(f'{place}{error.strerror or error}; {remedy(error)}')
    if is_out_of_memory(error):
        return 'out of memory; use smaller tiles or batches, fewer workers, or a smaller model'
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that main or GPU memory is used up."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY))


class Stopped(KeyboardInterrupt):
    """A signal that ends the process: SIGTERM, SIGINT or SIGHUP.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _StopSignals:
    """Handlers that turn the first stop signal into :class:`Stopped`; ignored signals (``nohup``) stay ignored."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (getattr(signal, name) for name in _STOP_SIGNALS if hasattr(signal, name)):
            before = signal.getsignal(number)
            if before in (signal.SIG_DFL, signal.default_int_handler):
                self._before[number] = before
                signal.signal(number, self._handle)

    def restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _handle(self, number: int, frame: Any) -> None:
        if self.number is None:
            self.number, self._when = number, time.monotonic()
            raise Stopped(number)
        # Launchers repeat the signal.  A process that does not end in time is ended at once.
        if time.monotonic() - self._when > _GRACE:
            os._exit(128 + number)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End a command in one line on stderr, without a traceback.

    * A mistake of the user, a full disk and the like: the line of :func:`explain`, status 2.
    * SIGTERM, SIGINT, SIGHUP: ``stopped by SIGTERM`` (``interrupted``), status 128 + number of the signal.
    * The reader of a pipe has gone (``| head``): no line, status 1.
    * Anything else is an internal error: its kind and place and the file that holds the traceback, status 70.

    With ``MMWEATHER_DEBUG=1`` in the environment the traceback is printed too.  The error stays the cause of the
    :class:`SystemExit`, so that callers in Python see it.
    """
    signals = _StopSignals()
    signals.install()
    try:
        yield
        sys.stdout.flush()
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        if signals.number is None and not isinstance(error, KeyboardInterrupt):
            raise SystemExit(_report(error)) from error
        number = signals.number if signals.number is not None else int(getattr(error, 'number', signal.SIGINT))
        signals._before.clear()  # further signals are ignored until the process has ended
        _end_stopped(number)
        raise SystemExit(128 + number) from None
    finally:
        signals.restore()


def _report(error: BaseException) -> int:
    """Print the line of an error and return the exit status."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        # Without this, Python complains again when it flushes at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    line = explain(error)
    if line is not None:
        print(f'error: {line}', file=sys.stderr)
        return 2
    place = ''
    for frame in traceback.extract_tb(error.__traceback__):
        if f'{os.sep}mmweather{os.sep}' in frame.filename or not place:
            place = f'{os.path.relpath(frame.filename)}:{frame.lineno}'
    if isinstance(error, RecursionError):
        place += ', something refers to itself or is nested too deeply'
    print(f'internal error: {type(error).__name__}: {one_line(error)[:300]} ({place}); please report it'
          f'{_keep_traceback(error)}', file=sys.stderr)
    return INTERNAL


def _keep_traceback(error: BaseException) -> str:
    """Write the traceback to a temporary file; the end of the sentence that names it."""
    import tempfile

    try:
        handle, path = tempfile.mkstemp(prefix='mmweather-error-', suffix='.txt')
        with os.fdopen(handle, 'w', encoding='utf-8', errors='replace') as file:
            file.write(f'{" ".join(sys.argv)}\n')
            traceback.print_exception(error, file=file)
    except OSError:
        return f' with the traceback ({DEBUG}=1 prints it)'
    return f" with the traceback in '{path}'"


def print_stopped(number: int) -> None:
    """Print the line for a signal that ends the process: ``stopped by SIGTERM``, or ``interrupted`` for SIGINT.

    Args:
        number: of the signal.
    """
    name = signal.Signals(number).name
    print('interrupted' if name == 'SIGINT' else f'stopped by {name}', file=sys.stderr, flush=True)


def _end_stopped(number: int) -> None:
    """Print that a signal ended the command; in a group of processes the first one speaks for all."""
    if os.environ.get('RANK', '0') == '0':
        print_stopped(number)
    distributed = sys.modules.get('torch.distributed')
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        # Threads of gloo and NCCL abort a process that ends the usual way while others wait for it.
        multiprocessing = sys.modules.get('multiprocessing')
        for child in multiprocessing.active_children() if multiprocessing is not None else ():
            child.kill()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(128 + number)
