"""Where SEN12MS-CR has its files: three layouts in use, one index."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, DataError
from ..utils.files import read_json, read_text
from ..utils.text import shorten
from .leakage import refuse_shared
from .sen12mscr_splits import SPLITS, published_splits

SENSORS = ('s1', 's2', 's2_cloudy')
"""Sentinel-1, clear Sentinel-2, cloudy Sentinel-2."""
SPLIT_FILE = 'splits.json'
"""Written beside the images by ``mmweather prepare sen12ms-cr``."""
LAYOUTS = ('archives', 'seasons', 'flat')
_FLAT = {'s1': ('s1', ), 's2': ('s2_cloudfree', 's2_cloudFree', 's2'), 's2_cloudy': ('s2_cloudy', )}
_SEASON = r'ROIs\d+_(?:spring|summer|fall|winter)'
_FILE = re.compile(rf'({_SEASON})_(?:(s1|s2_cloudy|s2)_)?(\d+)_p?(\d+)\.tiff?', re.IGNORECASE)
_SCENE = re.compile(rf'({_SEASON})(?:_(?:s1|s2_cloudy|s2))?[_/](?:(?:s1|s2_cloudy|s2)_)?(\d+)')


@dataclass(frozen=True)
class Patches:
    """The files of a copy of SEN12MS-CR.

    Attributes:
        root: folder of the copy.
        layout: one of :data:`LAYOUTS`.
        files: key of a patch, as in ``ROIs1158_spring_106_p407`` -> sensor -> file.
    """

    root: Path
    layout: str
    files: dict[str, dict[str, Path]]

    def incomplete(self, sensors: Iterable[str] = SENSORS) -> dict[str, tuple[str, ...]]:
        """Key of a patch -> which of the sensors it lacks."""
        missing = {key: tuple(sensor for sensor in sensors if sensor not in found)
                   for key, found in self.files.items()}
        return {key: sensors for key, sensors in missing.items() if sensors}


def scene_of(key: str) -> str:
    """The scene of a patch: ``ROIs1158_spring_106`` of ``ROIs1158_spring_106_p407``."""
    return key.rpartition('_')[0]


def scene_name(text: str) -> str:
    """One name for what is written in several ways.

    Args:
        text: ``ROIs1158_spring_106``, ``ROIs1158_spring/s1_106`` or ``ROIs1158_spring_s1/s1_106``.

    Returns:
        ``ROIs1158_spring_106``.

    Raises:
        DataError: it is none of these.
    """
    match = _SCENE.fullmatch(text.strip())
    if match is None:
        raise DataError(f"'{text}' is no scene of SEN12MS-CR; write it as ROIs1158_spring_106")
    return f'{match[1]}_{int(match[2])}'


def find_layout(root: str | Path) -> str | None:
    """Which of :data:`LAYOUTS` a folder has; None if it has none of them."""
    root = Path(root)
    if any(path.is_dir() and re.fullmatch(rf'{_SEASON}_(s1|s2|s2_cloudy)', path.name) for path in root.glob('ROIs*_*')):
        return 'archives'
    if any(path.is_dir() and re.fullmatch(r'(s1|s2|s2_cloudy)_\d+', path.name) for path in root.glob('ROIs*/*')):
        return 'seasons'
    present = [sensor for sensor, names in _FLAT.items() if any((root / name).is_dir() for name in names)]
    return 'flat' if 's2_cloudy' in present and len(present) > 1 else None


def index_patches(root: str | Path, layout: str = 'auto') -> Patches:
    """List the patches below a folder.

    Args:
        root: of the data set.
        layout: one of :data:`LAYOUTS`, or ``'auto'`` to find out.  ``archives``:
            ``ROIs1158_spring_s1/s1_1/ROIs1158_spring_s1_1_p407.tif`` and the same for ``_s2``, ``_s2_cloudy`` (the
            published archives, UnCRtainTS); ``seasons``: ``ROIs1158_spring/s1_1/...`` with the same file names
            (ACA-CRNet); ``flat``: ``s1``, ``s2_cloudfree``, ``s2_cloudy`` with one name
            ``ROIs1970_fall_139_p839.tif`` (DSen2-CR, GLF-CR).

    Raises:
        DataError: there is no such folder, it has another layout, or it holds no patch.
        ConfigError: an unknown layout.
    """
    root = Path(root)
    if layout not in ('auto', *LAYOUTS):
        raise ConfigError(f"layout must be 'auto' or one of {', '.join(LAYOUTS)}, got {layout!r}")
    if not root.is_dir():
        raise DataError(f"no such folder: '{root}'; check data_root")
    found = find_layout(root) if layout == 'auto' else layout
    if found is None:
        raise DataError(f"'{root}' has no layout of SEN12MS-CR (ROIs1158_spring_s1/s1_1/..., ROIs1158_spring/s1_1/..., "
                        'or s1, s2_cloudfree, s2_cloudy); check data_root')
    files: dict[str, dict[str, Path]] = {}
    if found == 'flat':
        for sensor, names in _FLAT.items():
            # On a file system that ignores case two of the names are one folder.
            folder = next((root / name for name in names if (root / name).is_dir()), None)
            for path in sorted(folder.iterdir()) if folder else ():
                _add(files, sensor, path)
    else:
        for path in sorted(root.glob('ROIs*_*/s*_*/*' if found == 'archives' else 'ROIs*/s*_*/*')):
            _add(files, path.parent.name.rpartition('_')[0], path)
    if not files:
        raise DataError(f"'{root}' holds no patch named like ROIs1158_spring_s1_1_p407.tif; check data_root")
    return Patches(root, found, dict(sorted(files.items())))


def _add(files: dict[str, dict[str, Path]], sensor: str, path: Path) -> None:
    match = _FILE.fullmatch(path.name)
    if match is None or sensor not in SENSORS or (match[2] or sensor).lower() != sensor:
        return
    key = f'{match[1]}_{int(match[3])}_p{int(match[4])}'
    other = files.setdefault(key, {}).setdefault(sensor, path)
    if other != path:
        raise DataError(f"'{other}' and '{path}' are one patch; keep one of the two")


def read_table(path: str | Path) -> dict[str, set[str]]:
    """The table of DSen2-CR and GLF-CR: rows of split (1 train, 2 val, 3 test), three folders, file name.

    Returns:
        Split -> keys of its patches.

    Raises:
        DataError: the file cannot be read or a row is malformed.
    """
    splits: dict[str, set[str]] = {split: set() for split in SPLITS}
    try:
        lines = csv.reader(read_text(path).splitlines())
        rows = [[cell.strip() for cell in row] for row in lines if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"table '{path}' cannot be read ({error}); give a CSV of split, three folders, file") from error
    for number, row in enumerate(rows, 1):
        match = _FILE.fullmatch(row[-1])
        if match is None or row[0] not in ('1', '2', '3'):
            raise DataError(f"table '{path}', row {number}: expected 1, 2 or 3, three folders and a file like "
                            f"ROIs1970_fall_139_p839.tif, got '{','.join(row)[:80]}'")
        splits[SPLITS[int(row[0]) - 1]].add(f'{match[1]}_{int(match[3])}_p{int(match[4])}')
    if not rows:
        raise DataError(f"table '{path}' is empty; give a CSV of split, three folders, file")
    return splits


def read_splits(splits: str | Path | Mapping[str, Iterable[str]] | None, root: str | Path) -> dict[str, set[str]]:
    """Scenes of each split, checked against leakage.

    Args:
        splits: ``'published'``; lists ``{'train': [...], 'val': [...], 'test': [...]}`` of scenes; a JSON file of such
            lists, relative to ``root``; None takes ``<root>/splits.json`` where it is there, else the published lists.
        root: of the data set.

    Returns:
        Split -> names of scenes.

    Raises:
        DataError: the file cannot be read, a name is no scene, or a scene stands in two splits.
    """
    own = Path(root) / SPLIT_FILE
    if splits == 'published' or (splits is None and not own.is_file()):
        lists: Mapping[str, Iterable[str]] = published_splits()
        source = 'the published lists'
    elif isinstance(splits, Mapping):
        lists, source = splits, 'splits'
    else:
        path = own if splits is None else Path(root) / splits
        source = f"'{path}'"
        try:
            lists = read_json(path)
        except (OSError, ValueError) as error:
            raise DataError(f"split lists {source} cannot be read ({error}); give a JSON file of "
                            '{"train": [...], "val": [...], "test": [...]}') from error
    if not isinstance(lists, Mapping) or not lists or set(lists) - set(SPLITS):
        raise DataError(f'{source}: expected lists of scenes under {", ".join(SPLITS)}, '
                        f'got {sorted(lists) if isinstance(lists, Mapping) else type(lists).__name__}')
    result = {}
    for split, names in lists.items():
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{source}: '{split}' must be a list of scenes such as ROIs1158_spring_106")
        result[split] = {scene_name(name) for name in names}
    refuse_shared(result, source)
    return result


def describe(missing: Mapping[str, tuple[str, ...]]) -> str:
    """The first patches that lack a sensor, as text."""
    return shorten(f"{key} ({', '.join(sensors)})" for key, sensors in missing.items())
