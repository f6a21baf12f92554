"""A lock on a file that ends with the processes that hold it, so that a stale lock never blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class LockedError(Exception):
    """Another process holds the lock; the text says which one, where that is known."""


class FileLock:
    """An advisory lock on a file, by ``flock``, or by ``lockf`` where the file system refuses ``flock``.

    The file stays; only the lock on it counts.  The kernel drops the lock when the last process that holds it ends,
    however it ends.  Children made by ``fork`` do not hold it.

    Args:
        path: the file; it is created if needed, its folder must exist.

    Attributes:
        works: whether the file system has locks; if not, taking the lock always succeeds.
    """

    _held: weakref.WeakSet[FileLock] = weakref.WeakSet()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.works = True
        self._handle: int | None = None

    def take(self, shared: bool = False) -> None:
        """Take the lock, or change a held one between exclusive and shared, without waiting.

        Args:
            shared: several processes may hold it together.

        Raises:
            LockedError: another process holds it.
            OSError: the file cannot be opened.
        """
        if self._handle is None:
            self._handle = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
            FileLock._held.add(self)
        try:
            self.works = self._lock(shared)
        except BlockingIOError:
            holder = self._holder()
            self.release()
            raise LockedError(holder) from None
        if self.works and not shared:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f'process {os.getpid()} on {socket.gethostname()}'.encode(), 0)

    def _lock(self, shared: bool) -> bool:
        if fcntl is None:
            return False
        assert self._handle is not None
        operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
        for lock in (fcntl.flock, fcntl.lockf):
            try:
                lock(self._handle, operation)
                return True
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise BlockingIOError(*error.args) from None
                if error.errno not in _NO_LOCKS:
                    raise
        return False

    def _holder(self) -> str:
        assert self._handle is not None
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return os.pread(self._handle, 200, 0).decode().strip()
        return ''

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        FileLock._held.discard(self)


def _forget_in_child() -> None:
    # Closing a copy of the handle leaves the parent's lock as it is.
    for lock in list(FileLock._held):
        lock.release()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget_in_child)
