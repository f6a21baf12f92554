"""SEN12MS-CR: cloudy and clear Sentinel-2 with Sentinel-1, co-registered patches of the whole world."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.text import shorten
from .leakage import refuse_shared
from .paired import read_quarantine, warm_loaders
from .sen12mscr_layout import Patches, describe, index_patches, read_splits, read_table, scene_of
from .sen12mscr_splits import SPLITS

SENSOR_OF = {'img': 's2_cloudy', 'gt': 's2', 'sar': 's1'}
"""Key of a sample -> sensor."""


@DATASETS.register_module()
class SEN12MSCR(BaseDataset):
    """SEN12MS-CR in any of its three layouts (see :func:`~mmweather.datasets.sen12mscr_layout.index_patches`).

    A sample is ``{'img_path', 'gt_path', 'sar_path', 'sample_key', 'scene', 'sample_idx'}``, as far as ``keys`` asks,
    handed to ``pipeline`` (see ``mmweather.LoadSentinel``); ``sample_key`` is ``ROIs1158_spring_106_p407``, ``scene``
    ``ROIs1158_spring_106``, and samples come in the order of their keys as text.  Patches are 256x256, of 13 Level-1C
    bands (uint16) and of VV and VH in dB (float32).  Not every patch exists in every sensor: incomplete ones are left
    out, and one line of the log counts them.

    Whole scenes are divided, by default as published with UnCRtainTS (155, 10 and 10 of them).

    Args:
        data_root: folder of the set.
        split: ``'train'``, ``'val'``, ``'test'``, or ``'all'`` for every patch there is.
        splits: scenes of each split, see :func:`~mmweather.datasets.sen12mscr_layout.read_splits`; or a ``.csv`` table
            of DSen2-CR and GLF-CR, relative to ``data_root``, which names patches.
        keys: which images to pair: ``img`` cloudy, ``gt`` clear, ``sar``.  Without ``sar``, patches that lack it are
            complete.
        layout: ``'auto'``, ``'archives'``, ``'seasons'`` or ``'flat'``.
        quarantine: optional JSON file, relative to ``data_root``, with keys of samples or files to skip.
        pipeline: transforms.
        test_mode: a pipeline that returns None is then an error.
        kwargs: of ``mmengine.BaseDataset``; ``indices=100`` takes the first 100.

    Raises:
        ConfigError: an argument is wrong.
        DataError: the folder has another layout, the lists share a scene or cannot be read, or nothing is left.
    """

    METAINFO = {
        'dataset_type': 'sen12mscr',
        'task_name': 'cloud removal',
        'source': 'https://mediatum.ub.tum.de/1554803',
        'citation': 'Ebel et al., Multisensor Data Fusion for Cloud Removal in Global and All-Season Sentinel-2 '
                    'Imagery, IEEE TGRS 2020',
    }

    def __init__(self,
                 data_root: str = 'data/sen12mscr',
                 split: str = 'train',
                 splits: str | Mapping[str, Iterable[str]] | None = None,
                 keys: Sequence[str] = ('img', 'gt', 'sar'),
                 layout: str = 'auto',
                 quarantine: str | None = None,
                 pipeline: Sequence[Any] = (),
                 test_mode: bool = False,
                 **kwargs: Any) -> None:
        if split not in (*SPLITS, 'all'):
            raise ConfigError(f"split must be one of {', '.join(SPLITS)} or all, got {split!r}")
        unknown = [key for key in keys if key not in SENSOR_OF]
        if unknown or 'img' not in keys:
            raise ConfigError(f'keys must hold img and else be of {sorted(SENSOR_OF)}, got {tuple(keys)}')
        self.split = split
        self.keys = tuple(keys)
        self.layout = layout
        self.quarantine = quarantine
        self._table: dict[str, set[str]] | None = None
        if isinstance(splits, (str, Path)) and str(splits).lower().endswith('.csv'):
            self._table = read_table(Path(data_root) / splits)
            self._scenes = {name: {scene_of(key) for key in keys} for name, keys in self._table.items()}
        else:
            self._scenes = read_splits(splits, data_root)
        if split != 'all' and split not in self._scenes:
            raise ConfigError(f"splits has no list '{split}'; it has {sorted(self._scenes)}")
        if self._table is not None:
            refuse_shared(self._scenes, f"table '{Path(data_root) / str(splits)}'")
        super().__init__(data_root=str(data_root), pipeline=list(pipeline), test_mode=test_mode, **kwargs)

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors that a sample needs."""
        return tuple(SENSOR_OF[key] for key in self.keys)

    def scene_names(self) -> set[str]:
        """Scenes of this split by its list, whether they are on disk or not; for the guard against leakage."""
        return set().union(*self._scenes.values()) if self.split == 'all' else set(self._scenes[self.split])

    def select(self, patches: Patches) -> Patches:
        """Those of the patches that belong to this split, complete or not; the quarantine is not applied."""
        if self.split == 'all':
            return patches
        wanted = self._table[self.split] if self._table is not None else None
        scenes = self._scenes[self.split]
        return Patches(patches.root, patches.layout, {
            key: found for key, found in patches.files.items()
            if (key in wanted if wanted is not None else scene_of(key) in scenes)})

    def index(self) -> Patches:
        """List the files of this split."""
        return self.select(index_patches(self.data_root, self.layout))

    def load_data_list(self) -> list[dict]:
        """Find, divide and pair the files; called once by ``full_init``."""
        patches = self.index()
        missing = patches.incomplete(self.sensors)
        skipped = self._quarantined(patches)
        kept = [key for key in patches.files if key not in missing and key not in skipped]
        if missing:
            print_log(f"SEN12MS-CR in '{self.data_root}': {len(missing)} of {len(patches.files)} patches of split "
                      f"'{self.split}' lack a sensor and are left out: {describe(missing)}",
                      logger='current', level=logging.WARNING)
        if not kept:
            reason = f'{len(missing)} incomplete, {len(skipped)} in quarantine' if patches.files else (
                f'none of its scenes ({shorten(self.scene_names())}) is there')
            raise DataError(f"'{self.data_root}': no patch is left for split '{self.split}' ({reason}); add the files, "
                            'or choose another split or other lists (splits)')
        count = Counter(scene_of(key) for key in kept)
        shown = ', '.join(f'{scene} ({number})' for scene, number in sorted(count.items()))
        self._metainfo.update(split=f'{self.split}, {len(kept)} patches of {len(count)} scenes: {shown}',
                              scenes=tuple(sorted(count)))
        return [{**{f'{key}_path': str(patches.files[name][SENSOR_OF[key]]) for key in self.keys},
                 'sample_key': name, 'scene': scene_of(name)} for name in kept]

    def _quarantined(self, patches: Patches) -> set[str]:
        if not self.quarantine:
            return set()
        entries = read_quarantine(Path(self.data_root) / self.quarantine)
        return {key for key, found in patches.files.items() if key in entries
                or any(path.relative_to(patches.root).as_posix() in entries for path in found.values())}

    def full_init(self) -> None:
        """List the files; then let caching loaders read them here, where forked workers share the memory."""
        if self._fully_initialized:
            return
        super().full_init()
        warm_loaders(self)
