"""The raster that is filled window by window, and the cloud-optimised one made of it."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from .journal import Journal, writing
from .scene import Scene, import_rasterio, survey_windows

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

#: Side of the blocks of the result.
BLOCK = 512
# Of the raster that is filled. Windows are not aligned with them, so blocks are read again at their borders.
PART_BLOCK = 256


def profile_of(scene: Scene) -> dict[str, Any]:
    """How the result is written, for :func:`rasterio.open`."""
    data = scene.data
    profile = {
        'driver': 'GTiff', 'width': data.width, 'height': data.height, 'dtype': scene.values.dtype,
        'count': len(scene.bands) + (scene.alpha is not None), 'nodata': scene.values.nodata, 'crs': data.crs,
        'tiled': True, 'blockxsize': PART_BLOCK, 'blockysize': PART_BLOCK, 'interleave': 'pixel', 'BIGTIFF': 'IF_SAFER',
    }
    if not data.transform.is_identity:
        profile['transform'] = data.transform
    return profile


class Part:
    """The raster that is filled; not compressed, so that every block has its place before the first is filled.

    Then filling it changes pixels alone, and a kill at any time leaves a readable file.

    Args:
        journal: says where it is.
        scene: what it is a copy of in all but the pixels.
    """

    def __init__(self, journal: Journal, scene: Scene) -> None:
        self.journal, self.scene = journal, scene
        self._file: DatasetWriter | None = None

    def create(self) -> None:
        """Make it, empty, with all that the scene says about itself.

        Raises:
            DataError: it cannot be written.
        """
        data, rasterio = self.scene.data, import_rasterio()
        bands = [*self.scene.bands, *([] if self.scene.alpha is None else [self.scene.alpha])]
        with writing(self.journal.target), warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(self.journal.part, 'w', **profile_of(self.scene)) as part:
                part.colorinterp = [data.colorinterp[i - 1] for i in bands]
                for name in ('descriptions', 'scales', 'offsets', 'units'):
                    setattr(part, name, tuple(getattr(data, name)[i - 1] for i in bands))
                part.update_tags(**data.tags())
                for space in data.tag_namespaces():
                    if space not in ('IMAGE_STRUCTURE', 'DERIVED_SUBDATASETS', 'COLOR_PROFILE'):
                        part.update_tags(ns=space, **data.tags(ns=space))
                for i, band in enumerate(bands, 1):
                    # Statistics of the old pixels.
                    part.update_tags(i, **{key: value for key, value in data.tags(band).items()
                                           if not key.startswith('STATISTICS_')})
                points, crs = data.gcps
                if points:
                    part.gcps = points, crs
            # GDAL does not say so when the last bytes do not fit; the system does, and holds the place for the pixels.
            with self.journal.part.open('r+b') as file:
                os.posix_fallocate(file.fileno(), 0, disk_need(self.scene)[2])

    def write(self, numbers: np.ndarray, top: int, left: int) -> None:
        """Fill a window.

        Args:
            numbers: (C, H, W) of the raster's type.
            top: first row.
            left: first column.

        Raises:
            DataError: it cannot be written.
        """
        rasterio = import_rasterio()
        with writing(self.journal.target), warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            if self._file is None:
                self._file = rasterio.open(self.journal.part, 'r+')
            self._file.write(numbers, window=rasterio.windows.Window(left, top, numbers.shape[2], numbers.shape[1]))

    def flush(self) -> None:
        """Bring what was filled to the disk."""
        if self._file is None:
            return
        with writing(self.journal.target):
            self._file.close()
            self._file = None
            handle = os.open(self.journal.part, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self) -> None:
        """Close the file without a word, after an error."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self) -> None:
        """Write the cloud-optimised file and put it in the place of the result.

        Raises:
            DataError: it cannot be written.
        """
        self.flush()
        journal, rasterio = self.journal, import_rasterio()
        for left in journal.folder.glob('.finished*'):
            left.unlink()
        if self.scene.masked:
            self._copy_mask()
        with writing(journal.target), warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            rasterio.shutil.copy(journal.part, journal.finished, driver='COG', COMPRESS='DEFLATE', PREDICTOR='YES',
                                 BLOCKSIZE=BLOCK, OVERVIEW_RESAMPLING='AVERAGE', BIGTIFF='IF_SAFER')
            # A full disk can pass unnoticed until the last block is read.
            with rasterio.open(journal.finished) as file:
                file.read(window=rasterio.windows.Window(file.width - 1, file.height - 1, 1, 1))
            with journal.finished.open('rb') as file:
                os.fsync(file.fileno())
            os.replace(journal.finished, journal.target)
        journal.remove()

    def _copy_mask(self) -> None:
        """The scene's mask into a file of its own beside the part, anew after a kill."""
        rasterio = import_rasterio()
        mask = self.journal.part.with_name(f'{self.journal.part.name}.msk')
        mask.unlink(missing_ok=True)
        with writing(self.journal.target), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), \
                rasterio.open(self.journal.part, 'r+') as part:
            for box in survey_windows(self.scene.data):
                window = rasterio.windows.Window(*box)
                part.write_mask(self.scene.data.dataset_mask(window=window), window=window)


def disk_need(scene: Scene) -> tuple[int, int, int]:
    """Bytes that a run needs at most while it lasts, those of the result at most, and those of the part's pixels.

    The result, with overviews of a third, is not expected to grow by compression; the overviews are held once more
    while it is written.
    """
    data = scene.data
    count = len(scene.bands) + (scene.alpha is not None)
    raw, filled = (-(-data.width // side) * -(-data.height // side) * side**2 * count
                   * np.dtype(scene.values.dtype).itemsize for side in (BLOCK, PART_BLOCK))
    result = raw * 4 // 3
    return filled + result + raw // 3, result, filled


def free_space(journal: Journal) -> int:
    """Bytes free for a result, those of an earlier run counted."""
    folder = next(folder for folder in journal.folder.absolute().parents if folder.exists())
    return shutil.disk_usage(folder).free + journal.size()


def check_space(journal: Journal, need: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        DataError: fewer than ``need`` bytes are free.
    """
    free = free_space(journal)
    if free < need:
        raise DataError(f"'{journal.target}': {gigabytes(free)} free, up to {gigabytes(need)} needed while it is made; "
                        'free some or choose another disk (--out)')


def gigabytes(count: float) -> str:
    """``'3.14 GB'``."""
    return f'{count / 1e9:.2f} GB'


def check_target(target: Path, *sources: Path | None) -> None:
    """Refuse a result that is an input, a folder or no TIFF.

    Raises:
        DataError: it is.
    """
    if target.suffix.lower() not in ('.tif', '.tiff'):
        raise DataError(f"'{target}': the result of a scene is a GeoTIFF; let its name end in .tif")
    if target.is_dir():
        raise DataError(f"'{target}' is a folder; give the result's file")
    for source in sources:
        if source is not None and target.exists() and source.exists() and target.samefile(source):
            raise DataError(f"'{source}' would be overwritten by its result; choose another place (--out)")
