"""Images with boxes and companions, paired by the stem of the file name, as data sets of mmdet."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdet.datasets import XMLDataset
from mmengine.logging import print_log
from tqdm import tqdm

from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..utils.files import read_text
from ..utils.images import image_size
from ..utils.text import plural, shorten
from ..utils.voc import VOCObject, read_voc
from .paired import check_holdout, hold_out, list_images, read_stems

_LEAST_SIDE = 1.0


class _Tally:
    """Corrections to the annotations, one log line each."""

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        self.known = self.clipped = self.dropped = 0
        self.sizes: list[str] = []
        self.odd: list[str] = []

    def tell(self, owner: str, classes: Sequence[str]) -> None:
        """Log the counts; raise where no box has a known class although there are boxes."""
        shown = shorten((f'{name} {count}' for name, count in self.unknown.most_common()), 8)
        if self.unknown and not self.known:
            raise DataError(f'{owner}: no box has a class out of {tuple(classes)}; the annotations name {shown}; '
                            "give metainfo=dict(classes=('...', ))")
        lines = []
        if self.unknown:
            lines.append(f'{plural(sum(self.unknown.values()), "box")} of other classes left out ({shown})')
        if self.clipped or self.dropped:
            lines.append(f'{plural(self.clipped, "box")} clipped to the image, {self.dropped} outside it or '
                         'empty left out')
        if self.sizes:
            lines.append(f'{plural(len(self.sizes), "annotation gives", "annotations give")} a wrong image size '
                         f'({shorten(self.sizes)}); the size of the image is taken')
        if self.odd:
            lines.append(f'{plural(len(self.odd), "object")} with <difficult> other than 0 or 1 taken as not difficult '
                         f'({shorten(self.odd)})')
        for line in lines:
            print_log(f'{owner}: {line}', 'current', logging.WARNING)


@DATASETS.register_module()
class PairedDetDataset(XMLDataset):
    """Images, PASCAL VOC annotations and companions of equal stem, as a data set of mmdet.

    A sample is mmdet's: ``img_path``, ``img_id`` (the stem), ``xml_path``, ``height``, ``width``, ``instances``; and
    ``<key>_path`` for each companion of ``data_prefix``.  Boxes are x1, y1, x2, y2 in pixels.  They are cut at the
    edges of the image; empty ones are dropped; boxes of classes that ``metainfo`` lacks are left out.  Each of these
    is counted and reported in one line.  Objects marked difficult get mmdet's ``ignore_flag``: they are not trained on,
    and the evaluation counts them neither as found nor as missed.

    Heads of the image files are read when the set is initialised, to compare sizes before a training begins.

    Args:
        data_root: folder that the prefixes are relative to.
        data_prefix: folders: ``img``, ``ann``, and one for each companion, as in
            ``dict(img='VOC2007-FOG', clean_img='JPEGImages', ann='Annotations')``.
        ann_file: optional split, a text file with one stem a line; without one, all images are taken.
        holdout: optional part of the sorted stems, see :class:`~mmweather.datasets.paired.PairedImageDataset`.
        minus_one: subtract 1 from all corners, as ``mmdet.XMLDataset`` does with boxes that count from 1.
        metainfo: ``classes`` replaces the five classes of VOC-FOG.
        kwargs: of ``mmdet.XMLDataset``, as ``filter_cfg``, ``pipeline`` and ``test_mode``.

    Raises:
        DataError: a folder or file is missing or broken, an image lacks its annotation or a companion, sizes differ,
            or no box has a known class.
        ConfigError: ``data_prefix``, ``holdout`` or ``classes`` is wrong.
    """

    METAINFO = {
        'dataset_type': 'paired_det',
        'classes': ('person', 'bicycle', 'car', 'motorbike', 'bus'),
        'palette': [(220, 20, 60), (119, 11, 32), (0, 0, 142), (0, 0, 230), (0, 60, 100)],
    }
    FLAT_FOLDERS = True
    """The images of a key lie in one folder under their stems, so that ``mmweather check`` can list them."""
    ANNOTATED = True
    """Whether each image has an annotation file in the folder ``ann``."""

    def __init__(self,
                 data_root: str = '',
                 data_prefix: Mapping[str, str] | None = None,
                 ann_file: str = '',
                 holdout: Mapping[str, Any] | None = None,
                 minus_one: bool = False,
                 metainfo: Mapping[str, Any] | None = None,
                 **kwargs: Any) -> None:
        prefix = dict(data_prefix or {})
        needed = ('img', 'ann') if self.ANNOTATED else ('img', )
        if any(key not in prefix for key in needed):
            raise ConfigError(f"{type(self).__name__}: data_prefix needs the folders {', '.join(needed)}, got "
                              f"{sorted(prefix)}; as in dict(img='JPEGImages', ann='Annotations')")
        if isinstance((metainfo or {}).get('classes'), str):
            raise ConfigError(f"{type(self).__name__}: metainfo.classes must be a sequence of names, got "
                              f"{metainfo['classes']!r}; write ('{metainfo['classes']}', )")
        self.holdout = check_holdout(holdout) if holdout is not None else None
        self.minus_one = minus_one
        super().__init__(
            data_root=str(data_root or ''), data_prefix=prefix, ann_file=str(ann_file or ''),
            metainfo=None if metainfo is None else dict(metainfo), **kwargs)

    # What subclasses with other annotation files replace ---------------------------------------------------------

    def _annotations(self) -> dict[str, Path]:
        """{stem: annotation}, of all annotations there are."""
        folder = Path(self.data_prefix['ann'])
        if not folder.is_dir():
            raise DataError(f"no such folder: '{folder}'; check data_root and data_prefix")
        return {path.stem: path for path in sorted(folder.glob('*.xml')) if not path.name.startswith('.')}

    def _read(self, annotation: Path) -> tuple[tuple[int, int] | None, Sequence[VOCObject]]:
        """Size that the annotation tells, and its objects."""
        found = read_voc(annotation)
        self._tally.odd += [f'{annotation.name}, {one}' for one in found.odd]
        return found.size, found.objects

    def _images(self) -> dict[str, Path]:
        """{stem: image}."""
        return list_images(self.data_prefix['img'])

    # --------------------------------------------------------------------------------------------------------------

    def _stems(self, images: Mapping[str, Path], annotations: Mapping[str, Path]) -> list[str]:
        stems = sorted(read_stems(self.ann_file)) if self.ann_file else sorted({*images, *annotations})
        for found, what in ((images, 'image'), (annotations, 'annotation')):
            missing = [stem for stem in stems if stem not in found]
            if missing:
                where = self.data_prefix['img' if what == 'image' else 'ann']
                raise DataError(f"{plural(len(missing), 'sample')} without an {what} in '{where}': "
                                f'{shorten(missing)}; add them, or give ann_file, a text file with the stems to take')
        return hold_out(stems, self.holdout)

    def select(self, every_stem: Iterable[str]) -> list[str]:
        """Which of the stems belong to this data set by ``ann_file`` and ``holdout``.

        Raises:
            DataError: ``ann_file`` cannot be read.
        """
        return hold_out(sorted(read_stems(self.ann_file)) if self.ann_file else sorted(every_stem), self.holdout)

    def _companions(self, stems: Sequence[str]) -> dict[str, dict[str, Path]]:
        found = {key: list_images(folder) for key, folder in self.data_prefix.items() if key not in ('img', 'ann')}
        for key, files in found.items():
            missing = [stem for stem in stems if stem not in files]
            if missing:
                raise DataError(f"{plural(len(missing), 'image')} without a matching file in '{self.data_prefix[key]}' "
                                f"(key '{key}'): {shorten(missing)}; add them, or give ann_file, a text file "
                                'with the stems to take')
        return found

    def load_data_list(self) -> list[dict]:
        """Find, pair and read the files; called once by ``full_init``."""
        classes = self._metainfo['classes']
        self.cat2label = {name: label for label, name in enumerate(classes)}
        images, annotations = self._images(), self._annotations()
        stems = self._stems(images, annotations)
        if not stems:
            raise DataError(f"{type(self).__name__}: no sample is left of '{self.data_root}' after ann_file and "
                            'holdout; loosen one of them')
        partners = self._companions(stems)
        self._tally = tally = _Tally()
        samples = []
        for stem in tqdm(stems, desc='annotations', unit='image', leave=False, disable=None):
            sizes = {path: image_size(path) for path in (images[stem], *(files[stem] for files in partners.values()))}
            if len(set(sizes.values())) > 1:
                shown = ', '.join(f"'{path}' {size[1]}x{size[0]}" for path, size in sizes.items())
                raise DataError(f'images of one sample differ in size: {shown} (width x height); bring them to one '
                                'size, or leave the sample out by ann_file')
            size = sizes[images[stem]]
            told_size, objects = self._read(annotations[stem])
            if told_size is not None and told_size != size:
                tally.sizes.append(f'{stem} {told_size[1]}x{told_size[0]}')
            samples.append({
                'img_id': stem, 'sample_key': stem, 'img_path': str(images[stem]),
                **{f'{key}_path': str(files[stem]) for key, files in partners.items()},
                **({'xml_path': str(annotations[stem])} if self.ANNOTATED else {}), 'height': size[0], 'width': size[1],
                'instances': self._instances(objects, size, tally)})
        tally.tell(type(self).__name__, classes)
        del self._tally
        return samples

    def _instances(self, objects: Iterable[VOCObject], size: tuple[int, int], tally: _Tally) -> list[dict]:
        instances = []
        for one in objects:
            label = self.cat2label.get(one.name)
            if label is None:
                tally.unknown[one.name] += 1
                continue
            tally.known += 1
            box = [corner - self.minus_one for corner in one.box]
            limits = (size[1], size[0]) * 2
            cut = [min(max(corner, 0.0), limit) for corner, limit in zip(box, limits, strict=True)]
            width, height = cut[2] - cut[0], cut[3] - cut[1]
            if width < _LEAST_SIDE or height < _LEAST_SIDE:
                tally.dropped += 1
                continue
            tally.clipped += cut != box
            small = self.bbox_min_size is not None and min(width, height) < self.bbox_min_size
            instances.append({'bbox': cut, 'bbox_label': label, 'ignore_flag': int(one.difficult or small)})
        return instances


_BOX = re.compile(r'-?\d{1,12}(\.\d+)?(,-?\d{1,12}(\.\d+)?){3},\d{1,9}')


@DATASETS.register_module()
class BoxListDataset(PairedDetDataset):
    """Images and boxes of a text list, one line an image: ``path x1,y1,x2,y2,number x1,y1,x2,y2,number ...``.

    This is how TogetherNet, IA-YOLO and other YOLO codes store annotations.  The path may hold spaces.  An image is
    looked for by its file name in the folder ``img``, else by the path of the line, relative to ``data_root`` or to
    the current folder.  Clean images are paired by stem, not by the line number of a second list.

    Args:
        ann_file: the list.
        list_classes: names that the numbers stand for; by default the classes of ``metainfo``, in their order.  Labels
            follow ``metainfo`` in any case.
        data_prefix: ``img`` and companions.
        kwargs: of :class:`PairedDetDataset`.

    Raises:
        DataError: see :class:`PairedDetDataset`; a line cannot be read or has a number without a name.
        ConfigError: there is no ``ann_file``.
    """

    FLAT_FOLDERS = False
    ANNOTATED = False

    def __init__(self,
                 ann_file: str,
                 list_classes: Sequence[str] | None = None,
                 data_prefix: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        if not ann_file:
            raise ConfigError("BoxListDataset: ann_file is empty; give the list, as in ann_file='2007_train_fog.txt'")
        self.list_classes = None if list_classes is None else tuple(list_classes)
        super().__init__(ann_file=ann_file, data_prefix={'img': '', **(data_prefix or {})}, **kwargs)

    def _lines(self) -> list[tuple[str, list[VOCObject]]]:
        names = self.list_classes or self._metainfo['classes']
        try:
            lines = read_text(self.ann_file).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"list '{self.ann_file}' cannot be read ({error}); check data_root and ann_file") from error
        found = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            words = line.split()
            boxes: list[str] = []
            while words and _BOX.fullmatch(words[-1]):
                boxes.insert(0, words.pop())
            path = line.strip()
            for box in reversed(boxes):
                path = path[:-len(box)].rstrip()
            if not path or re.search(r'\s-?\d[\d.,-]*$', path):
                raise DataError(f"list '{self.ann_file}', line {number}: want 'path x1,y1,x2,y2,number ...', got "
                                f'{line.strip()[:80]!r}; fix the line')
            objects = []
            for box in boxes:
                *corners, index = box.split(',')
                if int(index) >= len(names):
                    raise DataError(f"list '{self.ann_file}', line {number}: class number {index}, but there are only "
                                    f'{len(names)} classes {tuple(names)}; give list_classes')
                x1, y1, x2, y2 = map(float, corners)
                objects.append(VOCObject(names[int(index)], (x1, y1, x2, y2)))
            found.append((path, objects))
        if not found:
            raise DataError(f"list '{self.ann_file}' names no image; give another")
        return found

    def _find(self, path: str) -> Path:
        name = re.split(r'[\\/]', path)[-1]
        tried = [Path(self.data_prefix['img'] or '.', name), Path(self.data_root, path), Path(path)]
        for one in tried:
            if one.is_file():
                return one
        raise DataError(f"list '{self.ann_file}' names '{path}', which is neither '{tried[0]}' nor '{tried[1]}'; give "
                        'the folder of the images as data_prefix=dict(img=...)')

    def load_data_list(self) -> list[dict]:
        """Read the list, then as :class:`PairedDetDataset`."""
        self._listed: dict[str, list[VOCObject]] = {}
        self._paths: dict[str, Path] = {}
        for path, objects in self._lines():
            image = self._find(path)
            if image.stem in self._listed:
                raise DataError(f"list '{self.ann_file}' names '{image.stem}' more than once; keep one line of each")
            self._listed[image.stem], self._paths[image.stem] = objects, image
        try:
            return super().load_data_list()
        finally:
            del self._listed, self._paths

    def _stems(self, images: Mapping[str, Path], annotations: Mapping[str, Path]) -> list[str]:
        return hold_out(sorted(images), self.holdout)

    def _images(self) -> dict[str, Path]:
        return self._paths

    def _annotations(self) -> dict[str, Path]:
        return {stem: Path(self.ann_file, stem) for stem in self._listed}

    def _read(self, annotation: Path) -> tuple[None, Sequence[VOCObject]]:
        return None, self._listed[os.path.basename(annotation)]
