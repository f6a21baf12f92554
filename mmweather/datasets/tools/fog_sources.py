"""Finding the images and boxes of a PASCAL VOC or COCO set that fog shall be laid on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...utils.images import is_image_file
from ...utils.voc import VOCObject, read_voc
from .fog_set import Source

_IMAGES = ('JPEGImages', 'images', 'Images', 'img')
_BOXES = ('Annotations', 'annotations', 'xml')


def _some(names: list[str]) -> str:
    more = f' and {len(names) - 5} more' if len(names) > 5 else ''
    return ', '.join(sorted(names)[:5]) + more


def _folder(root: Path, names: tuple[str, ...], what: str, option: str) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"'{root}' has no folder of {what} ({', '.join(names)}); give it as {option}")


def _voc(images: Path, boxes: Path) -> tuple[list[Source], list[str]]:
    files: dict[str, Path] = {}
    for path in sorted(images.iterdir()):
        if is_image_file(path) and path.is_file():
            if path.stem in files:
                raise DataError(f"'{images}' holds {files[path.stem].name} and {path.name}; keep one file of each stem")
            files[path.stem] = path
    annotations = {path.stem: path for path in sorted(boxes.glob('*.xml')) if not path.name.startswith('.')}
    for path in annotations.values():
        read_voc(path)  # a broken file shall stop the run before it begins
    sources = [Source(path.name, path, annotations[stem]) for stem, path in files.items() if stem in annotations]
    return sources, sorted(set(files) ^ set(annotations))


def _load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise DataError(f"annotations '{path}' cannot be read ({error}); copy the file again") from error
    missing = [key for key in ('images', 'annotations', 'categories')
               if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise DataError(f"'{path}' is not a COCO file of boxes: it has no list {', '.join(missing)}")
    return content


def _coco(images: Path, file: Path) -> tuple[list[Source], list[str]]:
    content = _load_json(file)
    found: dict[Any, list[VOCObject]] = {}
    try:
        names = {one['id']: str(one['name']) for one in content['categories']}
        for one in content['annotations']:
            x, y, width, height = map(float, one['bbox'])
            found.setdefault(one['image_id'], []).append(
                VOCObject(names[one['category_id']], (x, y, x + width, y + height), bool(one.get('iscrowd'))))
        entries = [(one['id'], str(one['file_name'])) for one in content['images']]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"'{file}' is not a COCO file of boxes: {type(error).__name__} {error}; mend it") from error
    sources, missing = [], []
    for index, name in entries:
        if (images / name).is_file():
            # Names of subfolders are kept apart.
            flat = name.replace('\\', '/').strip('/').replace('/', '__')
            sources.append(Source(flat, images / name, tuple(found.get(index, ()))))
        else:
            missing.append(name)
    stems = [source.stem for source in sources]
    if len(set(stems)) != len(stems):
        twice = [stem for stem in set(stems) if stems.count(stem) > 1]
        raise DataError(f"'{file}' names several images {_some(twice)}; keep one file of each stem")
    return sources, missing


def find_sources(source: str | Path,
                 images: str | Path | None = None,
                 annotations: str | Path | None = None) -> tuple[list[Source], list[str]]:
    """The annotated images of a set.

    Args:
        source: folder of a set: ``JPEGImages`` (or ``images``) beside ``Annotations`` (or ``annotations``) with XML
            files or one COCO file; or a COCO file.
        images: folder of the images, if it is called otherwise.
        annotations: folder of XML files, or a COCO file.

    Returns:
        The sources, and the names of those images and annotations that lack the other, which are left out.

    Raises:
        DataError: nothing is found, there are several COCO files, or an annotation is broken.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"no such file or folder: '{source}'; give a VOC or COCO set")
    if source.is_file():
        source, annotations = source.parent, annotations or source
    boxes = Path(annotations) if annotations else _folder(source, _BOXES, 'annotations', '--annotations')
    if not boxes.exists():
        raise DataError(f"no such file or folder: '{boxes}'; give the annotations")
    if boxes.is_dir() and not any(boxes.glob('*.xml')):
        files = sorted(boxes.glob('*.json'))
        if len(files) != 1:
            told = _some([path.name for path in files]) or 'nothing'
            raise DataError(f"'{boxes}' holds no XML file and not one JSON file but {told}; give --annotations")
        boxes = files[0]
    folder = Path(images) if images else _folder(source, _IMAGES, 'images', '--images')
    if not folder.is_dir():
        raise DataError(f"no such folder: '{folder}'; give the folder of the images")
    found, alone = _voc(folder, boxes) if boxes.is_dir() else _coco(folder, boxes)
    if not found:
        raise DataError(f"no image of '{folder}' has an annotation in '{boxes}'; check the names")
    return found, alone


def read_list(path: str | Path) -> list[str]:
    """Stems, one a line.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"list '{path}' cannot be read ({error}); give a text file, one stem a line") from error
    stems = [line.strip() for line in lines if line.strip()]
    if not stems:
        raise DataError(f"list '{path}' names no image; write one stem a line")
    return stems
