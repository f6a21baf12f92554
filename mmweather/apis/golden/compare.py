"""Comparing computed arrays with golden ones."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmweather.errors import DataError

from .fill import fill_state_dict

#: Relative to the array's largest magnitude (at least 1), as the golden READMEs define it.
DEFAULT_TOLERANCE = 2e-5


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
    """A golden folder: its layouts and arrays.

    Args:
        path: the folder of one method.

    Raises:
        DataError: the folder or a file of it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not any(self.path.glob('golden_*.npz')):
            raise DataError(f'{self.path}: no golden_*.npz here; give a golden folder, or the folder that holds them')

    def layout(self, name: str) -> dict[str, Any]:
        """``layout_<name>.json``."""
        file = self.path / f'layout_{name}.json'
        if not file.is_file():
            raise DataError(f'{file}: missing; the golden folder is incomplete')
        return json.loads(file.read_text())

    def state(self, name: str) -> dict[str, np.ndarray]:
        """Weights of ``layout_<name>.json``, filled."""
        return fill_state_dict(self.layout(name))

    def arrays(self, file: str) -> dict[str, np.ndarray]:
        """The arrays of one file; nothing in it can run code."""
        with np.load(self.path / file, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}


#: Yields (array name, our value, tolerance or None for the default) for one golden file.
Check = Callable[[GoldenFolder, dict[str, np.ndarray]], Iterator[tuple]]


def compare(file: str, name: str, ours: Any, reference: np.ndarray, tolerance: float | None) -> Row:
    """Compare one array; relative difference is to the largest magnitude of the reference, at least 1e-12."""
    ours = np.asarray(ours)
    tolerance = DEFAULT_TOLERANCE if tolerance is None else tolerance
    if reference.dtype.kind in 'US':
        same = ours.shape == reference.shape and bool((ours == reference).all())
        return Row(file, name, reference.shape, 0.0 if same else np.inf, 0.0 if same else np.inf, 0.0, same)
    if ours.shape != reference.shape:
        return Row(file, name, reference.shape, np.inf, np.inf, tolerance, False, f'our shape is {ours.shape}')
    ours, wanted = ours.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(wanted)
    if not np.array_equal(np.isfinite(ours), finite) or not np.array_equal(ours[~finite], wanted[~finite], True):
        return Row(file, name, reference.shape, np.inf, np.inf, tolerance, False, 'not finite')
    ours, wanted = ours[finite], wanted[finite]
    absolute = float(np.abs(ours - wanted).max()) if wanted.size else 0.0
    largest = float(np.abs(wanted).max()) if wanted.size else 0.0
    relative = absolute / max(largest, 1e-12)
    return Row(file, name, reference.shape, absolute, relative, tolerance, absolute <= tolerance * max(1.0, largest))


def check_folder(path: str | Path, method: str | None = None) -> Iterator[Row]:
    """Compare every array of a method's golden folder; an array that no check covers is a failed row.

    Args:
        path: folder with ``golden_*.npz`` and ``layout_*.json``.
        method: name of the method; by default that of the folder.
    """
    folder = GoldenFolder(path)
    method = method or folder.path.resolve().name
    checks: dict[str, Check] = {}
    if (Path(__file__).parent / f'{method}.py').is_file():
        checks = importlib.import_module(f'mmweather.apis.golden.{method}').CHECKS
    for file in sorted(p.name for p in folder.path.glob('golden_*.npz')):
        reference = folder.arrays(file)
        left = set(reference)
        if file in checks:
            for name, ours, tolerance in checks[file](folder, reference):
                left.discard(name)
                yield compare(file, name, ours, reference[name], tolerance)
        for name in sorted(left):
            yield Row(file, name, reference[name].shape, np.nan, np.nan, np.nan, False, 'not covered')
