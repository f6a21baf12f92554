"""Random states derived from numbers, so that a draw never depends on what was drawn before it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def derive_seed(*words: int) -> int:
    """A 64-bit seed that depends on every word and on their order.

    Neighbouring words give unrelated seeds (NumPy's ``SeedSequence`` mixes them), unlike ``seed + rank``.

    Args:
        words: integers >= 0, e.g. ``(seed, rank, iteration)``.
    """
    return int(np.random.SeedSequence([int(word) for word in words]).generate_state(1, np.uint64)[0])


def _seed_host(seed: int) -> None:
    random.seed(seed)
    np.random.seed([seed & 0xffffffff, seed >> 32])


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators, those of all GPUs included.

    Args:
        seed: 0 to 2**64 - 1.
    """
    _seed_host(seed)
    torch.manual_seed(seed)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, NumPy's and torch's CPU generators start from ``seed`` inside; outside they stay as they were.

    GPU generators are left alone: data are loaded on the CPU, often in a forked process that must not touch a GPU.
    """
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        _seed_host(seed)
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
