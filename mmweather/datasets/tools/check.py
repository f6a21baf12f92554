"""Looks at every file of a data set before training does: unreadable, unpaired, mismatched, leaked."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...errors import ConfigError, DataError, MMWeatherError
from ...utils.atomic import write_json
from ...utils.config_file import innermost
from ...utils.images import is_image_file, read_image
from ...utils.rasters import Raster
from ...utils.text import one_line, plural, printable
from ..leakage import leak_message, shared_by_loaders
from ..sen12mscr_layout import find_layout
from .fog_set import CLEAN, FOGGY

REMEDIES = {
    'folder': 'check data_root and data_prefix, or put the images there',
    'unreadable': 'copy or download the file again',
    'same stem': 'keep one file of each stem',
    'unpaired': 'add the partner or remove the file',
    'size': 'register and crop the images of a sample to one size',
    'grid': 'bring the images of a sample to one grid, or leave the sample out',
    'duplicate': 'remove one of the two',
    'leak': 'remove the image from one of the two splits',
    'scene leak': 'keep each scene in one split',
}
"""Kind of finding -> what to do."""
_SPLITS = ('train', 'val', 'valid', 'validation', 'test')
_RANK = {name: rank for rank, name in enumerate(_SPLITS)}


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        kind: a key of :data:`REMEDIES`.
        files: concerned files or folders.
        detail: one line.
        skip: files to list in a quarantine file; empty where skipping does not help.
    """

    kind: str
    files: tuple[Path, ...]
    detail: str
    skip: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Look:
    """What a file turned out to be.

    Attributes:
        size: height and width; None where it cannot be read.
        digest: hash of the pixels.
        fault: why it cannot be read.
        header: of a GeoTIFF, with no bands.
    """

    size: tuple[int, int] | None
    digest: str = ''
    fault: str = ''
    header: Raster | None = None


@dataclass
class Group:
    """Folders whose files belong together by stem.

    Attributes:
        name: of the split, as in ``train``.
        root: folder that quarantine entries are relative to.
        folders: one folder a key; a single key means that nothing is paired.
        dataset: chooses among the stems if given (``PairedImageDataset``).
        files: key -> stem -> file; filled by :func:`check`, or beforehand where ``folders`` is empty.
        look: opens a file of a key.
    """

    name: str
    root: Path
    folders: dict[str, Path]
    dataset: Any = None
    files: dict[str, dict[str, Path]] = field(default_factory=dict)
    look: Callable[[str, Path], Look] = field(default=lambda key, path: _look(path))


@dataclass
class Report:
    """What was found, and in how many files."""

    findings: list[Finding]
    checked: int
    roots: tuple[Path, ...]

    def quarantine(self) -> list[str]:
        """Files to skip, relative to the root that they lie under, sorted."""
        entries = set()
        for file in (file for finding in self.findings for file in finding.skip):
            for root in self.roots:
                if file.is_relative_to(root):
                    entries.add(file.relative_to(root).as_posix())
                    break
            else:
                entries.add(file.as_posix())
        return sorted(entries)

    def write_quarantine(self, path: str | Path) -> Path:
        """Write :meth:`quarantine` as JSON, atomically; ``PairedImageDataset(quarantine=...)`` reads it."""
        try:
            return write_json(path, self.quarantine())
        except OSError as error:
            raise DataError(f"cannot write '{path}' ({error.strerror}); choose another place") from error

    def table(self) -> str:
        """Findings as lines of text, and a last line that counts."""
        lines = []
        for finding in sorted(self.findings, key=lambda item: (item.kind, item.files)):
            lines.append(printable(f'{finding.kind:<11} {finding.detail}'))
        counts: dict[str, int] = defaultdict(int)
        for finding in self.findings:
            counts[finding.kind] += 1
        for kind, count in sorted(counts.items()):
            lines.append(f'{count} x {kind}: {REMEDIES[kind]}')
        total = plural(len(self.findings), 'finding') if self.findings else 'no findings'
        return '\n'.join([*lines, f'{self.checked} images checked, {total}'])


