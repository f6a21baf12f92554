"""Freiburg Thermal: aligned RGB and thermal images of driving by day and night, labelled by day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmseg.datasets.basesegdataset import BaseSegDataset

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.text import plural, shorten
from .label_maps import FREIBURG_LABELS, HEATNET_CLASSES, HEATNET_PALETTE

_STAMP = re.compile(r'(\d+)_(\d+)')
DOMAINS = ('day', 'night')


def stamp(path: Path) -> tuple[int, int]:
    """Seconds and nanoseconds in the name of a frame.

    Raises:
        DataError: the name holds no time stamp.
    """
    found = _STAMP.search(path.stem)
    if found is None:
        raise DataError(f"'{path}' has no time stamp <seconds>_<nanoseconds> in its name; rename or remove the file")
    return int(found[1]), int(found[2])


@DATASETS.register_module()
class FreiburgThermal(BaseSegDataset):
    """Freiburg Thermal (Vertens et al., IROS 2020) in its published layout.

    ``train/seq_NN_{day,night}/NN/{fl_rgb,fl_ir_aligned,fl_rgb_labels}/<folder>_<sec>_<nsec>.png`` with 16-bit thermal
    images and 8-bit labels by day;
    ``test/{day,night}/{ImagesRGB/*_rgb.png,ImagesIR/*_ir.png,SegmentationClass/*.npy}``.
    Day and night are read off the sequence's folder, frames are paired by their names.

    A sample is ``{'img_path', 'thermal_path', 'seg_map_path' (labelled frames), 'certainty_path' (frames with a
    teacher's certainty), 'domain', 'sample_key', 'label_map', ...}``. Frames are sorted by domain, sequence and stamp.

    Args:
        data_root: folder that holds ``train`` and ``test``.
        split: ``'train'`` or ``'test'``.
        domains: which of ``'day'`` and ``'night'``.
        part: of the training split, ``'train'`` or ``'val'`` (every ``holdout_every``-th frame of a domain); None
            takes all. With ``'val'`` by night there are labels only if ``labelled`` says so.
        holdout_every: hold out every n-th frame.
        labelled: domains whose training frames have label files.
        label_folder: their folder, beside ``fl_rgb``; a mapping where it depends on the domain, as
            ``dict(day='fl_rgb_labels', night='teacher_labels')``.
        certainty_folder: folder of the certainties of the labels, which ``tools/dataset_converters/pseudo_labels.py``
            writes, by domain; a domain that is not named has none.
        missing: what to do with a frame that lacks a partner: ``'error'``, or ``'skip'`` it and say how many.
        drop_test_frames: leave out training frames whose stamp a test frame has.
        **kwargs: of mmseg's ``BaseSegDataset``.

    Raises:
        ConfigError: an argument cannot work.
        DataError: a folder is missing or holds no frame, or a frame lacks a partner.
    """

    METAINFO = {'dataset_type': 'freiburg_thermal', 'classes': HEATNET_CLASSES,
                'palette': [list(colour) for colour in HEATNET_PALETTE],
                'source': 'http://thermal.cs.uni-freiburg.de/'}
    _FOLDERS = {'img_path': 'fl_rgb', 'thermal_path': 'fl_ir_aligned'}

    def __init__(self, data_root: str = 'data/freiburg_thermal', split: str = 'train',
                 domains: Sequence[str] = DOMAINS, part: str | None = None, holdout_every: int = 100,
                 labelled: Sequence[str] = ('day', ), label_folder: str | Mapping[str, str] = 'fl_rgb_labels',
                 certainty_folder: Mapping[str, str] | None = None, missing: str = 'error',
                 drop_test_frames: bool = True, **kwargs: Any) -> None:
        if split not in ('train', 'test'):
            raise ConfigError(f"FreiburgThermal: split must be 'train' or 'test', got {split!r}")
        if part not in (None, 'train', 'val') or (part and split == 'test'):
            raise ConfigError("FreiburgThermal: part is 'train' or 'val' and divides the training split, got "
                              f'part={part!r} with split={split!r}')
        if not domains or not set(domains) <= set(DOMAINS) or not set(labelled) <= set(DOMAINS):
            raise ConfigError(f"FreiburgThermal: domains and labelled are of 'day' and 'night', got {tuple(domains)} "
                              f'and {tuple(labelled)}')
        folders = (dict.fromkeys(DOMAINS, label_folder) if isinstance(label_folder, str) else dict(label_folder))
        certain = dict(certainty_folder or {})
        if not set(labelled) <= set(folders) <= set(DOMAINS) or not set(certain) <= set(labelled):
            raise ConfigError('FreiburgThermal: label_folder must name a folder for each domain of labelled '
                              f'{tuple(labelled)}, and certainty_folder for some of them, got {folders} and {certain}')
        if missing not in ('error', 'skip') or holdout_every < 2:
            raise ConfigError(f"FreiburgThermal: missing must be 'error' or 'skip' and holdout_every at least 2, got "
                              f'{missing!r} and {holdout_every}')
        self.split, self.domains, self.part, self.holdout_every = split, tuple(domains), part, holdout_every
        self.labelled, self.label_folder, self.certainty_folder = tuple(labelled), folders, certain
        self.missing, self.drop_test_frames = missing, drop_test_frames
        super().__init__(data_root=data_root, data_prefix=dict(img_path='', seg_map_path=''), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Find and pair the files."""
        samples = []
        for domain in DOMAINS:
            if domain in self.domains:
                samples += self._train(domain) if self.split == 'train' else self._test(domain)
        mapping = {old: new if self.label_map is None else self.label_map.get(new, new)
                   for old, new in FREIBURG_LABELS.items()}
        return [{**sample, 'label_map': mapping, 'reduce_zero_label': False, 'seg_fields': []} for sample in samples]

    def _settle(self, samples: list[dict], lacking: list[str], what: str) -> list[dict]:
        if lacking and self.missing == 'error':
            raise DataError(f"{plural(len(lacking), 'frame')} of '{what}' without a partner: {shorten(lacking)}; "
                            "add the files, remove their partners, or set missing='skip'")
        if lacking:
            print_log(f'{what}: {plural(len(lacking), "frame")} without a partner skipped: {shorten(lacking)}',
                      'current')
        if not samples:
            raise DataError(f"'{what}' holds no frame that could be used; check data_root")
        return samples

    def _train(self, domain: str) -> list[dict]:
        root = Path(self.data_root) / 'train'
        if not root.is_dir():
            raise DataError(f"no such folder: '{root}'; data_root must hold train and test")
        unclear = [path.name for path in root.iterdir() if path.is_dir() and ('day' in path.name) == (
            'night' in path.name)]
        if unclear:
            raise DataError(f"'{root}': {shorten(unclear)} must say either day or night in its name")
        sequences = [path for path in sorted(root.iterdir()) if path.is_dir() and domain in path.name]
        roles = dict(self._FOLDERS)
        if domain in self.labelled:
            roles['seg_map_path'] = self.label_folder[domain]
        if domain in self.certainty_folder:
            roles['certainty_path'] = self.certainty_folder[domain]
        samples, lacking = [], []
        for drive in (path for sequence in sequences for path in sorted(sequence.iterdir()) if path.is_dir()):
            found = {role: {stamp(file): file for file in sorted((drive / folder).glob('*.png'))}
                     for role, folder in roles.items()}
            for key in sorted(set(found['img_path']) | set(found['thermal_path'])):
                absent = [roles[role] for role, files in found.items() if key not in files]
                name = f'{drive.parent.name}/{drive.name}/{key[0]}_{key[1]}'
                if absent:
                    lacking.append(f'{name} (no {", ".join(absent)})')
                else:
                    samples.append({**{role: str(files[key]) for role, files in found.items()}, 'domain': domain,
                                    'sample_key': name, 'stamp': key})
        samples = self._settle(samples, lacking, f'{root} ({domain})')
        if self.drop_test_frames:
            taken = {stamp(file) for file in Path(self.data_root).glob('test/*/ImagesIR/*_ir.png')}
            samples = [sample for sample in samples if sample['stamp'] not in taken]
        if self.part:
            samples = [sample for rank, sample in enumerate(samples)
                       if (rank % self.holdout_every == 0) == (self.part == 'val')]
        if not samples:
            raise DataError(f"'{root}' ({domain}) has no frame left after the test frames and the held-out ones are "
                            'taken away; lower holdout_every or add frames')
        return samples

    def _test(self, domain: str) -> list[dict]:
        root = Path(self.data_root) / 'test' / domain
        endings = {'img_path': ('ImagesRGB', '_rgb', '.png'), 'thermal_path': ('ImagesIR', '_ir', '.png'),
                   'seg_map_path': ('SegmentationClass', '', '.npy')}
        found = {}
        for role, (folder, ending, suffix) in endings.items():
            if not (root / folder).is_dir():
                raise DataError(f"no such folder: '{root / folder}'; data_root must hold the published test layout")
            found[role] = {stamp(file): file for file in sorted((root / folder).glob(f'*{ending}{suffix}'))}
        samples, lacking = [], []
        for key in sorted(set().union(*found.values())):
            absent = [endings[role][0] for role, files in found.items() if key not in files]
            if absent:
                lacking.append(f'{key[0]}_{key[1]} (no {", ".join(absent)})')
            else:
                samples.append({**{role: str(files[key]) for role, files in found.items()}, 'domain': domain,
                                'sample_key': f'{domain}/{key[0]}_{key[1]}', 'stamp': key})
        return self._settle(samples, lacking, str(root))
