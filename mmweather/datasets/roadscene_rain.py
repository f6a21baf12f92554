"""RoadScene-rain: rainy and clean visible images with registered infrared, of the NiteDR authors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.runs import check_target
from .paired import PairedImageDataset
from .tools.placing import check_source, place_files


@DATASETS.register_module()
class RoadSceneRain(PairedImageDataset):
    """RoadScene-rain in its published layout, ``<root>/{train,test}/{Vis/input,Vis/target,Inf/input}/NNN.jpg``.

    181 training and 40 test triples; sizes agree within a triple and vary between triples (width 351-622, height
    161-459).  Visible images are RGB, infrared ones a single channel.  The published set has no validation split;
    ``part`` takes one out of the training images, so that nothing is chosen by the test images.

    Args:
        data_root: folder that holds ``train`` and ``test``.
        split: ``'train'`` or ``'test'``.
        part: of the training split, ``'train'`` or ``'val'`` (every ``holdout_every``-th image); None takes all.
        holdout_every: hold out every n-th image.
        keys: which images to pair: ``img`` rainy, ``gt`` clean target, ``ir`` infrared, and ``clean``, the output of a
            trained CleanNet saved under ``Vis/clean`` (second stage of NiteDR).
        data_prefix: other folders, relative to ``data_root``; replaces the choice by ``keys``.
        kwargs: of :class:`PairedImageDataset`.

    Raises:
        ConfigError: unknown ``split``, ``part`` or key.
        DataError: see :class:`PairedImageDataset`.
    """

    METAINFO = {
        'dataset_type': 'roadscene_rain',
        'task_name': 'deraining',
        'source': 'https://github.com/CidanShi/NiteDR-Nighttime-Image-De-raining',
        'citation': 'Shi et al., NiteDR: Nighttime Image De-Raining with Cross-View Sensor Cooperative Learning for '
                    'Dynamic Driving Scenes, IEEE TMM 2024; images from RoadScene (Xu et al., U2Fusion, TPAMI 2020)',
    }
    FOLDERS = {'img': 'Vis/input', 'gt': 'Vis/target', 'ir': 'Inf/input', 'clean': 'Vis/clean'}

    def __init__(self,
                 data_root: str = 'data/roadscene_rain',
                 split: str = 'train',
                 part: str | None = None,
                 holdout_every: int = 10,
                 keys: Sequence[str] = ('img', 'gt', 'ir'),
                 data_prefix: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        if split not in ('train', 'test'):
            raise ConfigError(f"split must be 'train' or 'test', got {split!r}")
        if part is not None:
            if split == 'test':
                raise ConfigError("part divides the training split; drop it where split='test'")
            if 'holdout' in kwargs:
                raise ConfigError('give either part or holdout, not both')
            kwargs['holdout'] = {'every': holdout_every, 'part': part}
        unknown = [key for key in keys if key not in self.FOLDERS]
        if unknown:
            raise ConfigError(f'keys {unknown} are unknown; RoadSceneRain has {sorted(self.FOLDERS)}')
        self.split = split
        if data_prefix is None:
            data_prefix = {key: f'{split}/{self.FOLDERS[key]}' for key in keys}
        super().__init__(data_root=data_root, data_prefix=data_prefix, **kwargs)


def install_roadscene_rain(source: str | Path, target: str | Path, copy: bool = False) -> dict[str, int]:
    """Put a downloaded RoadScene-rain where the configs look for it.

    The triples are paired and checked first; only paired images are taken (the published archive holds a stray file).
    ``target`` appears complete or not at all.

    Args:
        source: folder that holds ``train`` and ``test``, or one that holds that folder at most two levels below.
        target: a new or empty folder.
        copy: copy the files instead of linking them.

    Returns:
        Number of triples, ``{'train': n, 'test': n}``.

    Raises:
        DataError: the layout is not that of RoadScene-rain, images lack partners, or ``target`` is not empty.
    """
    source = check_source(source)
    below = [source, *(source / '/'.join(['*'] * depth) for depth in (1, 2))]
    roots = [path.parents[2] for pattern in below
             for path in sorted(Path(source).glob(str((pattern / 'train/Vis/input').relative_to(source))))]
    if not roots:
        raise DataError(f"'{source}' holds no train/Vis/input; give the folder with train and test of RoadScene-rain")
    target = check_target(target)
    splits = {}
    for split in ('train', 'test'):
        samples = RoadSceneRain(data_root=str(roots[0].absolute()), split=split)
        splits[split] = [samples.get_data_info(index) for index in range(len(samples))]
    place_files([(Path(sample[f'{key}_path']), f'{split}/{folder}') for split, samples in splits.items()
                 for sample in samples for key, folder in RoadSceneRain.FOLDERS.items() if f'{key}_path' in sample],
                target, copy)
    return {split: len(samples) for split, samples in splits.items()}