def groups_of_folder(root: str | Path) -> list[Group]:
    """Groups of a data set on disk: the layouts of SEN12MS-CR and RoadScene-rain, or else every folder with images.

    Raises:
        DataError: there is no such folder or no image in it.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise DataError(f"no such folder: '{root}'; give a data set folder or a config")
    if find_layout(root):
        from .check_sentinel import groups_of_sen12mscr
        return groups_of_sen12mscr(root)
    layout = {'img': 'Vis/input', 'gt': 'Vis/target', 'ir': 'Inf/input'}
    groups = []
    for base, name in ((root, root.name), *((root / split, split) for split in _SPLITS)):
        if any((base / folder).is_dir() for folder in layout.values()):
            folders = {key: base / folder for key, folder in layout.items()}
            clean = base / 'Vis/clean'
            groups.append(Group(name, root, {**folders, 'clean': clean} if clean.is_dir() else folders))
    for split, foggy in FOGGY.items():
        folders = {'img': root / split / foggy, 'clean_img': root / split / CLEAN}
        if folders['img'].is_dir():
            groups.append(Group(split, root, folders))
    if groups:
        return groups
    for folder, _, names in sorted(os.walk(root)):
        if any(is_image_file(name) for name in names):
            parts = Path(folder).relative_to(root).parts
            split = next((part for part in parts if part in _SPLITS), '')
            groups.append(Group(split, root, {'img': Path(folder)}))
    if not groups:
        raise DataError(f"'{root}' holds no image; give a data set folder or a config")
    return groups


def _read_config(path: str | Path) -> Any:
    from mmweather.utils.config_file import read_config
    try:
        return read_config(str(path))
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  a config is code and may fail in any way
        raise ConfigError(f"config '{path}' cannot be read ({one_line(error)}); fix it or pass another") from error


def groups_of_config(path: str | Path) -> list[Group]:
    """Groups of the data sets that a config trains, validates and tests on.

    Raises:
        ConfigError: the config cannot be read or has no data set with folders.
    """
    config = _read_config(path)
    groups = []
    for name in ('train', 'val', 'test'):
        loader = config.get(f'{name}_dataloader') or {}
        for one in _datasets(loader, f'{name}_dataloader'):
            try:
                groups += _groups_of_dataset(name, one)
            except MMWeatherError:
                raise
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ConfigError(f'{name}_dataloader.dataset: cannot be built ({one_line(error)})') from error
    if not groups:
        raise ConfigError(f"config '{path}' has no dataloader whose data set names folders; check a folder instead")
    return groups


def _groups_of_dataset(name: str, one: Mapping[str, Any]) -> list[Group]:
    """Groups of one data set of a loader."""
    from ...registry import DATASETS
    from ..paired import PairedImageDataset
    from ..sen12mscr import SEN12MSCR
    from .check_sentinel import sentinel_group
    root = Path(one.get('data_root') or '').absolute()
    kind = DATASETS.get(one['type']) if isinstance(one.get('type'), str) else one.get('type')
    if isinstance(kind, type) and (issubclass(kind, PairedImageDataset) or getattr(kind, 'FLAT_FOLDERS', False)):
        dataset = DATASETS.build({**one, 'pipeline': [], 'lazy_init': True})
        folders = {key: Path(folder).absolute() for key, folder in dataset.data_prefix.items() if key != 'ann'}
        return [Group(name, Path(dataset.data_root).absolute(), folders, dataset)]
    if isinstance(kind, type) and issubclass(kind, SEN12MSCR):
        return [sentinel_group(name, DATASETS.build({**one, 'pipeline': [], 'lazy_init': True}).index())]
    return [Group(name, root, {key: root / folder})
            for key, folder in (one.get('data_prefix') or {}).items() if folder]


def _datasets(loader: Any, key: str) -> list[Mapping[str, Any]]:
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else loader
    try:
        return list(innermost(dataset or {}))
    except AttributeError:
        raise ConfigError(f'{key}.dataset: a data set is a dict with its type, got {str(dataset)[:60]!r}') from None


def _list(group: Group) -> Iterator[Finding]:
    """Fill ``group.files``; report folders that are missing or empty, doubled stems and missing partners."""
    for key, folder in group.folders.items():
        group.files[key] = {}
        if not folder.is_dir():
            yield Finding('folder', (folder, ), f"'{folder}' does not exist")
            continue
        for path in sorted(folder.iterdir()):
            if not is_image_file(path):
                continue
            first = group.files[key].setdefault(path.stem, path)
            if first != path and len(group.folders) > 1:
                yield Finding('same stem', (first, path), f"'{first}' and '{path.name}' have one stem")
            elif first != path:
                group.files[key][path.name] = path
        if not group.files[key]:
            yield Finding('folder', (folder, ), f"'{folder}' holds no image")
    every = set().union(*group.files.values())
    if group.dataset is not None:
        chosen = set(group.dataset.select(every))
        every &= chosen
        group.files = {key: {stem: path for stem, path in found.items() if stem in chosen}
                       for key, found in group.files.items()}
    for stem in sorted(every):
        present = tuple(found[stem] for found in group.files.values() if stem in found)
        for key, found in group.files.items():
            if stem not in found and (found or not group.folders):
                where = f"in '{group.folders[key]}'" if key in group.folders else f"for '{key}'"
                yield Finding('unpaired', present, f"'{present[0]}' has no partner {where}", present)


def digest_of(image: np.ndarray) -> str:
    """Hash of pixels and shape."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _look(path: Path) -> Look:
    try:
        image = read_image(path)
    except DataError as error:
        return Look(None, fault=str(error))
    return Look(image.shape[:2], digest_of(image))


