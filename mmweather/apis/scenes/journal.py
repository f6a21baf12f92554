"""What makes a run that was killed go on: a folder beside the result with the work so far."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ... import __version__
from ...errors import DataError
from ...utils.locks import FileLock, LockedError


class Journal:
    """The state of a run, bound to what it computes.

    Args:
        target: the result; the folder ``.NAME.restoring`` beside it is used.
        identity: what the result depends on, by name; as JSON.
    """

    def __init__(self, target: Path, identity: dict[str, Any]) -> None:
        self.target = target
        self.identity = json.loads(json.dumps(identity))
        self.folder = target.with_name(f'.{target.name}.restoring')
        # Hidden names, so that a search for pictures passes them by.
        self.part = self.folder / '.part.tif'
        self.finished = self.folder / '.finished.tif'
        self._state = self.folder / '.state.npz'

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the folder; the lock ends with the process.

        Raises:
            DataError: the folder cannot be made or is in use.
        """
        with writing(self.target):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / '.lock')
            try:
                lock.take()
            except LockedError:
                raise DataError(f"'{self.target}' is being written by another process; wait for it or choose another "
                                'result') from None
        try:
            yield
        finally:
            lock.release()

    def load(self) -> tuple[dict[str, np.ndarray] | None, str]:
        """The saved state and an empty text, or None and why there is none (empty if there never was one)."""
        if not self._state.exists() or not self.part.exists():
            return None, ''
        try:
            with np.load(self._state, allow_pickle=False) as file:
                state = {key: file[key] for key in file.files}
            identity = json.loads(str(state.pop('identity')))
        except Exception:  # noqa: BLE001  zip, numpy and JSON errors; whatever it is, it cannot be used
            return None, 'its journal is damaged'
        other = [key for key in self.identity if identity.get(key) != self.identity[key]]
        return (None, f"other {', '.join(other)}") if other else (state, '')

    def save(self, state: dict[str, np.ndarray]) -> None:
        """Replace the state; what it speaks of must be on the disk already."""
        new = self._state.with_name('.state.new')
        with writing(self.target):
            with new.open('wb') as file:
                np.savez(file, identity=np.array(json.dumps(self.identity)), **state)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self._state)

    def clear(self) -> None:
        """Forget the work so far."""
        for path in (self._state, *self.folder.glob('.part*'), *self.folder.glob('.finished*')):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def size(self) -> int:
        """Bytes on the disk that a new run would free or use again."""
        files = self.folder.glob('.*') if self.folder.is_dir() else ()
        return sum(path.stat().st_blocks * 512 for path in files)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """What goes wrong while a result is written, as one line."""
    from .scene import import_rasterio
    try:
        yield
    except (OSError, import_rasterio().errors.RasterioError) as error:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error.__cause__ or error).split())
        raise DataError(f"'{target}' cannot be written ({reason}); free space or choose another place (--out)") \
            from error


def identity_of(model: nn.Module, files: dict[str, Path | None], options: dict[str, Any]) -> dict[str, Any]:
    """What a result depends on: weights, settings of the network, files by size and time of change, options."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        # Bytes of any type, bfloat16 too, which NumPy does not have.
        digest.update(tensor.detach().cpu().contiguous().flatten().view(dtype=_bytes()).numpy().tobytes())
    settings = {name: {key: value for key, value in vars(module).items()
                       if key != 'training' and key[0] != '_' and isinstance(value, (bool, int, float, str, tuple))}
                for name, module in model.named_modules()}
    text = f'{type(model).__name__} {sorted((name, sorted(item.items(), key=str)) for name, item in settings.items())}'
    return {
        'version': __version__,
        'weights': digest.hexdigest(),
        'settings': hashlib.sha256(text.encode()).hexdigest(),
        **{name: None if path is None else _file(path) for name, path in files.items()},
        'options': options,
    }


def _bytes() -> Any:
    import torch
    return torch.uint8


def _file(path: Path) -> list[Any]:
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]
