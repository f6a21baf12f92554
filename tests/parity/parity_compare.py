"""Folders of golden vectors, whole or thinned, and the comparison of an array with its golden one."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from parity_fill import fill_state_dict

import mmweather.registry  # noqa: F401  applies mmweather.compat before a toolbox is imported
from mmweather.errors import DataError

#: Relative to the array's largest magnitude (at least 1), as the golden READMEs define it.
DEFAULT_TOLERANCE = 2e-5
#: Vectors that travel with the repository.
COMMITTED = Path(__file__).parent / 'vectors'
#: Whole vectors, where they are beside the repository.
WHOLE = Path(__file__).parents[3] / 'shared' / 'golden'
METHODS = ('aca_crnet', 'heatnet', 'nitedr', 'ssdie_net', 'togethernet')

Arrays = dict[str, np.ndarray]


class ThinArray(np.ma.MaskedArray):
    """Full-shaped array of which only a sample is known; the rest is masked.

    Attributes:
        means: mean of the full array and of its magnitudes, float64 (2,).
    """

    means: np.ndarray

    @staticmethod
    def places(shape: tuple[int, ...], count: int, largest: int) -> np.ndarray:
        """Sorted flat indices of the sample: an even stride that visits every index of every axis, and ``largest``."""
        size = int(np.prod(shape))
        step = -(-size // count)
        while any(np.gcd(step, side) > 1 for side in shape):
            step += 1
        return np.union1d(np.arange(0, size, step), [largest])


class Relative(NamedTuple):
    """Tolerance relative to the magnitude of each entry, instead of the array's largest.

    Args:
        share: of the magnitude.
        floor: smallest magnitude that counts; None stands for the array's largest.
    """

    share: float | np.ndarray
    floor: float | np.ndarray | None = 0.0

    def bounds(self, reference: np.ndarray) -> np.ndarray:
        """Largest difference allowed at each entry."""
        magnitude = np.abs(np.ma.getdata(reference).astype(np.float64))
        return self.share * np.maximum(magnitude, np.nanmax(magnitude) if self.floor is None else self.floor)


Rows = Iterator[tuple[str, Any, float | Relative | None]]


@dataclass
class Row:
    """One compared array."""

    file: str
    array: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    tolerance: float
    ok: bool
    note: str = ''


class GoldenFolder:
    """Layouts and arrays of one method.

    Args:
        path: the folder of the method.

    Raises:
        DataError: the folder or a file of it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not any(self.path.glob('golden_*.npz')):
            raise DataError(f'{self.path}: no golden_*.npz here; give a golden folder, or the folder that holds them')

    def json(self, name: str) -> Any:
        """Content of ``<name>.json``."""
        file = self.path / f'{name}.json'
        if not file.is_file():
            raise DataError(f'{file}: missing; the golden folder is incomplete')
        return json.loads(file.read_text())

    def layout(self, name: str) -> dict[str, Any]:
        """Content of ``layout_<name>.json``."""
        return self.json(f'layout_{name}')

    def state(self, name: str) -> Arrays:
        """Weights of ``layout_<name>.json``, filled."""
        return fill_state_dict(self.layout(name))

    def files(self) -> list[str]:
        """Names of the files of arrays."""
        return sorted(path.name for path in self.path.glob('golden_*.npz'))

    def arrays(self, file: str) -> Arrays:
        """Arrays of one file, thinned ones as :class:`ThinArray`; nothing in it can run code."""
        with np.load(self.path / file, allow_pickle=False) as data:
            return {name: _widened(data[name], data[f'{name}@thin']) if f'{name}@thin' in data.files else data[name]
                    for name in data.files if not name.endswith('@thin')}


def thinned(array: np.ndarray, count: int) -> Arrays:
    """Sample of an array and what is kept of the rest, under the endings of their names.

    Args:
        array: floats.
        count: number of values to keep, about.

    Returns:
        ``''``: the values at :meth:`ThinArray.places`. ``'@thin'``: float64 of the count, the place of the largest
        magnitude, the mean, the mean magnitude and the shape.
    """
    largest = int(np.abs(array).argmax())
    wide = array.astype(np.float64)
    note = [count, largest, wide.mean(), np.abs(wide).mean(), *array.shape]
    return {'': array.ravel()[ThinArray.places(array.shape, count, largest)], '@thin': np.array(note)}


