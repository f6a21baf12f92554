"""Blending overlapping windows of a raster while only their seams are kept."""

from __future__ import annotations

import numpy as np
from torch import Tensor

Grid = list[tuple[int, Tensor]]


class Axis:
    """The windows of one side, cut to it.

    Args:
        grid: start and blending weight of each window, see
            :func:`~mmweather.models.ops.tiling.blending_windows`.
        size: length of the side; windows may go beyond it by the padding.
    """

    def __init__(self, grid: Grid, size: int) -> None:
        self.size = size
        self.starts = [start for start, _ in grid]
        self.weights = [weight[:size - start].numpy().astype(np.float32) for start, weight in grid]
        self.ends = [start + len(weight) for start, weight in zip(self.starts, self.weights, strict=True)]

    def __len__(self) -> int:
        return len(self.starts)

    def final(self, index: int) -> int:
        """Up to where the sum is final once this window is added: where the next begins, or the end."""
        return self.starts[index + 1] if index + 1 < len(self) else self.size

    def seam(self) -> int:
        """The most pixels that a window shares with those after it."""
        return max(end - self.final(i) for i, end in enumerate(self.ends))


class Blender:
    """Adds weighted windows row by row and gives away the pixels that no later window touches.

    Kept are the parts of the sum that lie under later windows: the seam below the current row of windows, the one
    above it, and the one to the right of the last window. They are float32, so a run that continues from
    :meth:`state` gives what one without a break gives, bit for bit.

    Args:
        rows: windows of the height.
        columns: windows of the width.
        bands: of the result.
    """

    def __init__(self, rows: Axis, columns: Axis, bands: int) -> None:
        self.rows, self.columns, self.bands = rows, columns, bands
        self.index = 0
        self.above = self._seam_of(-1)
        self.below = self._seam_of(0)
        self.right = np.zeros((bands, 0, 0), np.float32)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def _seam_of(self, row: int) -> np.ndarray:
        height = self.rows.ends[row] - self.rows.final(row) if row >= 0 else 0
        return np.zeros((self.bands, height, self.columns.size), np.float32)

    def window(self, index: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of a window, all inside the raster."""
        i, j = divmod(index, len(self.columns))
        top, left = self.rows.starts[i], self.columns.starts[j]
        return top, left, self.rows.ends[i] - top, self.columns.ends[j] - left

    def add(self, result: np.ndarray) -> np.ndarray:
        """Add the next window.

        Args:
            result: (bands, height, width) of :meth:`window`, float32.

        Returns:
            The finished pixels, (bands, height', width'): those at the window's top left.
        """
        i, j = divmod(self.index, len(self.columns))
        top, left = self.rows.starts[i], self.columns.starts[j]
        block = result * (self.rows.weights[i][:, None] * self.columns.weights[j])
        if j:
            block[..., :self.right.shape[2]] += self.right
        take, keep = self.columns.final(j) - left, self.rows.final(i) - top
        self.right = block[..., take:].copy()
        block = block[..., :take]
        block[:, :self.above.shape[1]] += self.above[..., left:left + take]
        self.below[..., left:left + take] = block[:, keep:]
        self.index += 1
        if j + 1 == len(self.columns) and i + 1 < len(self.rows):
            self.above, self.below = self.below, self._seam_of(i + 1)
        return block[:, :keep]

    def state(self) -> dict[str, np.ndarray]:
        """What :meth:`restore` needs."""
        return {'index': np.array(self.index), 'above': self.above, 'below': self.below, 'right': self.right}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue after the last window that ``state`` holds."""
        self.index = int(state['index'])
        self.above, self.below, self.right = state['above'], state['below'], state['right']
