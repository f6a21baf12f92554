"""The embedded data set: the mini world written in the layouts of the real sets, from a seed, without a download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import DataError, MissingToolboxError
from ..utils.arrays import to_uint8
from ..utils.atomic import write_bytes, write_json
from ..utils.images import encode_image
from ..utils.rasters import import_rasterio
from ..utils.runs import claim, map_jobs
from ..weather.noise import picture_generator
from ..weather.rain import Rain, add_rain
from .scene import draw_scene
from .sets import freiburg as mini_freiburg
from .sets import sand_dust as mini_sand_dust
from .sets.fog import list_foggy_streets, write_foggy_street
from .sets.satellite import SATELLITE_SETS

VERSION = 1
"""Raised whenever the pictures drawn from a seed change."""
MANIFEST = 'manifest.json'
# Of the real RoadScene-rain: rainy JPEGs about 93, targets about 75; the targets here are a little finer, because the
# pictures are smaller.
_QUALITY = {'Vis/input': 93, 'Vis/target': 90, 'Inf/input': 85}
_NIGHT_SHARE = 0.4

Job = tuple[Any, ...]


def _odd_size(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """A size near ``size`` whose sides are odd, as the real set's are hardly ever divisible by 8."""
    height, width = (int(side * rng.uniform(0.94, 1.06)) // 2 * 2 + 1 for side in size)
    return height, width


def rainy_street(seed: int, split: str, index: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """One triple of the mini RoadScene-rain.

    Args:
        seed: of the whole set.
        split: ``'train'`` or ``'test'``.
        index: of the picture in the split.
        size: height and width, varied by a few per cent to odd numbers.

    Returns:
        uint8 arrays ``Vis/input`` (H, W, 3) rainy, ``Vis/target`` (H, W, 3) clean, ``Inf/input`` (H, W) infrared.
    """
    rng = picture_generator(seed, 'roadscene-rain', split, index)
    scene = draw_scene(*_odd_size(size, rng), rng, night=bool(rng.random() < _NIGHT_SHARE))
    rainy, _ = add_rain(scene.visible, rng, Rain.draw(rng), scene.depth)
    return {
        'Vis/input': to_uint8(rainy),
        'Vis/target': to_uint8(scene.visible),
        'Inf/input': to_uint8(scene.thermal),
    }


def _write_rainy_street(job: Job) -> None:
    root, split, name, index, size, seed = job
    paths = {folder: Path(root, split, folder, name) for folder in _QUALITY}
    if all(path.exists() for path in paths.values()):
        return  # each file is whole or absent, so an interrupted run goes on here
    cv2.setNumThreads(1)
    for folder, image in rainy_street(seed, split, index, size).items():
        write_bytes(paths[folder], encode_image(image, '.jpg', _QUALITY[folder]))


def _roadscene_rain(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    return [(str(root / 'roadscene_rain'), split, f'{index:03d}.jpg', index, size, seed)
            for split, count in counts.items() for index in range(count)]


SETS: dict[str, tuple[Callable[..., list[Job]], Callable[[Job], None]]] = {
    'roadscene-rain': (_roadscene_rain, _write_rainy_street),
    'voc-fog': (list_foggy_streets, write_foggy_street),
    **SATELLITE_SETS,
    'sand-dust': (mini_sand_dust.list_jobs, mini_sand_dust.write_job),
    'freiburg-thermal': (mini_freiburg.list_frames, mini_freiburg.write_frame),
}
"""Name of a set -> (list its jobs, do one job)."""
GEOTIFF_SETS = ('sen12ms-cr', )
"""Sets that need rasterio."""


def _available(only: Sequence[str]) -> list[str]:
    """The sets to write.  What was not asked for by name and cannot be written is left out."""
    names = set(only or SETS)
    for name in names & set(GEOTIFF_SETS):
        try:
            import_rasterio(f"the mini set '{name}'")
        except MissingToolboxError as error:
            if only:
                raise
            print(f'left out: {error}')
            names.discard(name)
    return sorted(names)


def make_mini(root: str | Path,
              seed: int = 0,
              train: int = 24,
              test: int = 8,
              size: tuple[int, int] = (160, 224),
              only: Sequence[str] = (),
              workers: int = 1,
              progress: bool = True) -> Path:
    """Write the mini sets under ``root``.

    ``roadscene-rain`` becomes ``root/roadscene_rain/{train,test}/{Vis/input,Vis/target,Inf/input}/NNN.jpg``; ``rice1``
    becomes ``root/rice1/{cloud,label}/N.png``, ``rice2`` the same with ``mask``; ``sen12ms-cr`` becomes
    ``root/sen12mscr/ROIs*_{s1,s2,s2_cloudy}/...tif``, left out with one line where rasterio is missing; ``voc-fog``
    becomes ``root/voc_fog``, see :mod:`~mmweather.datasets.tools.fog_set`; ``sand-dust`` becomes
    ``root/sand_dust/{train/clean,train/dust,test,reference}/NNN.{png,jpg}``.  Pictures depend on (seed, split, index,
    size, :data:`VERSION`) alone.  A run that was interrupted goes on where it stopped.

    Args:
        root: a new or empty folder, or one that this function wrote with the same arguments.
        seed: not negative.
        train: number of training pictures.
        test: number of test pictures.
        size: height and width about which sizes of the street scenes vary, each at least 64; satellite tiles are
            256x256.
        only: names out of :data:`SETS`; empty means all.
        workers: processes; with more than one, a script must guard its main part (``if __name__ == '__main__'``).
        progress: show a progress bar.

    Returns:
        ``root`` as a path.

    Raises:
        DataError: the folder holds something else or cannot be written, or an argument is out of range.
        MissingToolboxError: ``only`` names a set of GeoTIFFs, and rasterio is not installed.
    """
    unknown = sorted(set(only) - set(SETS))
    if unknown:
        raise DataError(f"no mini set named {', '.join(unknown)}; there is {', '.join(SETS)}")
    if seed < 0 or train < 1 or test < 1 or min(size) < 64:
        raise DataError(f'seed must be at least 0, train and test at least 1, and both sides of size at least 64; got '
                        f'seed={seed}, train={train}, test={test}, size={tuple(size)}')
    root, names = Path(root), _available(only)
    counts = {'train': train, 'test': test}
    manifest = {'mini': VERSION, 'seed': seed, **counts, 'size': list(size), 'sets': names, 'complete': False}
    found = claim(root, MANIFEST, manifest, 'delete the folder or choose another', loose=('sets', 'complete'))
    manifest['sets'] = sorted({*found.get('sets', ()), *names})
    for name in names:
        list_jobs, work = SETS[name]
        jobs = list_jobs(root, seed, counts, tuple(size))
        for _ in tqdm(map_jobs(work, jobs, workers), total=len(jobs), desc=name, unit='image', disable=not progress):
            pass
    manifest['complete'] = True
    write_json(root / MANIFEST, manifest)
    return root