def _sizes(group: Group, seen: Mapping[Path, Look]) -> Iterator[Finding]:
    for stem in sorted(set().union(*group.files.values())):
        files = [found[stem] for found in group.files.values() if stem in found]
        sizes = {path: seen[path].size for path in files if seen[path].size is not None}
        if len(set(sizes.values())) > 1:
            shown = ', '.join(f"'{path}' {size[1]}x{size[0]}" for path, size in sizes.items() if size)
            yield Finding('size', tuple(sizes), f'{shown} (width x height)', tuple(files))
            continue
        headers = {str(path): header for path in sizes if (header := seen[path].header) is not None}
        if len(headers) > 1:
            from ..transforms.sentinel_loading import check_grids
            try:
                check_grids(headers, {name: name for name in headers})
            except DataError as error:
                yield Finding('grid', tuple(sizes), str(error), tuple(files))


def _copies(groups: Iterable[Group], seen: Mapping[Path, Look]) -> Iterator[Finding]:
    """Equal pictures within a split and between splits; of a pair, the one that trains less is kept."""
    homes: dict[str, dict[Path, set[str]]] = defaultdict(lambda: defaultdict(set))
    for group in groups:
        for found in group.files.values():
            for path in found.values():
                if seen[path].size is not None:
                    homes[seen[path].digest][path].add(group.name)
    for places in homes.values():
        splits = sorted(set().union(*places.values()), key=lambda name: (_RANK.get(name, len(_RANK)), name))
        files = tuple(sorted(places))
        shown = ', '.join(f"'{path}'" for path in files)
        if len(splits) > 1:
            training = tuple(path for path in files if 'train' in places[path] and len(places[path]) == 1)
            yield Finding('leak', files, f"{shown}: one picture in {' and '.join(splits)}", training)
        elif len(files) > 1:
            yield Finding('duplicate', files, f'{shown}: equal pixels', files[1:])


def check(target: str | Path, workers: int | None = None, progress: bool = True) -> Report:
    """Decode every image of a data set and compare.

    Args:
        target: a config (``.py``, ``.json``, ``.yml``, ``.yaml``) or a folder.
        workers: threads (decoding releases the interpreter lock); None takes all cores.
        progress: show a progress bar.

    Returns:
        The findings.

    Raises:
        DataError: there is no such folder, or it holds no image.
        ConfigError: the config cannot be read.
    """
    target = Path(target)
    shared: dict[str, tuple[str, ...]] = {}
    if target.suffix in ('.py', '.json', '.yml', '.yaml') and not target.is_dir():
        if not target.is_file():
            raise ConfigError(f"no such config: '{target}'; check the path")
        groups = groups_of_config(target)
        shared = shared_by_loaders(_read_config(target))
    else:
        groups = groups_of_folder(target)
    findings: dict[tuple[str, tuple[Path, ...], str], Finding] = {}

    def note(found: Iterable[Finding]) -> None:
        # Training and validation data may share folders; one fault is reported once.
        for finding in found:
            findings.setdefault((finding.kind, finding.files, finding.detail), finding)

    if shared:
        note([Finding('scene leak', (), leak_message(shared, f"'{target}'"))])
    for group in groups:
        note(_list(group))
    jobs = {path: (group.look, key) for group in groups for key, found in group.files.items()
            for path in found.values()}
    files = sorted(jobs)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        opened = pool.map(lambda path: jobs[path][0](jobs[path][1], path), files)
        looks = tqdm(opened, total=len(files), desc='checking', unit='image', disable=not progress)
        seen = dict(zip(files, looks, strict=True))
    for group in groups:
        for found in group.files.values():
            for stem, path in found.items():
                if seen[path].size is None:
                    partners = tuple(other[stem] for other in group.files.values() if stem in other)
                    note([Finding('unreadable', (path, ), seen[path].fault, partners)])
        note(_sizes(group, seen))
    note(_copies(groups, seen))
    return Report(list(findings.values()), len(files), tuple(dict.fromkeys(group.root for group in groups)))
