"""A georeferenced raster and the radar raster on its grid: opened, checked, read in windows."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...datasets.transforms.sentinel import VH_FLOOR, scale_radar
from ...errors import ConfigError, DataError, missing_toolbox
from ...utils.files import check_regular
from .bands import SENTINEL_2, check_polarisations, choose_bands
from .values import DTYPES, Values, choose_scale, fits, missing_numbers

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

# Side of the pieces in which a raster is looked through, rounded to its blocks.
SURVEY = 512


def import_rasterio() -> Any:
    """The module rasterio.

    Raises:
        MissingToolboxError: it is not installed.
    """
    try:
        import rasterio
        import rasterio.shutil
    except ModuleNotFoundError as error:
        raise missing_toolbox('restoring GeoTIFF scenes', error) from error
    return rasterio


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """What rasterio says against a file that is read, as one line."""
    errors = import_rasterio().errors
    try:
        yield
    except errors.RasterioError as error:
        if not path.exists():
            raise DataError(f"'{path}': no such file") from None
        reason = ' '.join(str(error.__cause__ or error).split()).removeprefix(f'{path}, ')
        raise DataError(f"'{path}' is cut short, damaged or no GeoTIFF ({reason}); copy it again") from error


def _open(path: Path) -> DatasetReader:
    try:
        check_regular(path)
    except FileNotFoundError:
        raise DataError(f"'{path}': no such file") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be opened ({error.strerror}); give a GeoTIFF") from error
    with reading(path):
        return import_rasterio().open(path)


@dataclass
class Piece:
    """A window of a scene.

    Args:
        stored: numbers of the file, (C, H, W).
        missing: where there is no data, bool of the same shape.
        image: what the network gets, float32 (C, H, W) in [0, 1].
        sar: VV and VH likewise, or None.
        alpha: the file's alpha band, (1, H, W), or None.
    """

    stored: np.ndarray
    missing: np.ndarray
    image: np.ndarray
    sar: np.ndarray | None = None
    alpha: np.ndarray | None = None


@dataclass
class Scene:
    """An open raster; see :func:`open_scene`.

    Args:
        path: of the file.
        data: the open file.
        bands: which bands the model gets, numbered from one.
        values: what their numbers mean.
        alpha: number of the alpha band, or None.
        masked: whether a mask says where there is data.
        sar_path: of the radar file.
        sar: the open radar file.
        vh_floor: dB of VH that becomes 0.
        fill: what the network gets where there is no data, per band in [0, 1]: the mean of the scene, so that it does
            not depend on the window.
        sar_fill: likewise in dB.
    """

    path: Path
    data: DatasetReader
    bands: list[int]
    values: Values
    alpha: int | None = None
    masked: bool = False
    sar_path: Path | None = None
    sar: DatasetReader | None = None
    vh_floor: float = VH_FLOOR
    fill: np.ndarray = field(default_factory=lambda: np.zeros(1, np.float32))
    sar_fill: np.ndarray = field(default_factory=lambda: np.zeros(2, np.float32))

    def _stored(self, window: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        with reading(self.path):
            stored = self.data.read(self.bands, window=window)
            alpha = None if self.alpha is None else self.data.read([self.alpha], window=window)
            missing = self.values.missing(stored)
            if alpha is not None:
                missing |= alpha == 0
            elif self.masked:
                missing |= self.data.dataset_mask(window=window) == 0
        return stored, missing, alpha

    def _radar(self, window: Any) -> tuple[np.ndarray, np.ndarray]:
        assert self.sar is not None and self.sar_path is not None
        with reading(self.sar_path):
            decibel = self.sar.read(window=window).astype(np.float32)
        return decibel, missing_numbers(decibel, self.sar.nodata)

    def read(self, top: int, left: int, height: int, width: int) -> Piece:
        """A window of the scene.

        Raises:
            DataError: a file cannot be read there.
        """
        window = import_rasterio().windows.Window(left, top, width, height)
        stored, missing, alpha = self._stored(window)
        image = np.where(missing, self.fill.reshape(-1, 1, 1), self.values.to_unit(stored))
        radar = None
        if self.sar is not None:
            decibel, gone = self._radar(window)
            decibel = np.where(gone, self.sar_fill.reshape(-1, 1, 1), decibel)
            # The transform gives [0, 2].
            radar = np.moveaxis(scale_radar(np.moveaxis(decibel, 0, -1), self.vh_floor), -1, 0).astype(np.float32) / 2
        return Piece(stored, missing, image, radar, alpha)

    def survey(self, progress: Any = None) -> dict[str, Any]:
        """Read everything once: damage shows before hours of computing, and the means for ``fill`` are found.

        Args:
            progress: called with (pieces done, pieces in all).

        Returns:
            ``fill`` and ``sar_fill``, also set on the scene.

        Raises:
            DataError: a file is damaged, holds no data, or the radar is not in dB.
        """
        pieces = list(survey_windows(self.data))
        sums = [np.zeros((2, len(self.bands))), np.zeros((2, 2))]
        highest = -np.inf
        lowest = np.inf
        for done, box in enumerate(pieces, 1):
            window = import_rasterio().windows.Window(*box)
            stored, missing, _ = self._stored(window)
            _count(sums[0], self.values.to_unit(stored), missing)
            if self.sar is not None:
                decibel, gone = self._radar(window)
                _count(sums[1], decibel, gone)
                highest = max(highest, np.max(decibel, where=~gone, initial=-np.inf))
                lowest = min(lowest, np.min(decibel, where=~gone, initial=np.inf))
            if progress:
                progress(done, len(pieces))
        if not sums[0][1].any():
            raise DataError(f"'{self.path}' holds no data: every pixel is nodata ({self.values.nodata}), NaN or masked")
        if self.sar is not None and not sums[1][1].any():
            raise DataError(f"radar '{self.sar_path}' holds no data: every pixel is nodata or NaN")
        if self.sar is not None and lowest >= 0 and highest > 0:
            raise DataError(f"radar '{self.sar_path}' has no value below zero ({lowest:g} to {highest:g}), so it is "
                            'not in dB; convert it by 10 * log10')
        means = [(total[0] / np.maximum(total[1], 1)).astype(np.float32) for total in sums]
        self.fill, self.sar_fill = means
        return {'fill': means[0], 'sar_fill': means[1]}


def _count(total: np.ndarray, numbers: np.ndarray, missing: np.ndarray) -> None:
    there = ~missing
    total[0] += np.sum(numbers, axis=(1, 2), where=there, dtype=np.float64)
    total[1] += there.sum(axis=(1, 2))


def survey_windows(data: DatasetReader) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width and height of pieces that cover a raster along its blocks, of a quarter of a megapixel each."""
    block_height, block_width = data.block_shapes[0]
    width = min(data.width, -(-SURVEY // block_width) * block_width)
    rows = max(SURVEY**2 // width, 1)
    height = max(rows // block_height, 1) * block_height if block_height <= rows else rows
    for top in range(0, data.height, height):
        for left in range(0, data.width, width):
            yield left, top, min(width, data.width - left), min(height, data.height - top)


@contextlib.contextmanager
def open_scene(
    path: str | Path,
    count: int,
    sar: str | Path | None = None,
    bands: str | Sequence[int | str] | None = None,
    nodata: float | None = None,
    scale: float | None = None,
    offset: float | None = None,
    vh_floor: float | None = None,
) -> Iterator[Scene]:
    """Open and check a scene; no pixel is read.

    Args:
        path: GeoTIFF of type uint8, uint16, int16 or float32.
        count: bands that the model takes.
        sar: VV and VH in dB on the same grid.
        bands: see :func:`~mmweather.apis.scenes.bands.choose_bands`.
        nodata: number that means no data; None takes the file's.
        scale: see :class:`~mmweather.apis.scenes.values.Values`; None takes the file's or the usual one of its type.
        offset: likewise.
        vh_floor: dB of VH that becomes 0; -32.5 if None.

    Raises:
        ConfigError: an option cannot work.
        DataError: a file is missing, unreadable, or does not fit the model or the other file.
        MissingToolboxError: rasterio is not installed.
    """
    path = Path(path)
    rasterio = import_rasterio()
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        data = stack.enter_context(_open(path))
        if len(set(data.dtypes)) > 1 or data.dtypes[0] not in DTYPES:
            raise DataError(f"'{path}' has numbers of type {', '.join(sorted(set(data.dtypes)))}; "
                            f"{', '.join(DTYPES)} are supported (gdal_translate -ot)")
        dtype = data.dtypes[0]
        colours = [colour.name for colour in data.colorinterp]
        alpha = colours.index('alpha') + 1 if colours.count('alpha') == 1 and len(colours) > 1 else None
        kept = [i for i in range(1, data.count + 1) if i != alpha]
        chosen = choose_bands(str(path), bands, [data.descriptions[i - 1] for i in kept],
                              [colours[i - 1] for i in kept], count)
        chosen = [kept[i - 1] for i in chosen]
        if nodata is not None and not fits(dtype, nodata):
            raise ConfigError(f"nodata={nodata:g} cannot stand in '{path}' of type {dtype}; give a number of that type")
        if nodata is None and data.nodata is not None and fits(dtype, data.nodata):
            nodata = data.nodata
        physical = {(data.scales[i - 1], data.offsets[i - 1]) for i in chosen} - {(1.0, 0.0)}
        stated = physical.pop() if len(physical) == 1 and data.scales[chosen[0] - 1] > 0 else None
        values = Values(dtype, *choose_scale(str(path), dtype, count == len(SENTINEL_2), scale, offset, stated), nodata)
        flags = data.mask_flag_enums[chosen[0] - 1]
        masked = alpha is None and rasterio.enums.MaskFlags.per_dataset in flags
        scene = Scene(path, data, chosen, values, alpha, masked, vh_floor=VH_FLOOR if vh_floor is None else vh_floor)
        if not scene.vh_floor < 0:
            raise ConfigError(f'vh_floor={vh_floor}: give dB below zero, such as {VH_FLOOR}')
        if sar is not None:
            scene.sar_path = Path(sar)
            scene.sar = stack.enter_context(_open(scene.sar_path))
            check_radar(scene)
        yield scene


def check_radar(scene: Scene) -> None:
    """Refuse radar of other bands, type or grid than the scene needs.

    Raises:
        DataError: with both grids in the message.
    """
    data, sar = scene.data, scene.sar
    assert sar is not None
    where = f"radar '{scene.sar_path}'"
    check_polarisations(str(scene.sar_path), sar.descriptions)
    if any(np.dtype(dtype).kind != 'f' for dtype in sar.dtypes):
        raise DataError(f'{where} has numbers of type {sar.dtypes[0]}; dB need a floating type')
    if sar.shape != data.shape:
        raise DataError(f"{where} is {sar.width}x{sar.height} and '{scene.path}' {data.width}x{data.height}; warp it "
                        'to that grid (gdalwarp)')
    if sar.crs != data.crs:
        raise DataError(f"{where} is in {crs_name(sar)} and '{scene.path}' in {crs_name(data)}; warp it to that grid "
                        '(gdalwarp)')
    # A hundredth of a pixel, at three corners.
    corners = np.array([[0, 0, 1], [data.width, 0, 1], [0, data.height, 1]], float).T
    if np.abs(np.linalg.solve(_matrix(data), _matrix(sar) @ corners) - corners).max() > 0.01:
        raise DataError(f"{where} begins at {_origin(sar)} and '{scene.path}' at {_origin(data)}, or has other pixels; "
                        'warp it to that grid (gdalwarp)')


def _matrix(data: DatasetReader) -> np.ndarray:
    t = data.transform
    return np.array([[t.a, t.b, t.c], [t.d, t.e, t.f], [0, 0, 1]])


def crs_name(data: DatasetReader) -> str:
    """``'EPSG:32632'``, the name of another system, or ``'no CRS'``."""
    if data.crs is None:
        return 'no CRS'
    code = data.crs.to_epsg()
    return f'EPSG:{code}' if code else str(data.crs.to_wkt()).split('"')[1]


def _origin(data: DatasetReader) -> str:
    return f'({data.transform.c:.10g}, {data.transform.f:.10g})'
