"""Putting a downloaded data set where the configs look for it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from ...errors import DataError, cannot_write
from ...utils.atomic import remove_leftovers, temporary_name
from ...utils.files import check_regular
from ...utils.runs import check_target


def check_source(source: str | Path) -> Path:
    """The folder of a download.

    Raises:
        DataError: there is no such folder.
    """
    if not Path(source).is_dir():
        raise DataError(f"no such folder: '{source}'; give the folder of the downloaded data set")
    return Path(source)


def place_files(files: Iterable[tuple[Path, str]], target: str | Path, copy: bool = False,
                texts: Mapping[str, str] | None = None) -> None:
    """Link or copy files into a new folder, which appears complete or not at all.

    Args:
        files: each file and the folder for it, relative to ``target``.
        target: a new or empty folder.
        copy: copy the files instead of linking them.
        texts: content of further text files by path, relative to ``target``.

    Raises:
        DataError: ``target`` is not empty or cannot be written, or a file is not a regular one.
    """
    target, files = check_target(target), list(files)
    for file, _ in files:
        try:
            check_regular(file)
        except OSError as error:
            raise DataError(f"'{file}' cannot be used ({error.strerror}); replace or remove it") from error
    building = temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, deep=False)
        building.mkdir()
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
        if not copy and error.errno in (errno.EPERM, errno.ENOTSUP):
            raise DataError(f"'{target}' cannot hold links ({error.strerror}); add --copy") from error
        raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
