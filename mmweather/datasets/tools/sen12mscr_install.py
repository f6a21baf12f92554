"""Puts a downloaded SEN12MS-CR where the configs look for it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from ...errors import DataError, cannot_write
from ...utils.atomic import write_bytes, write_json
from ...utils.runs import check_target, stamp
from ..sen12mscr_layout import SENSORS, SPLIT_FILE, Patches, find_layout, index_patches, read_splits, scene_of

INCOMPLETE_FILE = 'incomplete.txt'
"""Lists the patches that were left behind and the sensors that they lack."""


def _source_of(source: Path) -> Patches:
    if not source.is_dir():
        raise DataError(f"no such folder: '{source}'; give the folder of the downloaded data set")
    for pattern in ('', '*', '*/*'):
        for folder in sorted(source.glob(pattern)) if pattern else [source]:
            # `ROIs1158_spring_s1` of an archive may itself look like the parent of a layout by seasons.
            if folder.is_dir() and find_layout(folder):
                return index_patches(folder)
    raise DataError(f"'{source}' holds no layout of SEN12MS-CR (ROIs1158_spring_s1/s1_1/..., ROIs1158_spring/s1_1/..., "
                    'or s1, s2_cloudfree, s2_cloudy); give the folder with the unpacked archives')


def _place(key: str, sensor: str) -> Path:
    scene, _, patch = key.rpartition('_')
    season, _, number = scene.rpartition('_')
    return Path(f'{season}_{sensor}', f'{sensor}_{number}', f'{season}_{sensor}_{number}_{patch}.tif')


def _put(file: Path, to: Path, copy: bool) -> None:
    """Link or copy one file; what an interrupted run has put there is kept."""
    if to.is_symlink() or to.exists():
        if not copy and to.is_symlink() and os.readlink(to) == str(file):
            return
        if copy and not to.is_symlink() and stamp(to) == stamp(file):
            return
        to.unlink()
    to.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        to.symlink_to(file)
        return
    part = to.with_suffix('.part')
    shutil.copyfile(file, part)
    state = file.stat()
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))  # tells a rerun that the source has not changed
    os.replace(part, to)


def install_sen12mscr(source: str | Path, target: str | Path, copy: bool = False,
                      splits: str | Path | Mapping[str, Iterable[str]] | None = 'published',
                      progress: bool = True) -> dict[str, int]:
    """Put the complete triplets of a download into the layout of the archives, with the lists that divide them.

    Any of the three layouts is taken.  ``target`` appears complete or not at all; an interrupted run goes on where it
    stopped.  It gets ``splits.json``, which ``SEN12MSCR`` reads, and ``incomplete.txt``.

    Args:
        source: folder of the download, or one that holds it at most two levels below.
        target: a new or empty folder.
        copy: copy the files instead of linking them.
        splits: which scenes to take, see :func:`~mmweather.datasets.sen12mscr_layout.read_splits`.
        progress: show a progress bar.

    Returns:
        Number of complete triplets in ``train``, ``val`` and ``test``, of ``incomplete`` patches of these scenes, and
        of ``unlisted`` patches, whose scene is in no list.

    Raises:
        DataError: the layout is another, the lists share a scene, nothing is left, or ``target`` is not empty or cannot
            be written.
    """
    source, target = Path(source), Path(target)
    path = Path(splits).absolute() if isinstance(splits, (str, Path)) and splits != 'published' else splits
    lists = read_splits(path, source)
    check_target(target)
    patches = _source_of(source.absolute())
    split_of = {scene: split for split, scenes in lists.items() for scene in scenes}
    listed = {key: found for key, found in patches.files.items() if scene_of(key) in split_of}
    missing = Patches(patches.root, patches.layout, listed).incomplete()
    counts = Counter(split_of[scene_of(key)] for key in listed if key not in missing)
    if not counts:
        raise DataError(f"'{source}' holds no complete triplet of a listed scene ({len(missing)} incomplete, "
                        f'{len(patches.files) - len(listed)} of other scenes); unpack all three archives of a season')
    files = {_place(key, sensor): found[sensor] for key, found in listed.items() if key not in missing
             for sensor in SENSORS}
    building = target.parent / f'.{target.name}.part'
    try:
        building.mkdir(parents=True, exist_ok=True)
        for to, file in tqdm(files.items(), desc='copying' if copy else 'linking', unit='file', disable=not progress):
            _put(file, building / to, copy)
        # An interrupted run with other lists may have left more.
        for found in building.rglob('ROIs*.*'):
            if not found.is_dir() and found.relative_to(building) not in files:
                found.unlink()
        write_json(building / SPLIT_FILE, {split: sorted(scenes) for split, scenes in lists.items()})
        lines = ''.join(f"{key}: no {', '.join(sensors)}\n" for key, sensors in sorted(missing.items()))
        write_bytes(building / INCOMPLETE_FILE, lines.encode())
        if target.is_dir():
            target.rmdir()
        os.replace(building, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    return {**{split: counts.get(split, 0) for split in ('train', 'val', 'test')}, 'incomplete': len(missing),
            'unlisted': len(patches.files) - len(listed)}
