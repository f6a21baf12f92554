"""Street images with labels of CamVid's classes, with or without thermal partners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets.basesegdataset import BaseSegDataset

from ..errors import DataError
from ..registry import DATASETS
from .label_maps import STREET_CLASSES, STREET_LABELS, STREET_PALETTE
from .paired import list_images, shorten


@DATASETS.register_module()
class StreetPairs(BaseSegDataset):
    """Images of streets, their thermal partners and their label maps, paired by name.

    Classes are CamVid's eleven (:data:`~mmweather.datasets.label_maps.STREET_CLASSES`); label maps hold their numbers,
    and 11 or 255 for what is ignored.

    Args:
        data_root: folder that holds the others.
        visible: folder of the visible images.
        thermal: folder of the thermal images; None where there are none, and ``LoadRGBThermal(missing='zeros')`` or
            ``DrawThermal`` fills the channel.
        labels: folder of the label maps; None for images without labels.
        stems: names to take; None takes all.
        label_ids: class of each id in the label files.
        **kwargs: of mmseg's ``BaseSegDataset``.

    Raises:
        DataError: a folder is missing or empty, or an image lacks its partner or its label map.
    """

    METAINFO = {'dataset_type': 'street_pairs', 'classes': STREET_CLASSES,
                'palette': [list(colour) for colour in STREET_PALETTE]}

    def __init__(self, data_root: str = '', visible: str = 'vi', thermal: str | None = 'ir',
                 labels: str | None = 'labels', stems: Sequence[str] | None = None,
                 label_ids: Mapping[int, int] | None = None, **kwargs: Any) -> None:
        self.folders = {'img_path': visible, 'thermal_path': thermal, 'seg_map_path': labels}
        self.stems = None if stems is None else list(stems)
        self.label_ids = dict(label_ids or STREET_LABELS)
        super().__init__(data_root=data_root, data_prefix={}, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Pair the files by name."""
        root = Path(self.data_root or '')
        files = {key: list_images(str(root / folder)) for key, folder in self.folders.items() if folder}
        names = sorted(files['img_path'] if self.stems is None else self.stems)
        for key, there in files.items():
            absent = set(names) - set(there)
            if absent:
                raise DataError(f"'{root / str(self.folders[key])}' lacks {len(absent)} of the images: "
                                f'{shorten(absent)}; add them, or name the others in stems')
        return [{'sample_key': name, 'label_map': self.label_ids, 'reduce_zero_label': False, 'seg_fields': [],
                 **{key: str(there[name]) for key, there in files.items()}} for name in names]
