"""Annotation files of COCO: one JSON file for a set of images and their boxes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from .files import finite_number, read_json, stays_below
from .text import plural, shorten
from .voc import VOCObject


@dataclass
class Oddities:
    """Entries of annotation files that were left out or changed, by kind, with their ids."""

    found: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, what: str, action: str, entry: Any) -> None:
        """Count an entry.

        Args:
            what: kind of entry in the singular, such as ``box``.
            action: what is odd and what was done.
            entry: its id or place.
        """
        self.found.setdefault((what, action), []).append(str(entry)[:80])

    def lines(self) -> Iterator[str]:
        """Yield one line for each kind: how many, what, and the first ids."""
        for (what, action), entries in self.found.items():
            yield f'{plural(len(entries), what)} {action}: {shorten(entries)}'


@dataclass(frozen=True)
class COCOBoxes:
    """What a COCO file says of boxes.

    Attributes:
        images: id and file name of each image, in their order; each id once.
        objects: the boxes of each image id; boxes are x1, y1, x2, y2 in pixels, crowds are difficult.
        odd: what was left out or changed.
    """

    images: list[tuple[Any, str]]
    objects: dict[Any, list[VOCObject]]
    odd: Oddities


def read_coco(path: str | Path) -> COCOBoxes:
    """Read a COCO file of boxes.

    Entries that cannot be used are left out and counted. A box that is missing is taken from the segmentation's
    polygons.

    Raises:
        DataError: the file is missing, is not JSON or not COCO, or gives one category id two names.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise DataError(f"annotations '{path}' cannot be read ({reason}); copy the file again") from error
    missing = [key for key in ('images', 'annotations', 'categories')
               if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise DataError(f"'{path}' is not a COCO file of boxes: it has no list {', '.join(missing)}")
    odd = Oddities()
    names = _categories(content['categories'], path, odd)
    images = _images(content['images'], odd)
    known = {index for index, _ in images}
    objects: dict[Any, list[VOCObject]] = {}
    for number, one in enumerate(content['annotations'], 1):
        where = one.get('id', f'number {number}') if isinstance(one, Mapping) else f'number {number}'
        if not isinstance(one, Mapping) or not _is_id(one.get('image_id')):
            odd.add('annotation', 'without an image left out', where)
        elif one['image_id'] not in known:
            odd.add('annotation', 'of an unknown image left out', where)
        elif not _is_id(one.get('category_id')) or one['category_id'] not in names:
            odd.add('annotation', 'of an unknown category left out', where)
        elif (box := _box(one, odd, where)) is not None:
            objects.setdefault(one['image_id'], []).append(
                VOCObject(names[one['category_id']], box, _crowd(one.get('iscrowd'), odd, where)))
    if content['annotations'] and not objects:
        raise DataError(f"'{path}' is not a COCO file of boxes: none of its {len(content['annotations'])} annotations "
                        f"can be used ({next(odd.lines(), '')}); give another file")
    return COCOBoxes(images, objects, odd)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _categories(entries: Sequence[Any], path: str | Path, odd: Oddities) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for number, one in enumerate(entries, 1):
        if not isinstance(one, Mapping) or not _is_id(one.get('id')) or not isinstance(one.get('name'), str):
            odd.add('category', 'without an id or a name left out', f'number {number}')
        elif names.setdefault(one['id'], one['name']) != one['name']:
            raise DataError(f"'{path}': category id {one['id']} stands for '{names[one['id']]}' and '{one['name']}'; "
                            'give each category its own id')
    return names


def _images(entries: Sequence[Any], odd: Oddities) -> list[tuple[Any, str]]:
    found: dict[Any, str] = {}
    doubled = set()
    for number, one in enumerate(entries, 1):
        if not isinstance(one, Mapping) or not _is_id(one.get('id')) or not isinstance(one.get('file_name'), str):
            odd.add('image', 'without an id or a file name left out', f'number {number}')
        elif not stays_below(one['file_name']):
            odd.add('image', 'with a path outside the folder of the images left out', one['file_name'])
        elif found.setdefault(one['id'], one['file_name']) != one['file_name']:
            doubled.add(one['id'])
    for index in doubled:
        odd.add('image id', 'of several files left out', index)
    return [(index, name) for index, name in found.items() if index not in doubled]


def _box(one: Mapping[str, Any], odd: Oddities, where: Any) -> tuple[float, float, float, float] | None:
    box = one.get('bbox')
    if not box:
        box = _around(one.get('segmentation'))
        if box is None:
            odd.add('annotation', 'without a box left out', where)
            return None
        odd.add('box', 'taken from the polygons of the segmentation', where)
    try:
        if not isinstance(box, (list, tuple)):
            raise ValueError
        x, y, width, height = map(finite_number, box)
        corners = (x, y, x + width, y + height)
        if not all(map(math.isfinite, corners)):
            raise ValueError
    except ValueError:
        odd.add('box', 'other than four finite numbers left out', where)
        return None
    if width <= 0 or height <= 0:
        odd.add('box', 'without a positive width and height left out', where)
        return None
    return corners


def _around(segmentation: Any) -> tuple[float, float, float, float] | None:
    """x, y, width and height around polygons; None where there are none."""
    if not isinstance(segmentation, list) or not all(isinstance(one, list) for one in segmentation):
        return None
    try:
        numbers = [[finite_number(value) for value in polygon] for polygon in segmentation]
    except ValueError:
        return None
    xs = list(itertools.chain.from_iterable(polygon[::2] for polygon in numbers))
    ys = list(itertools.chain.from_iterable(polygon[1::2] for polygon in numbers))
    if not xs or not ys:
        return None
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _crowd(value: Any, odd: Oddities, where: Any) -> bool:
    if value not in (0, 1, None):
        odd.add('value', 'of iscrowd other than 0 and 1 taken as 0', where)
    return value == 1
