"""State dicts of the (imagined) published code, which calls the strengths ``curve.alpha``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmweather.errors import CheckpointError
from mmweather.methods import Adapter

from .network import LightCurve


def to_ours(state: Mapping[str, Tensor], **options: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return our network, not loaded yet, and a published state dict under our names.

    Raises:
        CheckpointError: the state dict is of another network.
    """
    if 'curve.alpha' not in state:
        raise CheckpointError("the state dict has no key 'curve.alpha': not a LowLight checkpoint")
    return LightCurve(**options), {'strength': state['curve.alpha']}


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our state dict under the published names."""
    return {'curve.alpha': state['strength']}


NETWORKS = {'curve': Adapter(to_ours, to_published)}
