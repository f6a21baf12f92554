"""Files that are either whole or absent, never half written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LEFTOVER = re.compile(r'\..+\.([0-9a-f]{8})-(\d+)-(\d+)-\d+\.part')
_DAY = 86400.0
_count = 0


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write ``data`` to ``path``: a reader sees the old file or the new one, also after a crash.

    The folder is created if needed.  See :func:`unnamed_file` for what a killed process leaves.

    Returns:
        The path written.

    Raises:
        OSError: the folder cannot be created or written; it carries the path.
    """
    path = Path(path)
    try:
        with unnamed_file(path) as name, open(name, 'wb') as file:
            file.write(data)
    except OSError as error:
        raise _with_name(error, path) from None
    return path


def write_json(path: str | Path, value: Any) -> Path:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    return write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + '\n').encode())


@contextlib.contextmanager
def unnamed_file(path: str | Path) -> Iterator[str]:
    """A file to write by name that becomes ``path`` when the block ends well, and is gone otherwise.

    Where the system can, the file has no name in any folder until then, so a process that is killed leaves nothing;
    elsewhere it leaves a hidden ``.part`` beside ``path`` (see :func:`remove_leftovers`).

    Yields:
        A name for it, to be opened for writing.

    Raises:
        OSError: the folder cannot be created or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _open_unnamed(path.parent)
    temporary = temporary_name(path)
    if handle is not None:
        try:
            yield f'/proc/self/fd/{handle}'
            os.fsync(handle)
            # With a folder's descriptor, Python calls linkat, which follows the link to the open file.
            try:
                os.link(f'/proc/self/fd/{handle}', path, src_dir_fd=handle)
            except FileExistsError:  # a link cannot replace a file; a renaming can
                with _removed_on_error(temporary):
                    os.link(f'/proc/self/fd/{handle}', temporary, src_dir_fd=handle)
                    os.replace(temporary, path)
        finally:
            os.close(handle)
        return
    with _removed_on_error(temporary):
        # 0o666: the mode that open() gives, under the process's mask.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        yield str(temporary)
        handle = os.open(temporary, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _open_unnamed(folder: Path) -> int | None:
    flag = getattr(os, 'O_TMPFILE', None)
    if flag is None or not os.path.isdir('/proc/self/fd'):
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError:  # the file system cannot; a folder that cannot be written is reported by what is tried next
        return None


def _with_name(error: OSError, path: Path) -> OSError:
    """The error with ``path`` in it instead of the name of a temporary file."""
    return type(error)(error.errno, error.strerror, str(path)) if error.errno else error


# Leftovers --------------------------------------------------------------------------------------------------------


def temporary_name(path: Path) -> Path:
    """Return a hidden name beside ``path``, for a file or folder in the making, that says which process makes it."""
    global _count
    _count += 1
    owner = f'{_host()}-{os.getpid()}-{_start_of(os.getpid())}-{_count}'
    # A name has 255 bytes at most.
    stem = os.fsdecode(os.fsencode(path.name)[:180])
    return path.with_name(f'.{stem}.{owner}.part')


def remove_leftovers(folder: str | Path, deep: bool = True) -> list[Path]:
    """Remove what killed processes have left unfinished; what a live process is making stays.

    Args:
        folder: where to look.
        deep: also look in the folders in it.

    Returns:
        What was removed.
    """
    folder = Path(folder)
    found = folder.rglob('.*.part') if deep else folder.glob('.*.part')
    removed = []
    for path in list(found):
        match = _LEFTOVER.fullmatch(path.name)
        if match is None or not _is_dead(path, match[1], int(match[2]), int(match[3])):
            continue
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(path.lstat().st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(path)
    return removed


def _is_dead(path: Path, host: str, process: int, start: int) -> bool:
    if host != _host():  # on a shared drive: nothing is known of that process
        with contextlib.suppress(OSError):
            return time.time() - path.lstat().st_mtime > _DAY
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return _start_of(process) != start


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _start_of(process: int) -> int:
    """When a process began, in ticks since the start of the machine; 0 where the system does not say."""
    try:
        with open(f'/proc/{process}/stat', 'rb') as file:
            # The name of the program, in brackets, may hold anything.
            fields = file.read().rpartition(b')')[2].split()
            return -1 if fields[0] in (b'Z', b'X') else int(fields[19])  # ended, and not yet waited for
    except (OSError, ValueError, IndexError):
        return 0
