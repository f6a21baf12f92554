"""Small rasters for tests of scenes, and runs on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from mmweather.apis.scenes.geotiff import restore_geotiff

rasterio = pytest.importorskip('rasterio', reason='needs the extra geo')
CRS = 'EPSG:32632'
QUIET = [pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning'),
         pytest.mark.filterwarnings('ignore::PendingDeprecationWarning:rasterio')]


def write(path: Path, array: np.ndarray, crs: str | None = CRS, origin: tuple[float, float] = (5e5, 5e6),
          pixel: float = 10.0, descriptions: tuple[str, ...] | None = None, **profile) -> Path:
    """A GeoTIFF of an array (C, H, W)."""
    if crs:
        profile = {'crs': crs, 'transform': rasterio.transform.from_origin(*origin, pixel, pixel), **profile}
    with rasterio.open(path, 'w', driver='GTiff', width=array.shape[2], height=array.shape[1], count=len(array),
                       dtype=array.dtype, **profile) as file:
        file.write(array)
        if descriptions:
            file.descriptions = descriptions
    return path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def optical(height: int, width: int, bands: int = 13, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 10000, (bands, height, width)).astype(np.uint16)


def radar(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-30, 0, (2, height, width)).astype(np.float32)


def restore(model: nn.Module, scene: Path, out: Path, **options) -> Path:
    return restore_geotiff(model, scene, out, show_progress=False, **options)


def stopped(model: nn.Module, scene: Path, out: Path, after: int = 3, **options) -> None:
    """A run that is interrupted after some windows."""

    def progress(done: int, total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(model, scene, out, tile=32, save_every=0, progress=progress, **options)
