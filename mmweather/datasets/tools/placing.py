"""Putting a downloaded data set where the configs look for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from ...errors import DataError


def check_source(source: str | Path) -> Path:
    """The folder of a download.

    Raises:
        DataError: there is no such folder.
    """
    if not Path(source).is_dir():
        raise DataError(f"no such folder: '{source}'; give the folder of the downloaded data set")
    return Path(source)


def check_target(target: str | Path) -> Path:
    """A folder to be made.

    Raises:
        DataError: it is there and holds something, or is a file.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"'{target}' exists and is not an empty folder; choose another or remove it")
    return target


def place_files(files: Iterable[tuple[Path, str]], target: str | Path, copy: bool = False,
                texts: Mapping[str, str] | None = None) -> None:
    """Link or copy files into a new folder, which appears complete or not at all.

    Args:
        files: each file and the folder for it, relative to ``target``.
        target: a new or empty folder.
        copy: copy the files instead of linking them.
        texts: content of further text files by path, relative to ``target``.

    Raises:
        DataError: ``target`` is not empty, or cannot be written.
    """
    target, files = check_target(target), list(files)
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f'.{target.name}.'))
    building.chmod(0o755)
    try:
        for file, name in tqdm(files, desc='copying' if copy else 'linking', unit='file', disable=None):
            folder = building / name
            folder.mkdir(parents=True, exist_ok=True)
            if copy:
                shutil.copyfile(file, folder / file.name)
            else:
                (folder / file.name).symlink_to(file.absolute())
        for name, text in (texts or {}).items():
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            (building / name).write_text(text, encoding='utf-8')
        os.replace(building, target)
    except OSError as error:
        raise DataError(f"cannot write '{target}' ({error.strerror}); choose another folder, or --copy where links are "
                        'not allowed') from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
