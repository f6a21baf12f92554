"""What inference needs to know about a network, declared once beside the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class InferenceContract:
    """The size and tiling contract of a network.

    Args:
        inputs: names of the images that the network takes, in order, e.g. ``('img', 'ir')``.
        multiple_of: height and width must be multiples of this; padding makes them so.
        minimum: least height and width after padding.
        tiling: ``'supported'`` (output depends on a neighbourhood), ``'approximate'`` (the network also uses
            statistics of the whole image, so tiles differ slightly from the whole) or ``'never'``.
        overlap: pixels by which tiles overlap unless the user says otherwise.
    """

    inputs: tuple[str, ...] = ('img', )
    multiple_of: int = 1
    minimum: int = 1
    tiling: Literal['supported', 'approximate', 'never'] = 'supported'
    overlap: int = 64
