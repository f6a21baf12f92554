"""Reading the GeoTIFFs of a Sentinel sample, and the mask of its clouds."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from tqdm import tqdm

from ...errors import ConfigError, DataError
from ...registry import TRANSFORMS
from ...utils.rasters import Raster, read_raster
from ...utils.text import plural
from .sentinel import CLOUD_THRESHOLD, VH_FLOOR, cloud_shadow_mask, fill_missing, scale_optical, scale_radar

L1C = ('B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B10', 'B11', 'B12')
"""Order of the bands of Level-1C."""
L2A = tuple(band for band in L1C if band != 'B10')
"""Order of the bands of Level-2A, whose processing removes B10."""
SAR = ('VV', 'VH')
_BANDS = {'l1c': L1C, 'l2a': L2A}
_CIRRUS = L1C.index('B10')


def _plain(description: str) -> str | None:
    """``B8A`` of ``B08A``, ``b8a`` or ``Band 8A``; ``VV`` of ``Sigma0_VV_db``; None for anything else."""
    text = description.upper()
    band = re.search(r'(?<![A-Z0-9])B(?:AND)?[ _-]?0*([1-9]\d?A?)(?![A-Z0-9])', text)
    if band:
        return f'B{band[1]}'
    polarisation = re.search(r'(?<![A-Z])(VV|VH|HH|HV)(?![A-Z])', text)
    return polarisation[1] if polarisation else None


def check_bands(raster: Raster, bands: Sequence[str], path: str | Path) -> None:
    """Compare number and, where the file describes its bands, order.

    Raises:
        DataError: they differ; the message names the file and the fix.
    """
    count = raster.pixels.shape[-1]
    if count != len(bands):
        fix = f'give the bands {", ".join(bands)}'
        if tuple(bands) == L1C and count == len(L2A):
            fix = "if it is Level-2A, which has no B10, set bands='l2a' in mmweather.LoadSentinel"
        elif tuple(bands) == L2A and count == len(L1C):
            fix = "if it is Level-1C, set bands='l1c' in mmweather.LoadSentinel"
        raise DataError(f"'{path}' has {plural(count, 'band')} instead of {len(bands)}; {fix}")
    named = [_plain(text) if text else None for text in raster.descriptions]
    if None not in named and named != list(bands):
        raise DataError(f"'{path}' has its bands in the order {', '.join(map(str, named))} instead of "
                        f"{', '.join(bands)}; reorder them (gdal_translate -b)")


def numbers_of(raster: Raster, path: str | Path, max_missing: float,
               report: Callable[[float], None] | None = None) -> np.ndarray:
    """The pixels, those without data filled with the mean of the others; the file's type where nothing is missing.

    Pixels are without data where they are not finite or equal the file's nodata value.

    Args:
        raster: what was read.
        path: of the file, for the message.
        max_missing: maximum share of pixels without data.
        report: called with that share where it is not 0.

    Raises:
        DataError: more than ``max_missing`` of them are.
    """
    pixels = raster.pixels
    missing = np.zeros(pixels.shape, bool)
    if raster.nodata is not None and not np.isnan(raster.nodata):
        missing |= pixels == raster.nodata
    if pixels.dtype.kind == 'f':
        missing |= ~np.isfinite(pixels)
    share = float(missing.mean())
    if share == 0:
        return pixels
    if share > max_missing or share == 1:
        raise DataError(f"'{path}': {share:.0%} of the values have no data (nan or nodata); leave the patch out "
                        '(quarantine), or raise max_missing')
    if report is not None:
        report(share)
    return fill_missing(np.where(missing, np.nan, pixels.astype(np.float32)))


def _matrix(raster: Raster) -> np.ndarray:
    """From (column, row, 1) to (x, y, 1)."""
    return np.array([*tuple(raster.transform)[:6], 0, 0, 1], np.float64).reshape(3, 3)


def check_grids(rasters: Mapping[str, Raster], paths: Mapping[str, str]) -> None:
    """Compare size, coordinate reference system and place of the images of one sample.

    Places may differ by half a pixel; an image without coordinates is compared by its size alone.

    Raises:
        DataError: two differ.
    """
    first = next(iter(rasters))
    one = rasters[first]
    for key, other in rasters.items():
        pair = f"'{paths[first]}' and '{paths[key]}'"
        if other.pixels.shape[:2] != one.pixels.shape[:2]:
            sizes = ' and '.join(f'{r.pixels.shape[1]}x{r.pixels.shape[0]}' for r in (one, other))
            raise DataError(f'{pair} differ in size: {sizes} (width x height); bring them to one grid (gdalwarp)')
        if one.crs is None or other.crs is None:
            continue
        if one.crs != other.crs:
            raise DataError(f'{pair} have the coordinate systems {one.crs} and {other.crs}; bring them to one grid '
                            '(gdalwarp)')
        height, width = one.pixels.shape[:2]
        corners = np.array([[0, width], [0, height], [1, 1]], np.float64)
        to_pixels = np.linalg.solve(_matrix(one), _matrix(other))
        shift = float(np.abs(to_pixels @ corners - corners).max())
        if shift > 0.5:
            raise DataError(f'{pair} lie {shift:.1f} pixels apart; bring them to one grid (gdalwarp)')


@TRANSFORMS.register_module()
class LoadSentinel(BaseTransform):
    """Read the GeoTIFFs of a sample, check that they fit each other, scale them, and find clouds and shadows.

    Required keys: ``<key>_path``.  Added keys: ``img`` and ``gt``, float32 (H, W, 13) in [0, 1], digital numbers
    clipped to 0...10000 and divided by 10 000; ``sar``, float32 (H, W, 2) in [0, 1], VV and VH clipped from their
    floors to 0 dB; ``mask``, uint8 (H, W), 1 in cloud and shadow of ``img``; ``ori_shape``.  Without ``sar`` in
    ``keys`` it is optical only.

    Args:
        keys: which images to read, of ``img``, ``gt`` and ``sar``.
        bands: ``'l1c'``, 13 bands; or ``'l2a'``, 12 bands, to which B10 is added as zeros, so that networks of 13
            bands run (they have learnt of cirrus from it).
        vh_floor: dB of VH that becomes 0; -35 for the checkpoints of ACA-CRNet.
        mask: find clouds and shadows in the whole patch.
        threshold: least score of a cloud.
        keep_numbers: add ``numbers``, the cloudy digital numbers (H, W, 13), for ``mmweather.FindClouds`` further on.
        max_missing: largest share of values without data; they are filled with the mean of the image's others.
        check_grid: compare coordinate systems and places.
        cache: keep what was read in memory.
        cache_limit_mb: stop adding to the cache beyond this number of MiB.

    Raises:
        DataError: a file cannot be read, has other bands, lacks data, or does not fit the others.
        ConfigError: an argument is wrong, or the data set gives no path for a key.
        MissingToolboxError: rasterio is not installed.
    """

    KEYS = ('img', 'gt', 'sar')

    def __init__(self,
                 keys: Sequence[str] = KEYS,
                 bands: str = 'l1c',
                 vh_floor: float = VH_FLOOR,
                 mask: bool = True,
                 threshold: float = CLOUD_THRESHOLD,
                 keep_numbers: bool = False,
                 max_missing: float = 0.5,
                 check_grid: bool = True,
                 cache: bool = False,
                 cache_limit_mb: int = 4096) -> None:
        self.keys = tuple(keys)
        if not self.keys or set(self.keys) - set(self.KEYS):
            raise ConfigError(f'LoadSentinel: keys must be of {self.KEYS}, got {self.keys}')
        if bands not in _BANDS:
            raise ConfigError(f"LoadSentinel: bands must be 'l1c' (13 bands) or 'l2a' (12, no B10), got {bands!r}")
        if (mask or keep_numbers) and 'img' not in self.keys:
            raise ConfigError("LoadSentinel: clouds are found in 'img'; add it to keys, or set mask=False and "
                              'keep_numbers=False')
        if not vh_floor < 0 <= max_missing <= 1:
            raise ConfigError(f'LoadSentinel: vh_floor must be negative and max_missing in 0..1, got {vh_floor} and '
                              f'{max_missing}')
        self.bands = bands
        self.vh_floor = vh_floor
        self.mask = mask
        self.threshold = threshold
        self.keep_numbers = keep_numbers
        self.max_missing = max_missing
        self.check_grid = check_grid
        self.cache = cache
        self.cache_limit_mb = cache_limit_mb
        self._kept: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
        self._kept_bytes = 0
        self._lacking: list[float] | None = None
        self._reported = False

    def __getstate__(self) -> dict:
        # The pixels are left behind: pickling them to a worker costs more than reading them again.
        return {**self.__dict__, '_kept': {}, '_kept_bytes': 0}

    def _numbers(self, paths: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Checked and filled values of every key, as stored; and the mask."""
        rasters = {}
        for key, path in paths.items():
            rasters[key] = read_raster(path)
            check_bands(rasters[key], SAR if key == 'sar' else _BANDS[self.bands], path)
        if self.check_grid:
            check_grids(rasters, paths)
        numbers = {key: numbers_of(raster, paths[key], self.max_missing, partial(self._note, paths[key]))
                   for key, raster in rasters.items()}
        if self.bands == 'l2a':
            numbers.update({key: np.insert(array, _CIRRUS, 0, axis=-1) for key, array in numbers.items()
                            if key != 'sar'})
        if self.mask:
            numbers['mask'] = find_clouds(numbers['img'], self.threshold)
        return numbers

    def _read(self, paths: Mapping[str, str]) -> dict[str, np.ndarray]:
        name = tuple(paths.values())
        if name in self._kept:
            return self._kept[name]
        numbers = self._numbers(paths)
        size = sum(array.nbytes for array in numbers.values())
        if self.cache and self._kept_bytes + size <= self.cache_limit_mb * 2**20:
            for array in numbers.values():
                array.flags.writeable = False  # a transform that writes in place would spoil later epochs
            self._kept[name] = numbers
            self._kept_bytes += size
        return numbers

    def _note(self, path: str, share: float) -> None:
        """Log the first file that lacks data; while many are read in a row, count them for one line at the end."""
        if self._lacking is not None:
            self._lacking.append(share)
        elif not self._reported:
            self._reported = True
            print_log(f"LoadSentinel: '{path}' lacks {share:.2%} of its values (NaN or nodata), filled with the mean "
                      'of its others; further files are filled without a line', 'current', logging.WARNING)

    def _paths(self, sample: Mapping[str, str]) -> dict[str, str]:
        for key in self.keys:
            if f'{key}_path' not in sample:
                given = sorted(name[:-5] for name in sample if name.endswith('_path'))
                raise ConfigError(f"LoadSentinel wants '{key}', but the data set gives {given}; add '{key}' to its "
                                  'keys, or drop it here')
        return {key: sample[f'{key}_path'] for key in self.keys}

    def warm(self, samples: Iterable[Mapping[str, str]]) -> None:
        """Read the images of ``samples`` into the cache; does nothing without ``cache``."""
        if not self.cache:
            return
        samples, self._lacking = list(samples), []
        try:
            for sample in tqdm(samples, desc='reading', unit='patch', leave=False, disable=None):
                if self._kept_bytes >= self.cache_limit_mb * 2**20:
                    break
                self._read(self._paths(sample))
            if self._lacking:
                self._reported = True
                print_log(f'LoadSentinel: {len(self._lacking)} of {len(samples) * len(self.keys)} files lack '
                          f'{np.mean(self._lacking):.2%} of their values (NaN or nodata) in the mean, filled with the '
                          'mean of their others', 'current', logging.WARNING)
        finally:
            self._lacking = None

    def transform(self, results: dict) -> dict:
        """Read the images of one sample."""
        numbers = self._read(self._paths(results))
        for key in self.keys:
            values = scale_radar(numbers[key], self.vh_floor) / 2 if key == 'sar' else scale_optical(numbers[key]) / 5
            results[key] = values
        if self.mask:
            results['mask'] = numbers['mask']
        if self.keep_numbers:
            results['numbers'] = numbers['img']
        results['ori_shape'] = tuple(numbers[self.keys[0]].shape[:2])
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(keys={self.keys}, bands={self.bands!r}, vh_floor={self.vh_floor}, '
                f'mask={self.mask})')


