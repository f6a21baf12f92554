"""Fog laid on a data set with boxes, written in the layout of VOC-FOG.

``<root>/train/{Annotations,JPEGImages,VOC2007-FOG}`` and ``<root>/test/{Annotations,JPEGImages,VOCtest-FOG}``, with
equal file names in all three folders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ...errors import DataError
from ...utils.atomic import write_bytes, write_json
from ...utils.files import read_bytes, read_npy
from ...utils.images import encode_image, image_size, open_picture, read_image
from ...utils.runs import claim, map_jobs, map_threads, stamp
from ...utils.text import plural, reason
from ...utils.voc import VOCObject, format_voc
from ...weather.fog import CENTRE_AIRLIGHT, CENTRE_BETA, METRES_AIRLIGHT, METRES_BETA, Fog, Range, add_fog

FOGGY = {'train': 'VOC2007-FOG', 'test': 'VOCtest-FOG'}
"""Split -> folder of its foggy images, as published."""
CLEAN, BOXES = 'JPEGImages', 'Annotations'
MANIFEST = 'fog.json'
FARTHEST = 1e6
"""Metres; a depth map that states more marks places without a measurement, as the sky."""
VERSION = 1
"""Raised whenever the pictures made from the same settings change."""


@dataclass(frozen=True)
class FogSettings:
    """How fog is laid.

    Args:
        beta: range of the extinction; None: :data:`~mmweather.weather.fog.CENTRE_BETA`, with depth
            :data:`~mmweather.weather.fog.METRES_BETA`.
        airlight: range of the airlight in [0, 1]; None likewise.
        seed: not negative; each image draws from (seed, its name).
        depth: folder of depth maps with the stems of the images; None takes the depth-free formula.
        depth_scale: metres of one level; None: 1 for floating values, 1/256 for 16-bit PNG.
        quality: of JPEG.

    Raises:
        DataError: a value is out of range.
    """

    beta: Range | None = None
    airlight: Range | None = None
    seed: int = 0
    depth: str | None = None
    depth_scale: float | None = None
    quality: int = 95

    def __post_init__(self) -> None:
        if self.beta is not None and not 0 <= self.beta[0] <= self.beta[1] < float('inf'):
            raise DataError(f'beta must be two numbers, 0 <= low <= high, got {self.beta}')
        if self.airlight is not None and not 0 <= self.airlight[0] <= self.airlight[1] <= 1:
            raise DataError(f'airlight must be two numbers, 0 <= low <= high <= 1, got {self.airlight}')
        if self.seed < 0 or not 1 <= self.quality <= 100 or (self.depth_scale is not None and not self.depth_scale > 0):
            raise DataError(f'seed must be at least 0, quality 1 to 100 and depth_scale positive; got {self}')

    def draw(self, name: str) -> Fog:
        """The fog of one image, a function of the seed and the name."""
        rng = np.random.default_rng([self.seed, *name.encode()])
        beta, airlight = (CENTRE_BETA, CENTRE_AIRLIGHT) if self.depth is None else (METRES_BETA, METRES_AIRLIGHT)
        return Fog.draw(rng, self.beta or beta, self.airlight or airlight)


@dataclass(frozen=True)
class Source:
    """One image of the set that fog is laid on.

    Args:
        name: file name in the new set.
        image: its file.
        annotation: XML file that is taken as it is, or objects to write one from.
        digest: of the pixels.
    """

    name: str
    image: Path
    annotation: Path | tuple[VOCObject, ...]
    digest: str = ''

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.name).stem


def read_depth(path: str | Path, scale: float | None = None) -> np.ndarray:
    """A depth map in metres.

    Args:
        path: ``.npy`` of numbers, or a PNG or TIFF of one channel.
        scale: see :class:`FogSettings`.

    Returns:
        float32 (H, W).  Places without a measurement (0 in integer files, NaN, more than :data:`FARTHEST`) get the
        greatest depth.

    Raises:
        DataError: the file cannot be read, is no map, has 8 bits and no ``scale``, or measures nothing.
    """
    try:
        if Path(path).suffix == '.npy':
            levels = read_npy(path)
        else:
            with open_picture(path) as image:
                levels = np.array(image)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  decoders raise anything
        raise DataError(f"depth map '{path}' cannot be read ({reason(error)}); copy it again") from error
    if levels.ndim != 2 or not levels.size or levels.dtype.kind not in 'uif':
        raise DataError(f"depth map '{path}' must have one channel of numbers, got {levels.dtype} {levels.shape}")
    whole = np.issubdtype(levels.dtype, np.integer)
    if scale is None:
        if levels.dtype.itemsize == 1:
            raise DataError(f"depth map '{path}' has 8 bits, which says nothing about metres; give --depth-scale")
        scale = 1 / 256 if whole else 1.0
    with np.errstate(over='ignore'):
        metres = levels.astype(np.float32) * np.float32(scale)
    known = (metres <= FARTHEST) & (metres > 0 if whole else metres >= 0)
    if not known.any():
        raise DataError(f"depth map '{path}' holds no measurement; leave the image out or give another map")
    metres[~known] = metres[known].max()
    return metres


def write_pair(folder: Path, foggy: str, name: str, clean: bytes, fog: bytes, boxes: bytes) -> None:
    """Write clean image, annotation and, last, foggy image; each file is whole or absent."""
    write_bytes(folder / CLEAN / name, clean)
    write_bytes(folder / BOXES / f'{Path(name).stem}.xml', boxes)
    write_bytes(folder / foggy / name, fog)


def is_written(folder: Path, foggy: str, name: str) -> bool:
    """Whether an earlier run has written all three files."""
    return all(path.is_file() for path in (
        folder / foggy / name, folder / CLEAN / name, folder / BOXES / f'{Path(name).stem}.xml'))


Job = tuple[str, str, Source, FogSettings]


def _depth_maps(source: Source, folder: str) -> list[Path]:
    """Where the depth map of an image can be, the first one that exists counts."""
    return [Path(folder, source.image.stem + ending) for ending in ('.npy', '.png', '.tif', '.tiff')]


def _depth_of(source: Source, settings: FogSettings) -> np.ndarray | None:
    if settings.depth is None:
        return None
    for path in _depth_maps(source, settings.depth):
        if path.is_file():
            return read_depth(path, settings.depth_scale)
    raise DataError(f"'{source.image}' has no depth map in '{settings.depth}' (.npy, .png, .tif); add it, or do "
                    'without --depth')


def lay_fog(job: Job) -> None:
    """Write one image in fog, its clean image and its boxes."""
    root, split, source, settings = job
    folder = Path(root, split)
    if isinstance(source.annotation, Path):
        boxes = read_bytes(source.annotation)
    else:
        boxes = format_voc(source.name, image_size(source.image), source.annotation)
    if is_written(folder, FOGGY[split], source.name):
        # The manifest answers for the images and the fog; annotations are often corrected between two runs.
        kept = folder / BOXES / f'{source.stem}.xml'
        if kept.read_bytes() != boxes:
            write_bytes(kept, boxes)
        return
    cv2.setNumThreads(1)
    image = read_image(source.image)
    depth = _depth_of(source, settings)
    if depth is not None and depth.shape != image.shape[:2]:
        raise DataError(f"'{source.image}' is {image.shape[1]}x{image.shape[0]}, its depth map {depth.shape[1]}x"
                        f'{depth.shape[0]} (width x height); bring them to one size')
    foggy = encode_image(add_fog(image, settings.draw(source.stem), depth), Path(source.name).suffix, settings.quality)
    write_pair(folder, FOGGY[split], source.name, read_bytes(source.image), foggy, boxes)


def split_sources(sources: Sequence[Source], test_every: int = 5,
                  test_stems: Sequence[str] | None = None) -> tuple[dict[str, list[Source]], list[str]]:
    """Divide by sorted stem, and keep copies of test images out of training.

    Args:
        sources: with digests.
        test_every: the first of so many becomes a test image, at least 2.
        test_stems: stems of the test images, in place of ``test_every``.

    Returns:
        ``{'train': [...], 'test': [...]}`` and the stems of the training images that were dropped because a test image
        has the same pixels.

    Raises:
        DataError: a stem is unknown, or a split is empty.
    """
    ordered = sorted(sources, key=lambda source: source.stem)
    if test_stems is None:
        chosen = {source.stem for source in ordered[::test_every]}
    else:
        chosen = set(test_stems)
        unknown = sorted(chosen - {source.stem for source in ordered})
        if unknown:
            raise DataError(f"the test list names {', '.join(unknown[:5])}, of which there is no annotated image; mend "
                            'the list')
    test = [source for source in ordered if source.stem in chosen]
    seen = {source.digest for source in test}
    rest = [source for source in ordered if source.stem not in chosen]
    train = [source for source in rest if source.digest not in seen]
    if not test or not train:
        raise DataError(f'{plural(len(sources), "image")} give {len(train)} for training and {len(test)} for testing; '
                        'each needs one at least')
    return {'train': train, 'test': test}, [source.stem for source in rest if source.digest in seen]


def _val_lists(train: Sequence[Source], fraction: float) -> dict[str, list[str]]:
    every = max(round(1 / fraction), 2)
    held = {source.stem for source in train[::every]}
    trained = {source.digest for source in train if source.stem not in held}
    val = [source.stem for source in train if source.stem in held and source.digest not in trained]
    return {'val': val, 'train': [source.stem for source in train if source.stem not in val]}


def _digest(source: Source) -> Source:
    # Of the pixels: files of one picture may differ in what they say about it.  Broken files stop the run here.
    image = read_image(source.image)
    return replace(source, digest=hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest())


def make_fog_set(sources: Sequence[Source],
                 root: str | Path,
                 settings: FogSettings | None = None,
                 test_every: int = 5,
                 test_stems: Sequence[str] | None = None,
                 val_fraction: float = 0.0,
                 workers: int = 1,
                 progress: bool = True) -> dict[str, Any]:
    """Apply fog to a set.  An interrupted run continues where it stopped; a rerun takes changed annotations.

    The result depends on the sources and settings alone, not on the number of processes.

    Args:
        sources: see :func:`~mmweather.datasets.tools.fog_sources.find_sources`.
        root: a new or empty folder, or that of an interrupted run.
        settings: of the fog.
        test_every: see :func:`split_sources`.
        test_stems: see :func:`split_sources`.
        val_fraction: above 0, write ``train/ImageSets/{train,val}.txt``, about so much of the training images in the
            second; pictures that are equal are kept in the first.
        workers: processes; with more than one, a script must guard its main part (``if __name__ == '__main__'``).
        progress: show progress bars.

    Returns:
        ``{'train': n, 'test': n, 'dropped': stems}``.

    Raises:
        DataError: an image, an annotation or a depth map is broken, ``root`` holds something else, or a split is empty.
    """
    root, settings = Path(root), settings or FogSettings()
    if not 0 <= val_fraction <= 0.5 or (test_stems is None and test_every < 2):
        raise DataError('val_fraction must lie in 0..0.5 and test_every be at least 2, got '
                        f'{val_fraction} and {test_every}')
    sources = list(tqdm(map_threads(_digest, sources, workers), total=len(sources), desc='reading', unit='image',
                        disable=not progress))
    splits, dropped = split_sources(sources, test_every, test_stems)
    content = hashlib.sha256(repr([(split, source.name, source.digest) for split, part in splits.items()
                                   for source in part]).encode()).hexdigest()
    shown = json.loads(json.dumps(asdict(settings)))
    manifest = {'voc-fog': VERSION, **shown, 'images': content, 'val_fraction': val_fraction, 'complete': False}
    if settings.depth is not None:
        # Maps of gigabytes are not read again on a rerun; size and time of change tell.
        maps = [(source.name, stamp(*_depth_maps(source, settings.depth))) for source in sources]
        manifest['depth_maps'] = hashlib.sha256(repr(maps).encode()).hexdigest()
    claim(root, MANIFEST, manifest, 'delete the folder or choose another')
    if val_fraction:
        for name, stems in _val_lists(splits['train'], val_fraction).items():
            write_bytes(root / f'train/ImageSets/{name}.txt', ''.join(f'{stem}\n' for stem in stems).encode())
    jobs = [(str(root), split, source, settings) for split, part in splits.items() for source in part]
    for _ in tqdm(map_jobs(lay_fog, jobs, workers), total=len(jobs), desc='fog', unit='image', disable=not progress):
        pass
    write_json(root / MANIFEST, {**manifest, 'complete': True})
    return {'train': len(splits['train']), 'test': len(splits['test']), 'dropped': dropped}