def _widened(values: np.ndarray, note: np.ndarray) -> ThinArray:
    count, largest, *shape = (int(number) for number in np.delete(note, (2, 3)))
    full, masked = np.full(np.prod(shape), np.nan, values.dtype), np.full(np.prod(shape), True)
    places = ThinArray.places(tuple(shape), count, largest)
    full[places], masked[places] = values, False
    result = ThinArray(full.reshape(shape), mask=masked.reshape(shape))
    result.means = note[2:4]
    return result


#: Yields (array name, our value, tolerance or None for the default) for one golden file.
Check = Callable[[GoldenFolder, Arrays], Rows]


def compare(file: str, name: str, ours: Any, reference: np.ndarray, tolerance: float | Relative | None) -> Row:
    """Compare one array.

    Of a thinned array the sample is compared value by value, and the means of the whole unless the tolerance is a
    :class:`Relative`.

    Args:
        file: name for the row.
        name: name for the row.
        ours: array, tensor, list or number.
        reference: golden array.
        tolerance: relative to the largest magnitude, 1 or more; None for :data:`DEFAULT_TOLERANCE`.
    """
    ours = ours if isinstance(ours, np.ndarray) else np.asarray(ours)
    tolerance = DEFAULT_TOLERANCE if tolerance is None else tolerance
    shown = float(np.max(tolerance.share)) if isinstance(tolerance, Relative) else tolerance

    def row(ok: bool, absolute: float = 0.0, relative: float = 0.0, note: str = '') -> Row:
        return Row(file, name, reference.shape, absolute, relative, shown, ok, note)

    if ours.shape != reference.shape:
        return row(False, np.inf, np.inf, f'our shape is {ours.shape}')
    if reference.dtype.kind in 'US':
        same = bool((ours == reference).all())
        return row(same, *(() if same else (np.inf, np.inf)))
    known = ~np.ma.getmaskarray(reference)
    magnitude = np.abs(np.ma.getdata(reference)[known].astype(np.float64))
    largest = float(magnitude[np.isfinite(magnitude)].max(initial=0.0))
    known &= ~np.ma.getmaskarray(ours)
    found, wanted = (np.ma.getdata(x)[known].astype(np.float64) for x in (ours, reference))
    if isinstance(tolerance, Relative):
        bounds = tolerance.bounds(reference)[known]
    else:
        bounds = np.full(wanted.shape, tolerance * max(1.0, largest))
        if isinstance(reference, ThinArray) and not isinstance(ours, np.ma.MaskedArray):
            wide = ours.astype(np.float64)
            found, wanted = np.append(found, (wide.mean(), np.abs(wide).mean())), np.append(wanted, reference.means)
            bounds = np.append(bounds, bounds[:2])
    finite = np.isfinite(wanted)
    if not np.array_equal(np.isfinite(found), finite) or not np.array_equal(found[~finite], wanted[~finite], True):
        return row(False, np.inf, np.inf, 'not finite')
    gaps = np.abs(found - wanted)[finite]
    absolute = float(gaps.max(initial=0.0))
    return row(bool((gaps <= bounds[finite]).all()), absolute, absolute / max(largest, 1e-12))


def checks_of(method: str) -> dict[str, Check]:
    """File name -> check of a method; empty for an unknown method."""
    return importlib.import_module(f'parity_{method}').CHECKS if method in METHODS else {}


def check_file(folder: GoldenFolder, method: str, file: str) -> Iterator[Row]:
    """Compare every array of a file; one that no check covers, or that the file lacks, is a failed row."""
    reference = folder.arrays(file)
    left = set(reference)
    check = checks_of(method).get(file)
    for name, ours, tolerance in check(folder, reference) if check else ():
        left.discard(name)
        if name in reference:
            yield compare(file, name, ours, reference[name], tolerance)
        else:
            yield Row(file, name, np.shape(ours), np.nan, np.nan, np.nan, False, 'not in the file')
    for name in sorted(left):
        yield Row(file, name, reference[name].shape, np.nan, np.nan, np.nan, False, 'not covered')


def check_folder(path: str | Path, method: str | None = None) -> Iterator[Row]:
    """Compare every array of a method's folder.

    Args:
        path: folder with ``golden_*.npz`` and ``layout_*.json``.
        method: name of the method; by default that of the folder.
    """
    folder = GoldenFolder(path)
    for file in folder.files():
        yield from check_file(folder, method or folder.path.resolve().name, file)
