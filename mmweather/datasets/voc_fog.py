"""VOC-FOG, RTTS and Foggy Driving: person, bicycle, car, motorbike and bus in synthetic and real fog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.files import finite_number, read_text
from ..utils.images import is_image_file
from ..utils.text import shorten
from ..utils.voc import VOCObject
from .paired_det import PairedDetDataset

FIVE_CLASSES = ('person', 'bicycle', 'car', 'motorbike', 'bus')
_PALETTE = [(220, 20, 60), (119, 11, 32), (0, 0, 142), (0, 0, 230), (0, 60, 100)]


@DATASETS.register_module()
class VOCFog(PairedDetDataset):
    """VOC-FOG in its published layout, or a set of the same layout written by ``mmweather prepare voc-fog``.

    ``<root>/train/{Annotations,JPEGImages,VOC2007-FOG}`` and ``<root>/test/{Annotations,JPEGImages,VOCtest-FOG}``:
    annotations of PASCAL VOC, clean images and foggy images of equal names; ``test/VOC2007-FOG`` is found too.  9,578
    training and 2,129 test images.  The published code takes its validation images at random out of the training
    ones; ``part`` takes every ``holdout_every``-th.

    Args:
        data_root: folder that holds ``train`` and ``test``.
        split: ``'train'`` or ``'test'``.
        part: of the training split, ``'train'`` or ``'val'``; None takes all.
        holdout_every: hold out every n-th image.
        weather: ``'fog'``, or ``'clear'``: ``img`` is then the clean image, to measure what the fog costs.
        clean: give ``clean_img_path`` (see ``mmweather.LoadCleanImage``).
        data_prefix: other folders, relative to ``data_root``; replaces the choice by ``split``, ``weather``, ``clean``.
        kwargs: of :class:`PairedDetDataset`.

    Raises:
        ConfigError: an argument is none of its choices.
        DataError: see :class:`PairedDetDataset`.
    """

    METAINFO = {
        'dataset_type': 'voc_fog',
        'classes': FIVE_CLASSES,
        'palette': _PALETTE,
        'source': 'https://github.com/yz-wang/TogetherNet',
        'citation': 'Wang et al., TogetherNet: Bridging Image Restoration and Object Detection Together via Dynamic '
                    'Enhancement Learning, Computer Graphics Forum 2022; images and boxes from PASCAL VOC',
    }
    FOGGY = {'train': ('VOC2007-FOG', ), 'test': ('VOCtest-FOG', 'VOC2007-FOG')}

    def __init__(self,
                 data_root: str = 'data/voc_fog',
                 split: str = 'train',
                 part: str | None = None,
                 holdout_every: int = 10,
                 weather: str = 'fog',
                 clean: bool = True,
                 data_prefix: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        if split not in self.FOGGY:
            raise ConfigError(f"VOCFog: split must be 'train' or 'test', got {split!r}")
        if weather not in ('fog', 'clear'):
            raise ConfigError(f"VOCFog: weather must be 'fog' or 'clear', got {weather!r}")
        if part is not None:
            if split == 'test':
                raise ConfigError("VOCFog: part divides the training split; drop it where split='test'")
            if 'holdout' in kwargs:
                raise ConfigError('VOCFog: give either part or holdout, not both')
            kwargs['holdout'] = {'every': holdout_every, 'part': part}
        if data_prefix is None:
            there = [name for name in self.FOGGY[split] if Path(data_root, split, name).is_dir()]
            foggy = (there or self.FOGGY[split])[0]
            data_prefix = {'img': f"{split}/{foggy if weather == 'fog' else 'JPEGImages'}",
                           'ann': f'{split}/Annotations'}
            if clean:
                data_prefix['clean_img'] = f'{split}/JPEGImages'
        super().__init__(data_root=data_root, data_prefix=data_prefix, **kwargs)


@DATASETS.register_module()
class RTTS(PairedDetDataset):
    """RTTS of RESIDE: 4,322 photographs in real fog with PASCAL VOC annotations, for testing.

    ``<root>/{JPEGImages,Annotations}`` as downloaded, or ``<root>/{images,Annotations}`` as TogetherNet's evaluation
    wants it.  There are no clean images.

    Args:
        data_root: the folder.
        data_prefix: other folders for ``img`` and ``ann``.
        kwargs: of :class:`PairedDetDataset`; ``ann_file='ImageSets/Main/test.txt'`` takes the published list.

    Raises:
        DataError: see :class:`PairedDetDataset`.
    """

    METAINFO = {
        'dataset_type': 'rtts',
        'classes': FIVE_CLASSES,
        'palette': _PALETTE,
        'source': 'https://sites.google.com/view/reside-dehaze-datasets',
        'citation': 'Li et al., Benchmarking Single-Image Dehazing and Beyond, IEEE TIP 2019',
    }

    def __init__(self, data_root: str = 'data/rtts', data_prefix: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        if data_prefix is None:
            folder = 'images' if Path(data_root, 'images').is_dir() else 'JPEGImages'
            data_prefix = {'img': folder, 'ann': 'Annotations'}
        super().__init__(data_root=data_root, data_prefix=data_prefix, **kwargs)


@DATASETS.register_module()
class FoggyDriving(PairedDetDataset):
    """Foggy Driving: 101 photographs of streets in real fog with boxes in text files, for testing.

    The layout is ``<root>/leftImg8bit/<split>/<record>/<record>_<id>_<id>*.png`` and the same below ``<root>/bboxGt``,
    a text file an image with one line ``id x1 y1 x2 y2`` a box, counted from 1.  Files are paired by stem without the
    endings ``_leftImg8bit`` and ``_bboxGt``.  ``test`` (33 images) has boxes from fine masks, ``test_extra`` (68) less
    exact ones from coarse masks; published detection figures are of all 101.

    ``CLASSES`` names the ids; motorcycles are called motorbike as in VOC, and trucks, trains and riders are left out
    because they are no class of VOC-FOG.

    Args:
        data_root: folder that holds ``leftImg8bit`` and ``bboxGt``.
        split: ``'test'`` or ``'test_extra'``; None takes both.
        data_prefix: other folders for ``img`` and ``ann``.
        kwargs: of :class:`PairedDetDataset`; boxes are taken as they stand unless ``minus_one=True``.

    Raises:
        DataError: see :class:`PairedDetDataset`; a line of a text file cannot be read.
    """

    METAINFO = {
        'dataset_type': 'foggy_driving',
        'classes': FIVE_CLASSES,
        'palette': _PALETTE,
        'source': 'https://people.ee.ethz.ch/~csakarid/SFSU_synthetic/',
        'citation': 'Sakaridis et al., Semantic Foggy Scene Understanding with Synthetic Data, IJCV 2018',
    }
    FLAT_FOLDERS = False
    CLASSES = ('car', 'person', 'bicycle', 'bus', 'truck', 'train', 'motorbike', 'rider')
    _ENDINGS = ('_leftImg8bit', '_bboxGt')

    def __init__(self, data_root: str = 'data/foggy_driving', split: str | None = None,
                 data_prefix: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        if split not in (None, 'test', 'test_extra'):
            raise ConfigError(f"FoggyDriving: split must be 'test', 'test_extra' or None for both, got {split!r}")
        if data_prefix is None:
            data_prefix = {key: '/'.join([folder, *([split] if split else [])])
                           for key, folder in (('img', 'leftImg8bit'), ('ann', 'bboxGt'))}
        super().__init__(data_root=data_root, data_prefix=data_prefix, **kwargs)

    def _collect(self, key: str, paths: Sequence[Path]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        twice = []
        for path in paths:
            stem = path.stem
            for ending in self._ENDINGS:
                stem = stem.removesuffix(ending)
            if stem in found:
                twice.append(stem)
            found[stem] = path
        if twice:
            raise DataError(f"'{self.data_prefix[key]}' holds several files with one stem: {shorten(twice)}; keep one "
                            'of each')
        if not found:
            raise DataError(f"'{self.data_prefix[key]}' is missing or holds nothing; check data_root and data_prefix")
        return found

    def _images(self) -> dict[str, Path]:
        return self._collect('img', [path for path in sorted(Path(self.data_prefix['img']).rglob('*'))
                                     if is_image_file(path) and path.is_file()])

    def _annotations(self) -> dict[str, Path]:
        return self._collect('ann', sorted(Path(self.data_prefix['ann']).rglob('*.txt')))

    def _read(self, annotation: Path) -> tuple[None, list[VOCObject]]:
        objects = []
        try:
            lines = read_text(annotation).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"annotation '{annotation}' cannot be read ({error}); copy it again") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                index, x1, y1, x2, y2 = map(finite_number, line.split())
                name = self.CLASSES[int(index)] if index >= 0 and index == int(index) else None
            except (ValueError, IndexError):
                name = None
            if name is None:
                raise DataError(f"annotation '{annotation}', line {number}: want 'id x1 y1 x2 y2' with an id of 0 to "
                                f'{len(self.CLASSES) - 1}, got {line.strip()!r}; fix the line')
            objects.append(VOCObject(name, (x1, y1, x2, y2)))
        return None, objects
