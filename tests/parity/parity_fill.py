"""Weights and inputs of golden vectors, derived from their names.

The rule is the golden folder's own (its README and ``fill.py``): a frozen NumPy stream seeded with the CRC-32
of the name. It is written out here because nothing is executed from a data folder.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np


def _stream(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)


def fill_array(key: str, shape: Sequence[int]) -> np.ndarray:
    """Values of the parameter or buffer published as ``key``: float32, or int64 for batch counters."""
    shape = tuple(shape)
    noise = _stream(key).standard_normal(int(np.prod(shape)) if shape else 1).reshape(shape)
    leaf = key.rpartition('.')[2]
    if leaf == 'num_batches_tracked':
        return np.asarray(1, np.int64)
    fan_in = int(np.prod(shape[1:])) if len(shape) >= 2 else 0
    if leaf == 'running_var':
        value = 1 + 0.1 * np.abs(noise)
    elif leaf == 'running_mean' or leaf.endswith('bias'):
        value = 0.1 * noise
    elif fan_in > 1:
        value = noise / np.sqrt(fan_in)
    else:
        value = 1 + 0.1 * noise
    return value.astype(np.float32)


def fill_state_dict(layout: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """A whole state dict of ``{key: shape}``."""
    return {key: fill_array(key, shape) for key, shape in layout.items()}


def fill_input(name: str, shape: Sequence[int]) -> np.ndarray:
    """An input in [0, 1), float32."""
    return _stream(name).random_sample(tuple(shape)).astype(np.float32)
