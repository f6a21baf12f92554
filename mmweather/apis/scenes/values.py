"""What the numbers of a raster mean: nodata, scale and offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import ConfigError, DataError

DTYPES = ('uint8', 'uint16', 'int16', 'float32')
"""Types of scenes that can be read and written back."""

SENTINEL_SCALE = 10000.0
"""Digital numbers of Sentinel-2 are reflectance times this."""


@dataclass(frozen=True)
class Values:
    """The way from stored numbers to a network's [0, 1] and back: unit = (stored + offset) / scale.

    Stored numbers outside of the unit range are clipped for the network. So a cloud brighter than ``scale`` is seen as
    1, and what the network makes of it comes back, at most ``scale - offset``.

    Args:
        dtype: of the stored numbers, one of :data:`DTYPES`.
        scale: stored numbers per unit.
        offset: added to stored numbers; -1000 for Sentinel-2 since processing baseline 04.00.
        nodata: number that means that there is none; NaN and infinity always do.
    """

    dtype: str
    scale: float
    offset: float = 0.0
    nodata: float | None = None

    def missing(self, stored: np.ndarray) -> np.ndarray:
        """Which numbers are no data, bool, of the same shape."""
        return missing_numbers(stored, self.nodata)

    def to_unit(self, stored: np.ndarray) -> np.ndarray:
        """Stored numbers as float32 in [0, 1]; what is missing is zero."""
        unit = np.where(self.missing(stored), np.float32(-self.offset), stored).astype(np.float32, copy=False)
        unit += np.float32(self.offset)
        unit /= np.float32(self.scale)
        return unit.clip(0, 1, out=unit)

    def from_unit(self, unit: np.ndarray, stored: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """A result as stored numbers.

        Whole numbers are rounded and clipped to the range of their type. A result that would read as nodata becomes
        the number beside it.

        Args:
            unit: float32 in [0, 1].
            stored: what was there, of the same shape.
            missing: where that is kept.
        """
        numbers = unit * np.float32(self.scale) - np.float32(self.offset)
        dtype = np.dtype(self.dtype)
        if dtype.kind in 'iu':
            limits = np.iinfo(dtype)
            numbers = np.rint(numbers).clip(limits.min, limits.max)
        result = numbers.astype(dtype)
        if self.nodata is not None and np.isfinite(self.nodata):
            with np.errstate(over='ignore'):
                taken = dtype.type(self.nodata)
            result[result == taken] = _beside(taken)
        result[missing] = stored[missing]
        return result


def missing_numbers(stored: np.ndarray, nodata: float | None) -> np.ndarray:
    """Where an array is not finite or equals ``nodata``."""
    missing = ~np.isfinite(stored) if stored.dtype.kind == 'f' else np.zeros(stored.shape, bool)
    if nodata is not None and np.isfinite(nodata):
        with np.errstate(over='ignore'):  # the least float64, which some tools write, is -inf as float32
            missing |= stored == stored.dtype.type(nodata)
    return missing


def _beside(number: np.generic) -> np.generic:
    if number.dtype.kind == 'f':
        return np.nextafter(number, number.dtype.type(1))
    above = int(number) + 1
    return number.dtype.type(above if above <= np.iinfo(number.dtype).max else int(number) - 1)


def fits(dtype: str, nodata: float) -> bool:
    """Whether a raster of that type can hold ``nodata``."""
    kind = np.dtype(dtype)
    if kind.kind == 'f':
        return True
    return float(nodata).is_integer() and np.iinfo(kind).min <= nodata <= np.iinfo(kind).max


def choose_scale(where: str, dtype: str, sentinel: bool, given: float | None, given_offset: float | None,
                 stored: tuple[float, float] | None) -> tuple[float, float]:
    """Scale and offset: those given, those that the file states, or the usual ones.

    Args:
        where: the file, for the message.
        dtype: of the stored numbers.
        sentinel: whether the model takes all bands of Sentinel-2.
        given: the user's scale.
        given_offset: the user's offset.
        stored: scale and offset that the file states, reflectance = stored * scale + offset.

    Raises:
        ConfigError: a number that cannot work.
        DataError: numbers of this type have no range of their own, so it must be given.
    """
    scale, offset = given, given_offset
    if stored is not None and scale is None and offset is None:
        scale, offset = 1 / stored[0], stored[1] / stored[0]
    if scale is None:
        if dtype == 'uint8':
            scale = 255.0
        elif sentinel and dtype in ('uint16', 'int16'):
            scale = SENTINEL_SCALE
        else:
            raise DataError(f"'{where}': {dtype} has no range of its own; give the number that is full brightness, "
                            'such as --scale 10000 for reflectance times 10000, 65535 or 1')
    if not (np.isfinite(scale) and scale > 0 and np.isfinite(offset or 0)):
        raise ConfigError(f'scale={scale}, offset={offset}: the scale must be positive and both finite')
    return float(scale), float(offset or 0)
