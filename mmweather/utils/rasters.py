"""Reading and writing GeoTIFFs; rasterio is imported when the first one is touched."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, missing_toolbox
from .atomic import write_bytes
from .files import check_regular
from .pixels import check_pixels

RASTER_EXTENSIONS = ('.tif', '.tiff')


@dataclass(frozen=True)
class Raster:
    """A georeferenced image.

    Attributes:
        pixels: (H, W, bands), in the type of the file.
        crs: coordinate reference system (``rasterio.crs.CRS``), None where the file has none.
        transform: from pixels to the coordinates of ``crs`` (``affine.Affine``).
        nodata: the value of pixels without data, None where the file names none.
        descriptions: of the bands, None each where there is none.
    """

    pixels: np.ndarray
    crs: Any
    transform: Any
    nodata: float | None
    descriptions: tuple[str | None, ...]


def import_rasterio(what: str) -> Any:
    """The module ``rasterio``.

    Args:
        what: needs it, for the message.

    Raises:
        MissingToolboxError: it is not installed.
    """
    try:
        import rasterio
    except ModuleNotFoundError as error:
        raise missing_toolbox(what, error) from error
    return rasterio


def read_raster(path: str | Path) -> Raster:
    """Read a whole GeoTIFF.

    Raises:
        DataError: the file is missing, not a regular file, empty, cut short, not a raster that GDAL reads, or has too
            many pixels (:func:`~mmweather.utils.pixels.pixel_limit`).
        MissingToolboxError: rasterio is not installed.
    """
    path = Path(path)
    rasterio = import_rasterio(f"reading '{path.name}'")
    try:
        size = check_regular(path)
    except FileNotFoundError:
        raise DataError(f"no such raster: '{path}'; check the path (or data_root)") from None
    except OSError as error:
        raise DataError(f"raster '{path}' cannot be opened ({error.strerror}); check what it is and its permissions"
                        ) from error
    if size == 0:
        raise DataError(f"raster '{path}' is empty (0 bytes); copy or download it again")
    try:
        with warnings.catch_warnings():
            # A raster without coordinates is recognised by its crs; the caller decides.
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                check_pixels(path, file.width, file.height, 'raster')
                pixels = np.ascontiguousarray(np.moveaxis(file.read(), 0, -1))
                return Raster(pixels, file.crs, file.transform, file.nodata, file.descriptions)
    except DataError:
        raise
    except (rasterio.errors.RasterioError, ValueError) as error:
        reason = ' '.join(str(error.__cause__ or error).split())
        raise DataError(f"raster '{path}' is damaged or not a GeoTIFF ({reason}); copy or download it again, or list "
                        'it in a quarantine file (mmweather check --quarantine)') from error


def write_geotiff(path: str | Path, pixels: np.ndarray, crs: str | None, transform: tuple[float, ...],
                  nodata: float | None = None, descriptions: tuple[str, ...] = ()) -> Path:
    """Write a GeoTIFF, compressed without loss and atomically.

    Args:
        path: where to; missing folders are created.
        pixels: (H, W, bands).
        crs: coordinate reference system, as in ``'EPSG:32633'``; None for none.
        transform: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f.
        nodata: value of pixels without data.
        descriptions: of the bands; none are written if empty.

    Returns:
        The path written.

    Raises:
        DataError: the file cannot be written.
        MissingToolboxError: rasterio is not installed.
    """
    rasterio = import_rasterio(f"writing '{Path(path).name}'")
    height, width, bands = pixels.shape
    # Differences of neighbours compress best: predictor 2 takes them between integers, 3 between floats.
    predictor = 3 if pixels.dtype.kind == 'f' else 2
    with rasterio.MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        with memory.open(driver='GTiff', height=height, width=width, count=bands, dtype=pixels.dtype.name, crs=crs,
                         transform=rasterio.Affine(*transform), nodata=nodata, compress='deflate', zlevel=1,
                         predictor=predictor, interleave='band') as file:
            file.write(np.moveaxis(pixels, -1, 0))
            for band, description in enumerate(descriptions, 1):
                file.set_band_description(band, description)
        data = bytes(memory.getbuffer())
    try:
        return write_bytes(path, data)
    except OSError as error:
        raise DataError(f"cannot write '{path}' ({error.strerror}); choose another folder") from error
