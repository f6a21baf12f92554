"""Files that are either whole or absent, never half written."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write ``data`` to ``path`` through a temporary file in the same folder.

    The folder is created if needed.  A reader sees the old file or the new one, also after a crash.

    Returns:
        The path written.

    Raises:
        OSError: the folder cannot be created or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix='.part')
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return path


def write_json(path: str | Path, value: Any) -> Path:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    return write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + '\n').encode())


@contextlib.contextmanager
def unnamed_file(path: str | Path) -> Iterator[str]:
    """A file to write by name that becomes ``path`` when the block ends well, and is gone otherwise.

    Where the system can, the file has no name in any folder until then, so a process that is killed leaves nothing;
    elsewhere it leaves a hidden ``.part`` beside ``path``.

    Yields:
        A name for it, to be opened for writing.

    Raises:
        OSError: the folder cannot be created or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _open_unnamed(path.parent)
    if handle is not None:
        try:
            yield f'/proc/self/fd/{handle}'
            os.fsync(handle)
            # A link cannot replace a file; a renaming can.
            temporary = path.with_name(f'.{path.name}.{os.getpid()}.{handle}.part')
            try:
                # With a folder's descriptor, Python calls linkat, which follows the link to the open file.
                os.link(f'/proc/self/fd/{handle}', temporary, src_dir_fd=handle)
                os.replace(temporary, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        finally:
            os.close(handle)
        return
    handle, hidden = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix='.part')
    os.close(handle)
    try:
        yield hidden
        _publish(hidden, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(hidden)
        raise


def _open_unnamed(folder: Path) -> int | None:
    flag = getattr(os, 'O_TMPFILE', None)
    if flag is None or not os.path.isdir('/proc/self/fd'):
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError:  # the file system cannot; a folder that cannot be written is told by what is tried next
        return None


def _publish(temporary: str, path: Path) -> None:
    # mkstemp makes private files; give the mode that open() would have given.
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    os.replace(temporary, path)