def find_clouds(numbers: np.ndarray, threshold: float = CLOUD_THRESHOLD) -> np.ndarray:
    """uint8 (H, W), 1 in cloud and shadow of digital numbers (H, W, 13)."""
    return (cloud_shadow_mask(numbers, threshold) != 0).astype(np.uint8)


@TRANSFORMS.register_module()
class FindClouds(BaseTransform):
    """Find clouds and shadows in what is left of a patch after cropping.

    Shadows are found by statistics of the array, so that this mask differs from the crop of a mask of the whole patch.
    The published loader of ACA-CRNet does so; ``mmweather.LoadSentinel(mask=True)`` looks at the whole patch.

    Required key: ``source``.  Added key: ``mask``, uint8 (H, W).

    Args:
        source: key of the digital numbers (H, W, 13), from ``LoadSentinel(keep_numbers=True)``.
        threshold: least score of a cloud.

    Raises:
        ConfigError: the key is absent.
    """

    def __init__(self, source: str = 'numbers', threshold: float = CLOUD_THRESHOLD) -> None:
        self.source = source
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        """Add the mask of one sample."""
        if self.source not in results:
            raise ConfigError(f"FindClouds: the sample has no '{self.source}'; set keep_numbers=True in LoadSentinel")
        results['mask'] = find_clouds(results[self.source], self.threshold)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(source={self.source!r}, threshold={self.threshold})'
