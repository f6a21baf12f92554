"""Files of the visitors: each has a folder under an unguessable name, and can name and fetch files in it only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import DataError

KEPT = 3600
"""Seconds after which uploads and results are deleted."""
NOT_YOURS = 'this file is not one of your uploads, or it has been deleted; upload it again'
"""Message for every path that is refused; it does not show whether the file exists."""
_SAFE_FROM_OTHERS = 300
"""Seconds during which a file is not deleted to make room for another visitor."""


class VisitorsFullError(DataError):
    """No room for an upload: the files of all visitors have reached their limit."""


@dataclass(frozen=True)
class Quota:
    """Limits of what is kept at a time.

    Args:
        megabytes: of one visitor, uploads and results together.
        items: uploads and results of one visitor.
        visitors: multiple of both for all visitors together.
    """

    megabytes: float = 500
    items: int = 100
    visitors: int = 8


class _Item(NamedTuple):
    """One upload or the files of one result."""

    made: float
    folder: Path
    size: int


class Visitors:
    """Folders of all visitors.

    Args:
        root: folder that holds them; created readable by this user only.
        quota: limits of what is kept at a time.
    """

    def __init__(self, root: Path, quota: Quota | None = None) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root.resolve()
        self.quota = quota or Quota()
        self._lock = threading.Lock()
        self._announced = 0

    def visitor(self, token: str) -> Visitor:
        """Return the visitor with a token of :func:`new_token`."""
        return Visitor(self, hashlib.sha256(token.encode()).hexdigest()[:32])

    def announce(self, visitor: Visitor, size: int) -> None:
        """Make room for an upload by deleting the oldest files; call :meth:`arrived` after it.

        Args:
            visitor: who uploads.
            size: size of the upload in bytes.

        Raises:
            VisitorsFullError: the files of all visitors have reached their limit, and none is old enough to go.
        """
        with self._lock:
            self._trim(visitor, size)
            items = sorted(item for folder in self._folders() for item in _items(folder))
            limit, most = self.quota.megabytes * 1e6 * self.quota.visitors, self.quota.items * self.quota.visitors
            held = sum(item.size for item in items) + self._announced + size
            for number, item in enumerate(items):
                if held <= limit and len(items) - number < most:
                    break
                if item.made > time.time() - _SAFE_FROM_OTHERS:
                    raise VisitorsFullError('too many files are kept here at the moment; try again in some minutes')
                shutil.rmtree(item.folder, ignore_errors=True)
                held -= item.size
            if held > limit:
                raise VisitorsFullError('too many uploads arrive at the moment; try again in some minutes')
            self._announced += size

    def arrived(self, size: int) -> None:
        """Take back an announcement of ``size`` bytes: the upload is there, or will not come."""
        with self._lock:
            self._announced -= size

    def trim(self, visitor: Visitor) -> None:
        """Delete the oldest files of a visitor above the quota."""
        with self._lock:
            self._trim(visitor, 0)

    def sweep(self) -> None:
        """Delete what is older than :data:`KEPT`, and the empty files that Gradio leaves behind."""
        with self._lock:
            for folder in self._folders():
                for item in _items(folder):
                    if time.time() - item.made > KEPT:
                        shutil.rmtree(item.folder, ignore_errors=True)
                with contextlib.suppress(OSError):
                    folder.rmdir()
            for file in self.root.iterdir():
                if file.is_file():
                    file.unlink(missing_ok=True)

    def _folders(self) -> list[Path]:
        return [folder for folder in self.root.iterdir() if folder.is_dir()]

    def _trim(self, visitor: Visitor, size: int) -> None:
        items = sorted(_items(visitor.folder))
        held = size + sum(item.size for item in items)
        extra = 1 if size else 0
        # What was made last stays, however large: it is the result that the visitor waits for.
        for number, item in enumerate(items[:len(items) - 1 + extra]):
            if held <= self.quota.megabytes * 1e6 and len(items) - number + extra <= self.quota.items:
                break
            shutil.rmtree(item.folder, ignore_errors=True)
            held -= item.size


class Visitor:
    """One visitor and the folder with the uploads and results of this visitor."""

    def __init__(self, visitors: Visitors, name: str) -> None:
        self.visitors, self.folder = visitors, visitors.root / name

    def own(self, path: object) -> Path:
        """Return the real path of a file of this visitor.

        No other file is touched: a path is judged by its text first.

        Raises:
            DataError: with one text for all reasons; ``path`` is not a regular file below :attr:`folder`.
        """
        with contextlib.suppress(OSError, ValueError):
            if isinstance(path, str) and Path(os.path.normpath(path)).is_relative_to(self.folder):
                real = Path(os.path.realpath(path))
                if real.is_relative_to(self.folder) and stat.S_ISREG(os.stat(real).st_mode):
                    return real
        raise DataError(NOT_YOURS)

    def new_folder(self) -> Path:
        """Create a folder under an unguessable name.

        Raises:
            DataError: the server is being ended.
        """
        folder = self.folder / secrets.token_urlsafe(24)
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
        except FileNotFoundError:  # never created anew: nothing would delete it
            raise DataError('the server is being ended') from None
        return folder

    def keep(self, name: str, file: IO[bytes]) -> Path:
        """Store an upload.

        Args:
            name: name that the visitor gave it; made safe.
            file: its content.

        Raises:
            DataError: the name is empty.
        """
        base = name.replace('\\', '/').rpartition('/')[2]
        base = ''.join(letter for letter in base if letter.isprintable() and letter not in '<>:"|?*').strip('. ')
        if not base:
            raise DataError('the upload has no file name; give the file a name')
        path = self.new_folder() / (Path(base).stem[:40] + Path(base).suffix[:10])
        with path.open('xb') as target:
            shutil.copyfileobj(file, target, 1 << 20)
        return path

    def private(self, session: str) -> str:
        """Return a name of a page's session that no other visitor can give."""
        return hashlib.sha256(f'{self.folder.name}/{session}'.encode()).hexdigest()[:32]


def new_token() -> str:
    """Return a secret that makes its holder the same visitor again."""
    return secrets.token_urlsafe(32)


def _items(folder: Path) -> list[_Item]:
    found = []
    with contextlib.suppress(FileNotFoundError):
        for item in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(_Item(item.stat().st_mtime, item, sum(file.stat().st_size for file in item.iterdir())))
    return found
