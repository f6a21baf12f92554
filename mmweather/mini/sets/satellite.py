"""Satellite sets of the mini world: RICE1, RICE2 and SEN12MS-CR in their published layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...utils.atomic import write_bytes
from ...utils.images import encode_image
from ...utils.rasters import write_geotiff
from ...weather.cloud import RGB, Cloud, add_cloud, optical_depth
from ...weather.noise import fractal, picture_generator
from ...weather.true_colour import true_colour
from ..satellite import as_sensed, draw_tile

SIDE = 256
"""Height and width of every tile, as SEN12MS-CR has them and RICE is used."""
SCENES = {
    'train': ('ROIs1158_spring_1', 'ROIs1868_summer_7', 'ROIs1970_fall_3', 'ROIs2017_winter_8'),
    'val': ('ROIs1158_spring_17', 'ROIs1868_summer_19'),
    'test': ('ROIs1158_spring_106', 'ROIs1970_fall_139'),
}
"""Scenes that the published split lists of SEN12MS-CR name, so that they divide the mini set too."""
_RICE = {'rice1': 'thin', 'rice2': 'thick'}

Job = tuple[str, str, str, int, tuple[int, int], int]


def cloudy_picture(seed: int, name: str, index: int) -> dict[str, np.ndarray]:
    """One sample of the mini RICE1 (thin cloud) or RICE2 (thick cloud and shadow).

    Args:
        seed: of the whole set.
        name: ``'rice1'`` or ``'rice2'``.
        index: of the picture.

    Returns:
        uint8 arrays ``cloud`` and ``label`` (256, 256, 3), RGB, and for RICE2 ``mask`` (256, 256): 255 cloud,
        128 shadow, 0 clear.
    """
    rng = picture_generator(seed, name, index)
    clear = draw_tile(SIDE, SIDE, rng, region=int(rng.integers(1 << 30))).optical[..., list(RGB)]
    cloud = Cloud.draw(rng, _RICE[name])
    cloudy, labels = add_cloud(clear, optical_depth((SIDE, SIDE), rng, cloud), cloud, RGB)
    pictures = {'cloud': true_colour(cloudy), 'label': true_colour(clear)}
    if name == 'rice2':
        pictures['mask'] = np.choose(labels + 1, [128, 0, 255]).astype(np.uint8)
    return pictures


def cloudy_triplet(seed: int, scene: str, index: int) -> dict[str, np.ndarray]:
    """One triplet of the mini SEN12MS-CR.

    The cloudy image is of another day than the clear one: each patch of land has changed its brightness by some per
    cent meanwhile.

    Args:
        seed: of the whole set.
        scene: as in ``ROIs1158_spring_106``; patches of one scene look alike.
        index: of the patch.

    Returns:
        ``s1`` float32 (256, 256, 2) in dB, ``s2`` and ``s2_cloudy`` uint16 (256, 256, 13).
    """
    rng = picture_generator(seed, 'sen12ms-cr', scene, index)
    region = int(picture_generator(seed, 'sen12ms-cr', scene).integers(1 << 30))
    tile = draw_tile(SIDE, SIDE, rng, region)
    change = 1 + 0.03 * fractal((SIDE, SIDE), rng, 1.5)[..., None]
    cloud = Cloud.draw(rng)
    cloudy, _ = add_cloud(tile.optical * change, optical_depth((SIDE, SIDE), rng, cloud), cloud)
    return {'s1': tile.radar, 's2': as_sensed(tile.optical, rng), 's2_cloudy': as_sensed(cloudy, rng)}


def _write_picture(job: Job) -> None:
    root, name, file, index, _, seed = job
    folders = ('cloud', 'label', 'mask') if name == 'rice2' else ('cloud', 'label')
    paths = {folder: Path(root, folder, file) for folder in folders}
    if all(path.exists() for path in paths.values()):
        return  # each file is whole or absent, so an interrupted run goes on here
    cv2.setNumThreads(1)
    for folder, image in cloudy_picture(seed, name, index).items():
        write_bytes(paths[folder], encode_image(image, '.png'))


def triplet_path(root: str | Path, scene: str, sensor: str, patch: int) -> Path:
    """Where the archives of SEN12MS-CR have a patch, ``<root>/<season>_<sensor>/<sensor>_<n>/..._p<patch>.tif``.

    Args:
        root: of the set.
        scene: as in ``ROIs1158_spring_106``.
        sensor: ``'s1'``, ``'s2'`` or ``'s2_cloudy'``.
        patch: number of the patch.
    """
    season, _, number = scene.rpartition('_')
    return Path(root, f'{season}_{sensor}', f'{sensor}_{number}', f'{season}_{sensor}_{number}_p{patch}.tif')


def _write_triplet(job: Job) -> None:
    root, scene, _, index, _, seed = job
    paths = {sensor: triplet_path(root, scene, sensor, 30 + index) for sensor in ('s1', 's2', 's2_cloudy')}
    if all(path.exists() for path in paths.values()):
        return
    cv2.setNumThreads(1)
    # Somewhere in one UTM zone; the patches of a scene lie in a row.
    rng = picture_generator(seed, 'sen12ms-cr place', scene)
    crs = f'EPSG:326{rng.integers(1, 61):02d}'
    east, north = 10 * rng.integers(30000, 70000) + 10 * SIDE * index, 10 * rng.integers(50000, 600000)
    for sensor, pixels in cloudy_triplet(seed, scene, index).items():
        write_geotiff(paths[sensor], pixels, crs, (10.0, 0.0, float(east), 0.0, -10.0, float(north)))


def rice_jobs(name: str, root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    """One job a picture; RICE has all pictures in one folder, so training and test pictures are numbered through."""
    return [(str(root / name), name, f'{index}.png', index, size, seed) for index in range(sum(counts.values()))]


def _rice1(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    return rice_jobs('rice1', root, seed, counts, size)


def _rice2(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    return rice_jobs('rice2', root, seed, counts, size)


def _sen12mscr(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    """As many training and test triplets as asked for, and one validation triplet to six training ones."""
    numbers = {**counts, 'val': max(1, counts['train'] // 6)}
    return [(str(root / 'sen12mscr'), scenes[index % len(scenes)], '', index // len(scenes), size, seed)
            for split, scenes in SCENES.items() for index in range(numbers[split])]


SATELLITE_SETS = {
    'rice1': (_rice1, _write_picture),
    'rice2': (_rice2, _write_picture),
    'sen12ms-cr': (_sen12mscr, _write_triplet),
}
"""Name of a set -> (list its jobs, do one job)."""
