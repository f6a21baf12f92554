"""Annotation files of the PASCAL VOC layout: one XML file an image, with its objects."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .files import finite_number, open_regular
from .text import reason


@dataclass(frozen=True)
class VOCObject:
    """One object.

    Attributes:
        name: class.
        box: x1, y1, x2, y2 in pixels, as the file has them.
        difficult: hard to see; neither right nor wrong to detect.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False


@dataclass(frozen=True)
class VOCAnnotation:
    """What an XML file says.

    Attributes:
        size: height and width of the image; None where the file does not tell them.
        objects: in their order.
        odd: objects whose ``difficult`` is neither 0 nor 1 and was taken as 0, as in ``object 2: Unspecified``.
    """

    size: tuple[int, int] | None
    objects: tuple[VOCObject, ...]
    odd: tuple[str, ...] = ()


def _text(node: ET.Element | None, tag: str) -> str:
    found = None if node is None else node.find(tag)
    if found is None or found.text is None or not found.text.strip():
        raise ValueError(f'<{tag}> is missing or empty')
    return found.text.strip()


def _number(node: ET.Element | None, tag: str) -> float:
    try:
        return finite_number(_text(node, tag))
    except ValueError as error:
        raise ValueError(f'<{tag}>: {error}') from None


def _object(node: ET.Element) -> VOCObject:
    corners = node.find('bndbox')
    if corners is None:
        raise ValueError('<bndbox> is missing')
    x1, y1, x2, y2 = (_number(corners, tag) for tag in ('xmin', 'ymin', 'xmax', 'ymax'))
    return VOCObject(_text(node, 'name'), (x1, y1, x2, y2), _difficult(node) == '1')


def _difficult(node: ET.Element) -> str:
    return (node.findtext('difficult') or '').strip() or '0'


def read_voc(path: str | Path) -> VOCAnnotation:
    """Read one XML file.

    Raises:
        DataError: the file is missing, is not XML, or an object lacks its name or a corner.
    """
    try:
        with open_regular(path) as file:
            root = ET.parse(file).getroot()
    except FileNotFoundError:
        raise DataError(f"no such annotation: '{path}'; add it or remove its image") from None
    except (OSError, ET.ParseError, ValueError, LookupError, RecursionError) as error:
        # ValueError and LookupError: encodings that the parser does not know.
        raise DataError(f"annotation '{path}' cannot be read ({reason(error)}); copy it again, or save it as "
                        'UTF-8') from error
    objects: list[VOCObject] = []
    odd: list[str] = []
    try:
        for number, node in enumerate(root.findall('object'), 1):
            where = f'object {number}'
            objects.append(_object(node))
            if _difficult(node) not in ('0', '1'):
                odd.append(f'{where}: {_difficult(node)[:32]}')
        where, size = '<size>', None
        if root.find('size') is not None:
            height, width = (int(_number(root.find('size'), tag)) for tag in ('height', 'width'))
            size = (height, width) if height > 0 and width > 0 else None
    except ValueError as error:
        raise DataError(f"annotation '{path}': {where}: {error}; mend the file") from error
    return VOCAnnotation(size, tuple(objects), tuple(odd))


def format_voc(filename: str, size: tuple[int, int], objects: Sequence[VOCObject], channels: int = 3) -> bytes:
    """XML of one image.

    Args:
        filename: of the image.
        size: height and width.
        objects: corners are rounded to whole pixels, which is what readers of VOC expect.
        channels: of the image.

    Returns:
        UTF-8.
    """
    root = ET.Element('annotation')
    ET.SubElement(root, 'filename').text = filename
    measures = ET.SubElement(root, 'size')
    for tag, value in (('width', size[1]), ('height', size[0]), ('depth', channels)):
        ET.SubElement(measures, tag).text = str(value)
    for one in objects:
        node = ET.SubElement(root, 'object')
        ET.SubElement(node, 'name').text = one.name
        ET.SubElement(node, 'difficult').text = str(int(one.difficult))
        corners = ET.SubElement(node, 'bndbox')
        for tag, corner in zip(('xmin', 'ymin', 'xmax', 'ymax'), one.box, strict=True):
            ET.SubElement(corners, tag).text = str(round(corner))
    ET.indent(root)
    return ET.tostring(root, encoding='utf-8') + b'\n'
