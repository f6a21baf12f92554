"""Thermal counts of any camera on the scale of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ConfigError, DataError
from ...utils.thermal import depth_of

Range = tuple[float, float]
_INSIDE = 0.1
"""Counts fit a model as they are where at least this share lies in its range."""


def checked_range(given: Any) -> Range | None:
    """Return a range as two numbers, or None.

    Raises:
        ConfigError: it is not two finite numbers in order.
    """
    if given is None:
        return None
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        raise ConfigError(f'thermal_range={given!r:.60}: give two numbers, the coldest and the hottest count') from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f'thermal_range: {low:g} to {high:g} does not rise; give the coldest count, then the hottest')
    return low, high


class ThermalScale:
    """Brings thermal pictures to the counts that a model was trained on.

    A range that the user gives is stretched to the model's. Without one, 8 bits where the model wants more are taken as
    0 to 255; counts that lie outside the model's range are stretched picture by picture, from their 1st to their 99th
    percentile; others stay as they are.

    Args:
        wanted: counts that the model tells apart; None takes all.
        depth: bits a value of the thermal pictures that the model was trained on; None is any.
        relative: the model takes each picture relative to its own mean, so only the user's range clips.
    """

    def __init__(self, wanted: Sequence[float] | None, depth: int | None, relative: bool = False) -> None:
        self.wanted = None if wanted is None or relative else (float(wanted[0]), float(wanted[1]))
        self.depth, self.relative = depth, relative

    def __call__(self, counts: np.ndarray, given: Range | None = None) -> tuple[np.ndarray, str]:
        """Scale a picture.

        Args:
            counts: (H, W), of the type in the file.
            given: coldest and hottest count, from the user.

        Returns:
            Counts of the model, float32 (H, W), and one line: what was found, and how it was taken.

        Raises:
            DataError: all counts are one, outside the model's range.
        """
        depth, values = depth_of(counts), counts.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        found = f'thermal: {depth} bits, {low:g} to {high:g} in the first picture'
        if self.relative or self.wanted is None:
            if given is not None:
                return values.clip(*given), f'{found}; clipped to {given[0]:g} to {given[1]:g}'
            how = 'the model takes each picture relative to its own mean' if self.relative else 'taken as it is'
            return values, f'{found}; {how}'
        model = f"the model's {self.wanted[0]:g} to {self.wanted[1]:g}"
        if given is not None:
            return self._stretched(values, given), f'{found}; {given[0]:g} to {given[1]:g} becomes {model}'
        if depth == 8 and self.depth != 8 and self.wanted[1] > 255:
            return self._stretched(values, (0, 255)), f'{found}; 0 to 255 becomes {model}'
        inside = float(((values >= self.wanted[0]) & (values <= self.wanted[1])).mean())
        if inside >= _INSIDE:
            return values, f'{found}; taken as they are, {inside:.0%} lie in {model}'
        first, last = (float(value) for value in np.percentile(values, (1, 99)))
        if first >= last:
            raise DataError(f'the thermal picture holds counts of {low:g} to {high:g}, and {model} are wanted; give '
                            'one whose counts vary, or the range of the camera (--thermal-range LOW HIGH)')
        return self._stretched(values, (first, last)), (
            f'{found} do not fit {model}; each picture is stretched from its 1st to its 99th percentile')

    def _stretched(self, values: np.ndarray, given: Range) -> np.ndarray:
        low, high = self.wanted or given
        part = ((values - given[0]) / (given[1] - given[0])).clip(0, 1)
        return (low + part * (high - low)).astype(np.float32)
