"""A few small Sentinel files in each layout of SEN12MS-CR."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmweather.utils.rasters import write_geotiff

PLACE = (10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0)
CRS = 'EPSG:32633'


def pixels(sensor: str, seed: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if sensor == 's1':
        return rng.uniform(-24, -3, (*size, 2)).astype(np.float32)
    return rng.integers(300, 4000, (*size, 13)).astype(np.uint16)


def file_of(root: Path, layout: str, key: str, sensor: str) -> Path:
    season, number, patch = key.rsplit('_', 2)
    name = f'{season}_{sensor}_{number}_{patch}.tif'
    if layout == 'archives':
        return root / f'{season}_{sensor}' / f'{sensor}_{number}' / name
    if layout == 'seasons':
        return root / season / f'{sensor}_{number}' / name
    return root / {'s1': 's1', 's2': 's2_cloudfree', 's2_cloudy': 's2_cloudy'}[sensor] / f'{key}.tif'


def write(root: Path, keys, layout: str = 'archives', without=()) -> Path:
    """Write triplets; ``without`` names (key, sensor) to leave out."""
    for number, key in enumerate(keys):
        for offset, sensor in enumerate(('s1', 's2', 's2_cloudy')):
            if (key, sensor) not in without:
                write_geotiff(file_of(root, layout, key, sensor), pixels(sensor, 10 * number + offset), CRS, PLACE)
    return root
