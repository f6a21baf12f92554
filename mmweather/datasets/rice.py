"""RICE1 and RICE2: cloudy and clear satellite images of one place, RICE2 with masks of cloud and shadow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.runs import check_target
from ..utils.text import shorten
from .leakage import refuse_shared
from .paired import PairedImageDataset, read_stems
from .tools.placing import check_source, place_files

SPLITS = ('train', 'val', 'test')
FOLDERS = {'img': 'cloud', 'gt': 'label', 'mask': 'mask'}


def split_stems(stems: Iterable[str], test_every: int = 5, val_every: int = 8,
                seed: int | None = None) -> dict[str, list[str]]:
    """Divide stems by their rank.

    The stems are sorted as text, and shuffled where a seed is given.  Ranks 0, ``test_every``, 2 ``test_every``, ...
    are tested on; of the others, ranks 0, ``val_every``, ... counted anew are for validation.

    Args:
        stems: names, each once.
        test_every: use every n-th image for testing.
        val_every: use every n-th of the rest for validation.
        seed: of the shuffling; None keeps the sorted order.

    Returns:
        ``{'train': ..., 'val': ..., 'test': ...}``, sorted; disjoint, and together all stems.

    Raises:
        ConfigError: an interval is no integer above 1.
    """
    for name, value in (('test_every', test_every), ('val_every', val_every)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 2:
            raise ConfigError(f'{name} must be an integer of at least 2, got {value!r}')
    order = _order(stems, seed)
    rest = [stem for rank, stem in enumerate(order) if rank % test_every]
    return {**_divide(rest, val_every), 'test': sorted(order[::test_every])}


@DATASETS.register_module()
class RICE(PairedImageDataset):
    """RICE in either of its layouts, ``{cloud,label[,mask]}/<number>.png``.

    The split of the published results is not known, so it is chosen here and printed with the results (metainfo
    ``split``, ``stems``).  The first that applies:

    1. ``ann_file``, a list of stems;
    2. the folders ``<root>/<name>-train`` and ``<root>/<name>-test`` of the published layout, as in
       ``RICE1-train/cloud``; validation images are every ``val_every``-th training image;
    3. ``<root>/splits/{train,val,test}.txt``, which ``mmweather prepare rice`` writes;
    4. the rule of :func:`split_stems` over ``<root>/{cloud,label[,mask]}``.

    RICE1 has 500 pairs of 512x512, RICE2 736 triples of the same size.

    Args:
        data_root: folder of one of the two sets.
        split: ``'train'``, ``'val'``, ``'test'``, or ``'all'``.
        keys: which images to pair: ``img`` cloudy, ``gt`` clear, ``mask`` of cloud and shadow (RICE2).
        test_every: see :func:`split_stems`.
        val_every: see above.
        split_seed: likewise, its ``seed``.
        ann_file: optional list of stems, relative to ``data_root``; ``split`` is then its name only.
        data_prefix: other folders, relative to ``data_root``; replaces the choice by ``keys``.
        kwargs: of :class:`PairedImageDataset`.

    Raises:
        ConfigError: unknown ``split`` or key, or an interval that cannot work.
        DataError: see :class:`PairedImageDataset`; also where two lists of ``splits`` share an image.
    """

    METAINFO = {
        'dataset_type': 'rice',
        'task_name': 'cloud removal',
        'source': 'https://github.com/BUPTLdy/RICE_DATASET',
        'citation': 'Lin et al., A Remote Sensing Image Dataset for Cloud Removal, arXiv 1901.00600, 2019',
    }
    scene_is_stem = True

    def __init__(self,
                 data_root: str = 'data/rice1',
                 split: str = 'train',
                 keys: Sequence[str] = ('img', 'gt'),
                 test_every: int = 5,
                 val_every: int = 8,
                 split_seed: int | None = None,
                 ann_file: str = '',
                 data_prefix: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        if split not in (*SPLITS, 'all'):
            raise ConfigError(f"split must be one of {', '.join(SPLITS)} or all, got {split!r}")
        unknown = [key for key in keys if key not in FOLDERS]
        if unknown:
            raise ConfigError(f'keys {unknown} are unknown; RICE has {sorted(FOLDERS)}')
        self.split = split
        self.rule = dict(test_every=test_every, val_every=val_every, seed=split_seed)
        split_stems((), **self.rule)
        self._from_folder = False
        if data_prefix is None:
            base = '' if ann_file or split == 'all' else self._published_folder(Path(data_root))
            self._from_folder = bool(base)
            data_prefix = {key: f'{base}{FOLDERS[key]}' for key in keys}
        super().__init__(data_root=data_root, data_prefix=data_prefix, ann_file=ann_file, **kwargs)

    def _published_folder(self, root: Path) -> str:
        part = 'test' if self.split == 'test' else 'train'
        found = sorted(folder.parent.name for folder in root.glob(f'*-{part}/cloud'))
        if len(found) > 1:
            raise DataError(f"'{root}' holds several sets ({shorten(found)}); give each its own folder")
        return f'{found[0]}/' if found else ''

    def load_data_list(self) -> list[dict]:
        """Find, pair and divide the files, and note in the metainfo how."""
        samples = super().load_data_list()
        stems = [sample['sample_key'] for sample in samples]
        self._metainfo.update(split=f'{self.split}, {len(stems)} images, {self._how()}: {" ".join(stems)}',
                              stems=tuple(stems))
        return samples

    def _held(self, stems: list[str]) -> list[str]:
        stems = super()._held(stems)
        if self.ann_file or self.split == 'all' or (self._from_folder and self.split == 'test'):
            return stems
        if self._from_folder:
            return _hold_out(stems, self.rule['val_every'], self.rule['seed'])[self.split]
        wanted = self._lists() or split_stems(stems, **self.rule)
        unknown = set(wanted[self.split]) - set(stems)
        if unknown:
            raise DataError(f"'{self._list_path()}' names {shorten(unknown)}, of which no image exists in "
                            f"'{self.data_root}'; fix the list")
        return [stem for stem in stems if stem in set(wanted[self.split])]

    def _list_path(self) -> Path:
        return Path(self.data_root) / 'splits' / f'{self.split}.txt'

    def _lists(self) -> dict[str, list[str]] | None:
        folder = self._list_path().parent
        lists = {name: read_stems(folder / f'{name}.txt') for name in SPLITS if (folder / f'{name}.txt').is_file()}
        if not lists:
            return None
        if self.split not in lists:
            # The rule would take images that another list holds.
            raise DataError(f"'{folder}' holds lists of {' and '.join(lists)}, but no {self.split}.txt; write one, one "
                            'stem a line, or remove the lists')
        refuse_shared(lists, f"'{folder}'")
        return lists

    def _how(self) -> str:
        if self.ann_file:
            return f"list '{Path(self.ann_file).name}'"
        if self.split == 'all':
            return 'not divided'
        rule = ', '.join(f'{name}={value}' for name, value in self.rule.items())
        if self._from_folder:
            return 'folder of the published layout' + ('' if self.split == 'test' else f', {rule}')
        return f'splits/{self.split}.txt' if self._list_path().is_file() else f'by rank ({rule})'


def _order(stems: Iterable[str], seed: int | None) -> list[str]:
    order = sorted(stems)
    return order if seed is None else [order[i] for i in np.random.RandomState(seed).permutation(len(order))]


def _divide(order: Sequence[str], every: int) -> dict[str, list[str]]:
    return {'train': sorted(stem for rank, stem in enumerate(order) if rank % every), 'val': sorted(order[::every])}


def _hold_out(stems: Iterable[str], val_every: int, seed: int | None) -> dict[str, list[str]]:
    """Training and validation stems where the test images are given."""
    return _divide(_order(stems, seed), val_every)


def _find_set(source: Path) -> tuple[Path, str]:
    """Folder of the one set in a download, and its name in the published layout (else '')."""
    found = set()
    for depth in range(4):
        for clouds in source.glob('/'.join(['*'] * depth + ['cloud'])):
            folder = clouds.parent
            name, _, part = folder.name.rpartition('-')
            found.add((folder.parent, name) if name and part in ('train', 'test') else (folder, ''))
    if not found:
        raise DataError(f"'{source}' holds no folder 'cloud'; give the folder with cloud and label of RICE1 or RICE2")
    if len(found) > 1:
        raise DataError(f"'{source}' holds several sets ({shorten(str(a / b) for a, b in found)}); give one of them")
    return found.pop()


def install_rice(source: str | Path, target: str | Path, copy: bool = False, lists: str | Path | None = None,
                 test_every: int = 5, val_every: int = 8, seed: int | None = None) -> dict[str, int]:
    """Put a downloaded RICE1 or RICE2 where the configs look for it, and write down how it is split.

    The images are paired and checked for partners first.  ``target`` holds ``cloud``, ``label``, where there is one
    ``mask``, and ``splits/{train,val,test}.txt``; it appears complete or not at all.

    Args:
        source: folder with ``cloud`` and ``label``, or with ``<name>-train`` and ``<name>-test`` that hold these, or
            one that holds such a folder at most two levels below.
        target: a new or empty folder.
        copy: copy the files instead of linking them.
        lists: folder with ``train.txt``, ``test.txt`` and optionally ``val.txt`` (else taken out of ``train.txt``), one
            stem a line, in place of a rule.
        test_every: see :func:`split_stems`; the published layout's own test images are kept.
        val_every: see above.
        seed: see above.

    Returns:
        Number of images of each part, ``{'train': n, 'val': n, 'test': n}``.

    Raises:
        DataError: the layout is not that of RICE, images lack partners, a list names unknown images or shares one
            with another, or ``target`` is not empty.
        ConfigError: an interval cannot work.
    """
    root, name = _find_set(check_source(source))
    target = check_target(target)
    parts = {part: root / f'{name}-{part}' for part in ('train', 'test')} if name else {'all': root}
    samples: dict[str, dict[str, dict]] = {}
    for part, folder in parts.items():
        keys = [key for key in FOLDERS if key != 'mask' or (folder / FOLDERS[key]).is_dir()]
        images = RICE(data_root=str(folder.absolute()), split='all', keys=keys)
        infos = (images.get_data_info(index) for index in range(len(images)))
        samples[part] = {info['sample_key']: info for info in infos}
    refuse_shared(samples, f"'{root}'")
    every = {stem: info for found in samples.values() for stem, info in found.items()}
    rule = f'test_every={test_every}, val_every={val_every}, seed={seed}'
    split_stems((), test_every, val_every)  # the intervals
    if lists is not None:
        split, rule = _read_lists(Path(lists), every), f"lists of '{Path(lists).name}'"
        if not split['val']:
            split |= _hold_out(split['train'], val_every, seed)
            rule += f', validation images: val_every={val_every}, seed={seed}'
    elif name:
        split = {**_hold_out(samples['train'], val_every, seed), 'test': sorted(samples['test'])}
        rule = f'published folders, val_every={val_every}, seed={seed}'
    else:
        split = split_stems(every, test_every, val_every, seed)
    texts = {f'splits/{part}.txt': f'# {part}: {rule}\n' + ''.join(f'{stem}\n' for stem in stems)
             for part, stems in split.items() if stems}
    files = [(Path(info[f'{key}_path']), folder) for info in every.values() for key, folder in FOLDERS.items()
             if f'{key}_path' in info]
    place_files(files, target, copy, texts)
    return {part: len(stems) for part, stems in split.items()}


def _read_lists(folder: Path, known: Iterable[str]) -> dict[str, list[str]]:
    lists = {part: sorted(read_stems(folder / f'{part}.txt')) if part != 'val' or (folder / f'{part}.txt').is_file()
             else [] for part in SPLITS}
    refuse_shared(lists, f"'{folder}'")
    for part, stems in lists.items():
        unknown = set(stems) - set(known)
        if unknown:
            raise DataError(f"'{folder / f'{part}.txt'}' names {shorten(unknown)}, of which there is no image; fix "
                            'the list')
    return lists
