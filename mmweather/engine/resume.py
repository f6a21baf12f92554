"""Which checkpoint a run that was cut short continues from."""

from __future__ import annotations

import logging
import re
import zipfile
from pathlib import Path

from mmengine.logging import print_log

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


def find_resume_checkpoint(work_dir: str | Path) -> Path | None:
    """The checkpoint from which ``--resume`` without a path continues.

    MMEngine notes the last checkpoint in ``work_dir/last_checkpoint``.  Where that file is missing or empty, or names
    a checkpoint that is gone or cut short (the run was killed while it wrote), the newest whole ``iter_*.pth`` or
    ``epoch_*.pth`` of the folder is taken.

    Returns:
        The path, or None where there is no whole checkpoint.
    """
    work_dir = Path(work_dir)
    note = work_dir / 'last_checkpoint'
    noted = note.read_text(errors='replace').strip() if note.is_file() else ''
    if noted and is_whole(noted):
        return Path(noted)
    numbered = [(int(match.group(1)), path) for path in work_dir.glob('*.pth') if (match := _NUMBERED.match(path.name))]
    for _, path in sorted(numbered, reverse=True):
        if is_whole(path):
            if noted:
                print_log(f"'{noted}' is missing or cut short; resuming from '{path}'", 'current', logging.WARNING)
            return path
        print_log(f"'{path}' is cut short and is passed over", 'current', logging.WARNING)
    return None
