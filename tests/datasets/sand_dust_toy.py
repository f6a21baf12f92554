"""A tiny sand-dust set in the published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmweather.mini.sets.sand_dust import jet_depth
from mmweather.utils.images import write_image


def write_set(root: Path, clean: int = 3, dust: int = 5, test: int = 2, side: int = 48) -> Path:
    """Noise pictures; depth falls from the top row (far) to the bottom row (near)."""
    rng = np.random.default_rng(0)
    depth = np.repeat(np.linspace(1, 0, side)[:, None], side, axis=1)
    for index in range(clean):
        scene = rng.integers(0, 256, (side, side, 3), np.uint8)
        write_image(root / f'train/clean/{index:03d}.png', np.concatenate([scene, jet_depth(depth)], 1))
    for folder, count in (('train/dust', dust), ('test', test)):
        for index in range(count):
            size = (int(rng.integers(31, 60)), int(rng.integers(31, 60)), 3)
            write_image(root / folder / f'{index:03d}.jpg', rng.integers(0, 256, size, np.uint8))
    return root
