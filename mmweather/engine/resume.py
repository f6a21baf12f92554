"""Which checkpoint a run that was cut short continues from."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from mmengine.logging import print_log

from ..errors import CheckpointError
from ..utils.checkpoint import load_checkpoint
from ..utils.finite import checkpoint_faults
from ..utils.text import shorten

_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth$')


def is_whole(path: str | Path) -> bool:
    """Whether a checkpoint was written to its end.

    ``torch.save`` writes a zip archive, whose directory stands at the end: a file cut short by a crash has none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def find_resume_checkpoint(work_dir: str | Path, allowed: Iterable[str] = ()) -> Path | None:
    """The checkpoint from which ``--resume`` without a path continues.

    MMEngine notes the last checkpoint in ``work_dir/last_checkpoint``.  Where that file is missing or empty, or the
    checkpoint is gone, cut short (the run was killed while it wrote) or holds values that are not finite, the newest
    good ``iter_*.pth`` or ``epoch_*.pth`` of the folder is taken.  Each one passed over is logged.

    Args:
        work_dir: folder of the run.
        allowed: entries of the model that may be infinite.

    Returns:
        The path, or None where there is no good checkpoint.
    """
    work_dir, allowed = Path(work_dir), tuple(allowed)
    note = work_dir / 'last_checkpoint'
    noted = note.read_text(errors='replace').strip() if note.is_file() else ''
    numbered = [(int(match.group(1)), path) for path in work_dir.glob('*.pth') if (match := _NUMBERED.match(path.name))]
    candidates = [Path(noted)] if noted else []
    candidates += [path for _, path in sorted(numbered, reverse=True) if path not in candidates]
    for path in candidates:
        fault = _fault(path, allowed)
        if fault is None:
            return path
        print_log(f"'{path}' {fault} and is passed over", 'current', logging.WARNING)
    return None


def _fault(path: Path, allowed: tuple[str, ...]) -> str | None:
    if not path.is_file():
        return 'is missing'
    if not is_whole(path):
        return 'is cut short'
    try:
        faults = checkpoint_faults(load_checkpoint(path), allowed)
    except CheckpointError as error:
        return f'cannot be read ({error})'
    return f'holds values that are not finite ({shorten(faults)})' if faults else None
