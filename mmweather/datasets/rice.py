"""RICE1 and RICE2: cloudy and clear satellite images of one place, RICE2 with masks of cloud and shadow."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from .paired import PairedImageDataset, list_images, read_stems, shorten

SPLITS = ('train', 'val', 'test')
FOLDERS = {'img': 'cloud', 'gt': 'label', 'mask': 'mask'}


def split_stems(stems: Iterable[str], test_every: int = 5, val_every: int = 8,
                seed: int | None = None) -> dict[str, list[str]]:
    """Divide stems by their rank.

    The stems are sorted as text, and shuffled where a seed is given.  Ranks 0, ``test_every``, 2 ``test_every``, ...
    are tested on; of the others, ranks 0, ``val_every``, ... counted anew are for validation.

    Args:
        stems: names, each once.
        test_every: one image out of so many is for testing.
        val_every: one of the rest out of so many is for validation.
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
    return {
        'train': sorted(stem for rank, stem in enumerate(rest) if rank % val_every),
        'val': sorted(rest[::val_every]),
        'test': sorted(order[::test_every]),
    }


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
        val_every: likewise.
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
            held = set(_order(stems, self.rule['seed'])[::self.rule['val_every']])
            return [stem for stem in stems if (stem in held) == (self.split == 'val')]
        wanted = self._lists() or split_stems(stems, **self.rule)
        unknown = set(wanted[self.split]) - set(stems)
        if unknown:
            raise DataError(f"'{self._list_path()}' names {shorten(unknown)}, of which no image exists in "
                            f"'{self.data_root}'; mend the list")
        return [stem for stem in stems if stem in set(wanted[self.split])]

    def _list_path(self) -> Path:
        return Path(self.data_root) / 'splits' / f'{self.split}.txt'

    def _lists(self) -> dict[str, list[str]] | None:
        paths = {name: self._list_path().with_name(f'{name}.txt') for name in SPLITS}
        if not self._list_path().is_file():
            return None
        lists = {name: read_stems(path) for name, path in paths.items() if path.is_file()}
        check_disjoint(lists, str(self._list_path().parent))
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


def check_disjoint(lists: Mapping[str, Sequence[str]], where: str) -> None:
    """Refuse lists that share an image.

    Raises:
        DataError: an image stands in two lists.
    """
    names = list(lists)
    for i, first in enumerate(names):
        for second in names[i + 1:]:
            both = set(lists[first]) & set(lists[second])
            if both:
                raise DataError(f"'{where}': {shorten(both)} stand(s) in {first} and in {second}; an image that is "
                                'tested on must not be trained on: remove it from one list')
