"""Regular grids that networks leave in images."""

from __future__ import annotations

import cv2
import numpy as np


def grid_energy(grey: np.ndarray) -> float:
    """Energy of horizontal or vertical differences at periods 2 and 4 over that of the neighbouring periods.

    About 1 for photos; enlarging layers of networks and blocks of codecs raise it. The largest of the four ratios.

    Args:
        grey: (H, W) in [0, 255], at least 32 pixels a side.
    """
    grey = grey.astype(np.float64)
    highest = 0.0
    for axis in (0, 1):
        step = np.diff(grey, axis=axis)
        step -= cv2.blur(step, (9, 9))
        length = step.shape[axis] // 8 * 8
        spectrum = np.abs(np.fft.rfft(np.take(step, range(length), axis), axis=axis)).mean(1 - axis)
        for place in (length // 2, length // 4):
            near = np.concatenate((spectrum[max(place - 12, 1):place - 3], spectrum[place + 4:place + 13]))
            highest = max(highest, float(spectrum[place] / max(float(np.median(near)), 1e-9)))
    return highest
