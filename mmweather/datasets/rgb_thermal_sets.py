"""Other sets that HeatNet is trained or tested on: MF (RGB-thermal, 9 classes) and Vistas-like sets for the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets.basesegdataset import BaseSegDataset

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.text import plural, shorten
from .label_maps import (
    FREIBURG_LABELS,
    HEATNET_CLASSES,
    HEATNET_PALETTE,
    MF_CLASSES,
    MF_PALETTE,
    VISTAS_LABELS,
)
from .paired import list_images, read_stems

_MF_DOMAINS = {'D': 'day', 'N': 'night'}


@DATASETS.register_module()
class MFDataset(BaseSegDataset):
    """The MF set (Ha et al., MFNet, IROS 2017): 640x480 images of four channels, RGB and 8-bit thermal, 9 classes.

    Layout: ``images/<name>.png``, ``labels/<name>.png``, lists of names such as ``train.txt``. The last letter of a
    name says day (D) or night (N). Load it with ``mmweather.LoadRGBThermal(depth=8)``.

    Args:
        data_root: folder that holds ``images``, ``labels`` and the lists.
        ann_file: a list of names, relative to ``data_root``.
        domains: which of ``'day'`` and ``'night'``.
        keep_flipped: take the flipped copies (``...flip``) that the published list of training names holds.
        label_folder: folder of the labels; None for images without labels.
        labelled: domains whose images have label files; the others are taken without labels.
        **kwargs: of mmseg's ``BaseSegDataset``.

    Raises:
        DataError: a file is missing, or a name does not say day or night.
    """

    METAINFO = {'dataset_type': 'mf', 'classes': MF_CLASSES, 'palette': [list(colour) for colour in MF_PALETTE]}
    LABEL_IDS = {i: i for i in range(len(MF_CLASSES))}
    """Ids in the label files, and their classes."""

    def __init__(self, data_root: str = 'data/mf', ann_file: str = 'train.txt',
                 domains: Sequence[str] = ('day', 'night'), keep_flipped: bool = False,
                 label_folder: str | None = 'labels', labelled: Sequence[str] = ('day', 'night'),
                 **kwargs: Any) -> None:
        self.domains, self.keep_flipped, self.label_folder = tuple(domains), keep_flipped, label_folder
        self.labelled = tuple(labelled) if label_folder else ()
        super().__init__(data_root=data_root, ann_file=ann_file, data_prefix=dict(img_path='images', seg_map_path=''),
                         **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list and find its files."""
        images = list_images(self.data_prefix['img_path'])
        labels = list_images(Path(self.data_root) / self.label_folder) if self.labelled else None
        mapping = {old: new if self.label_map is None else self.label_map.get(new, new)
                   for old, new in self.LABEL_IDS.items()}
        samples = []
        for name in read_stems(self.ann_file):
            if 'flip' in name and not self.keep_flipped:
                continue
            domain = _MF_DOMAINS.get(name.removesuffix('_flip')[-1])
            if domain is None:
                raise DataError(f"'{self.ann_file}': the name '{name}' ends neither in D (day) nor in N (night)")
            if domain not in self.domains:
                continue
            own = labels if domain in self.labelled else None
            absent = [folder for folder, files in (('images', images), (self.label_folder, own))
                      if files is not None and name not in files]
            if absent:
                raise DataError(f"'{self.ann_file}' names '{name}', of which no file exists in {', '.join(absent)}; "
                                'add it or fix the list')
            sample = dict(img_path=str(images[name]), thermal_path=str(images[name]), domain=domain, sample_key=name,
                          label_map=mapping, reduce_zero_label=False, seg_fields=[])
            if own is not None:
                sample['seg_map_path'] = str(own[name])
            samples.append(sample)
        if not samples:
            raise DataError(f"'{self.ann_file}' leaves no image of {', '.join(self.domains)}; check list and domains")
        return samples


@DATASETS.register_module()
class MFTeacherLabels(MFDataset):
    """The MF set with labels of HeatNet's 13 classes, which an RGB teacher wrote for the images of the day.

    ``tools/dataset_converters/pseudo_labels.py`` writes them. Names and arguments are those of :class:`MFDataset`.

    Args:
        label_folder: folder of the teacher's labels.
        labelled: domains that have them.
        **kwargs: of :class:`MFDataset`.
    """

    METAINFO = {'dataset_type': 'mf_teacher_labels', 'classes': HEATNET_CLASSES,
                'palette': [list(colour) for colour in HEATNET_PALETTE]}
    LABEL_IDS = FREIBURG_LABELS

    def __init__(self, label_folder: str | None = 'labels_from_rgbteacher', labelled: Sequence[str] = ('day', ),
                 **kwargs: Any) -> None:
        super().__init__(label_folder=label_folder, labelled=labelled, **kwargs)


