"""Finding the images and boxes of a PASCAL VOC or COCO set that fog shall be laid on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from ...errors import DataError
from ...utils.coco import Oddities, read_coco
from ...utils.files import read_text
from ...utils.images import is_image_file
from ...utils.text import shorten
from ...utils.voc import read_voc
from .fog_set import Source

_IMAGES = ('JPEGImages', 'images', 'Images', 'img')
DIFFICULT = 'value', 'of <difficult> other than 0 and 1 taken as 0'
_BOXES = ('Annotations', 'annotations', 'xml')


def _folder(root: Path, names: tuple[str, ...], what: str, option: str) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"'{root}' has no folder of {what} ({', '.join(names)}); give it as {option}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _voc(images: Path, boxes: Path, odd: Oddities) -> tuple[list[Source], list[str]]:
    files: dict[str, Path] = {}
    for path in sorted(images.iterdir()):
        if is_image_file(path) and path.is_file():
            if path.stem in files:
                raise DataError(f"'{images}' holds {files[path.stem].name} and {path.name}; keep one file of each stem")
            files[path.stem] = path
    annotations = {path.stem: path for path in sorted(boxes.glob('*.xml')) if not path.name.startswith('.')}
    for path in annotations.values():
        for one in read_voc(path).odd:  # a broken file shall stop the run before it begins
            odd.add(*DIFFICULT, f'{path.name}, {one}')
    sources = [Source(path.name, path, annotations[stem]) for stem, path in files.items() if stem in annotations]
    return sources, sorted(set(files) ^ set(annotations))


def _coco(images: Path, file: Path, odd: Oddities) -> tuple[list[Source], list[str]]:
    content = read_coco(file)
    odd.found.update(content.odd.found)
    sources, missing = [], []
    for index, name in content.images:
        if _is_file(images / name):
            # Names of subfolders are kept apart.
            flat = name.replace('\\', '/').strip('/').replace('/', '__')
            sources.append(Source(flat, images / name, tuple(content.objects.get(index, ()))))
        else:
            missing.append(name)
    stems = [source.stem for source in sources]
    if len(set(stems)) != len(stems):
        twice = {stem for stem in stems if stems.count(stem) > 1}
        raise DataError(f"'{file}' names several images {shorten(twice)}; keep one file of each stem")
    return sources, missing


def find_sources(source: str | Path,
                 images: str | Path | None = None,
                 annotations: str | Path | None = None,
                 report: Callable[[str], object] = warnings.warn) -> tuple[list[Source], list[str]]:
    """The annotated images of a set.

    Args:
        source: folder of a set: ``JPEGImages`` (or ``images``) beside ``Annotations`` (or ``annotations``) with XML
            files or one COCO file; or a COCO file.
        images: folder of the images, if it is called otherwise.
        annotations: folder of XML files, or a COCO file.
        report: called with one line for each kind of annotation that was left out or changed.

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
            shown = shorten(sorted(path.name for path in files)) or 'nothing'
            raise DataError(f"'{boxes}' holds no XML file and not one JSON file but {shown}; give --annotations")
        boxes = files[0]
    folder = Path(images) if images else _folder(source, _IMAGES, 'images', '--images')
    if not folder.is_dir():
        raise DataError(f"no such folder: '{folder}'; give the folder of the images")
    odd = Oddities()
    found, alone = _voc(folder, boxes, odd) if boxes.is_dir() else _coco(folder, boxes, odd)
    for line in odd.lines():
        report(f"'{boxes}': {line}")
    if not found:
        raise DataError(f"no image of '{folder}' has an annotation in '{boxes}'; check the names")
    return found, alone


def read_list(path: str | Path) -> list[str]:
    """Stems, one a line.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"list '{path}' cannot be read ({error}); give a text file, one stem a line") from error
    stems = [line.strip() for line in lines if line.strip()]
    if not stems:
        raise DataError(f"list '{path}' names no image; write one stem a line")
    return stems
