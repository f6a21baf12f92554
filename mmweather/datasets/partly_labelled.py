"""COCO files and bare folders whose images are labelled for some classes only, with depth maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.images import image_size
from .paired import list_images


@DATASETS.register_module()
class PartlyLabelledCoco(CocoDataset):
    """Images with the boxes of a COCO file, and the classes that the file says nothing about.

    A set of vehicles with people on the pictures and no box around them teaches a detector that people are background.
    ``unlabelled_classes`` names such classes, and ``mmweather.PartlyLabelledYOLOXHead`` does not count their places.

    A sample is mmdet's, with ``unlabelled_labels``, the numbers of those classes, and ``depth_path`` where
    ``data_prefix`` has ``depth`` (a PNG, TIFF or NPY of the image's stem).  Images without boxes are kept.

    Args:
        ann_file: COCO file; empty: all images of the folder, none of whose classes is labelled.
        data_prefix: folders ``img`` and, if there are depth maps, ``depth``.
        metainfo: ``classes``; other classes of the file are left out.
        unlabelled_classes: names, or ``'all'``.
        doubtful_classes: classes of the file, not among ``classes``, that may look like one of ours (an ambulance is a
            kind of car or bus): no class of an image with such a box counts as labelled, and its boxes are left out.
        kwargs: of ``mmdet.CocoDataset``.

    Raises:
        ConfigError: a class that does not exist is named.
        DataError: a folder, a file or a depth map is missing.
    """

    def __init__(self, ann_file: str = '', data_prefix: Mapping[str, str] | None = None,
                 metainfo: Mapping[str, Any] | None = None, unlabelled_classes: Sequence[str] | str = (),
                 doubtful_classes: Sequence[str] = (), **kwargs: Any) -> None:
        self.unlabelled_classes = unlabelled_classes
        self.doubtful_classes = tuple(doubtful_classes)
        super().__init__(ann_file=ann_file, data_prefix=dict(data_prefix or dict(img='')),
                         metainfo=None if metainfo is None else dict(metainfo), **kwargs)

    def _unlabelled(self) -> tuple[int, ...]:
        classes = tuple(self._metainfo['classes'])
        names = classes if self.unlabelled_classes == 'all' or not self.ann_file else self.unlabelled_classes
        names = (names, ) if isinstance(names, str) else tuple(names)
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise ConfigError(f"PartlyLabelledCoco: unlabelled_classes names {', '.join(map(repr, unknown))}, which is "
                              f'not among metainfo.classes {classes}')
        return tuple(classes.index(name) for name in names)

    def load_data_list(self) -> list[dict]:
        """Read the files; called once by ``full_init``."""
        self._hidden = self._unlabelled()
        if self.ann_file:
            if not Path(self.ann_file).is_file():
                raise DataError(f"'{self.ann_file}': not found; check data_root and ann_file")
            samples = super().load_data_list()
        else:
            samples = [self._bare(stem, path) for stem, path in list_images(self.data_prefix['img']).items()]
        if self.data_prefix.get('depth'):
            depths = list_images(self.data_prefix['depth'])
            for sample in samples:
                stem = Path(sample['img_path']).stem
                if stem not in depths:
                    raise DataError(f"'{sample['img_path']}' has no depth map in '{self.data_prefix['depth']}'; add "
                                    'it, or leave depth out of data_prefix')
                sample['depth_path'] = str(depths[stem])
        return samples

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """mmdet's sample of one image of the COCO file."""
        classes = tuple(self._metainfo['classes'])
        names = {category['id']: category['name'] for category in self.coco.dataset['categories']}
        # mmdet numbers the classes in the order of the file.
        self.cat2label = {number: classes.index(name) for number, name in names.items() if name in classes}
        doubtful = any(names[note['category_id']] in self.doubtful_classes for note in raw_data_info['raw_ann_info'])
        sample = super().parse_data_info({**raw_data_info, 'raw_ann_info': []} if doubtful else raw_data_info)
        sample['unlabelled_labels'] = tuple(range(len(classes))) if doubtful else self._hidden
        return sample

    def _bare(self, stem: str, path: Path) -> dict:
        height, width = image_size(path)
        return dict(img_id=stem, img_path=str(path), height=height, width=width, instances=[],
                    unlabelled_labels=self._hidden)