@DATASETS.register_module()
class RGBThermalPairs(BaseSegDataset):
    """Registered RGB and thermal images without labels, paired by name: to look at what a network makes of them.

    Layout: ``<visible>/<name>.<ext>`` and ``<thermal>/<name>.<ext>``, as that of MSRS (``vi`` and ``ir``). Classes are
    HeatNet's; ``metainfo`` replaces them.

    Args:
        data_root: folder that holds both folders.
        visible: folder of the visible images.
        thermal: folder of the thermal images.
        domain_of: domain by the last letter of a name, as ``dict(D='day', N='night')``; other names have none.
        **kwargs: of mmseg's ``BaseSegDataset``.

    Raises:
        DataError: a folder is missing or empty, or an image lacks its partner.
    """

    METAINFO = {'dataset_type': 'rgb_thermal_pairs', 'classes': HEATNET_CLASSES,
                'palette': [list(colour) for colour in HEATNET_PALETTE]}

    def __init__(self, data_root: str = 'data/pairs', visible: str = 'vi', thermal: str = 'ir',
                 domain_of: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        self.domain_of = dict(domain_of or {})
        super().__init__(data_root=data_root, data_prefix=dict(img_path=visible, thermal_path=thermal), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Pair the files by name."""
        images, thermal = (list_images(self.data_prefix[key]) for key in ('img_path', 'thermal_path'))
        alone = set(images) ^ set(thermal)
        if alone:
            raise DataError(f"{plural(len(alone), 'image')} of '{self.data_prefix['img_path']}' and "
                            f"'{self.data_prefix['thermal_path']}' without a partner: {shorten(alone)}; add or "
                            'remove it')
        samples = []
        for name in sorted(images):
            sample = dict(img_path=str(images[name]), thermal_path=str(thermal[name]), sample_key=name,
                          label_map=None, reduce_zero_label=False, seg_fields=[])
            if name[-1] in self.domain_of:
                sample['domain'] = self.domain_of[name[-1]]
            samples.append(sample)
        return samples


@DATASETS.register_module()
class TranslatedLabels(BaseSegDataset):
    """Images with label maps of another set's ids, translated to HeatNet's classes: the teacher's training set.

    Layout as Mapillary Vistas 1.2: ``<split>/images/<name>.jpg`` and ``<split>/labels/<name>.png``.

    Args:
        data_root: folder that holds the splits.
        split: as ``'training'``.
        translation: class of each id; those of Vistas by default (:mod:`mmweather.datasets.label_maps` has more).
        image_folder: relative to the split.
        label_folder: see above.
        **kwargs: of mmseg's ``BaseSegDataset``.

    Raises:
        ConfigError: the translation names a class that is not HeatNet's.
        DataError: a folder is missing, or an image or a label map lacks its partner.
    """

    METAINFO = {'dataset_type': 'translated_labels', 'classes': HEATNET_CLASSES,
                'palette': [list(colour) for colour in HEATNET_PALETTE]}

    def __init__(self, data_root: str = 'data/vistas', split: str = 'training',
                 translation: Mapping[int, int] | None = None, image_folder: str = 'images',
                 label_folder: str = 'labels', **kwargs: Any) -> None:
        self.translation = {int(old): int(new) for old, new in (translation or VISTAS_LABELS).items()}
        wrong = sorted(new for new in self.translation.values() if new not in (*range(len(HEATNET_CLASSES)), 255))
        if wrong:
            raise ConfigError(f'TranslatedLabels: translation gives class {wrong[0]}; 0 to {len(HEATNET_CLASSES) - 1} '
                              'and 255 (ignore) are possible')
        super().__init__(data_root=data_root, data_prefix=dict(img_path=f'{split}/{image_folder}',
                                                               seg_map_path=f'{split}/{label_folder}'), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Pair the files by name."""
        images, labels = (list_images(self.data_prefix[key]) for key in ('img_path', 'seg_map_path'))
        alone = set(images) ^ set(labels)
        if alone:
            raise DataError(f"{plural(len(alone), 'file')} of '{self.data_prefix['img_path']}' and "
                            f"'{self.data_prefix['seg_map_path']}' without a partner: {shorten(alone)}; add or "
                            'remove it')
        mapping = {old: new if self.label_map is None else self.label_map.get(new, new)
                   for old, new in self.translation.items()}
        return [dict(img_path=str(images[name]), seg_map_path=str(labels[name]), sample_key=name, label_map=mapping,
                     reduce_zero_label=False, seg_fields=[]) for name in sorted(images)]
