"""Weights and inputs of TogetherNet's golden vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from parity_compare import Arrays, GoldenFolder
from parity_fill import fill_input
from torch import Tensor

from mmweather.apis.adapters import from_official

NETWORK = 'togethernet/togethernet_s_nc5'


def input_of(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(fill_input(f'togethernet/{name}', shape))


def published_state(folder: GoldenFolder, stem: str = 'togethernet_s_nc5') -> Arrays:
    """Filled weights with the README's gain of 1.5 on everything of two or more dimensions."""
    return {key: value * np.float32(1.5) if value.ndim > 1 else value for key, value in folder.state(stem).items()}


def whole_network(folder: GoldenFolder, **options: Any) -> Any:
    """The detector with filled weights, in evaluation mode."""
    return from_official(NETWORK, published_state(folder), **options).eval()
