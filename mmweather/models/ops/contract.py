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
        tiling: ``'supported'`` (output depends on a neighbourhood), ``'shared'`` (the network also looks at the whole
            image, through :func:`~mmweather.models.ops.whole_image.whole_image`: tiles share what a first pass
            measured, so they fit together), ``'approximate'`` (it looks at the whole image or at more of it than
            tiles overlap, so tiles may differ visibly) or ``'never'``.
        overlap: pixels by which tiles overlap unless the user says otherwise.
        measured: with ``'shared'``, what the first pass sees: ``'sample'``, blocks of the image at full resolution, or
            ``'copy'``, the image reduced; the copy is measured for whole images too, so tiles change nothing.
        measured_side: maximum height and width of that.
    """

    inputs: tuple[str, ...] = ('img', )
    multiple_of: int = 1
    minimum: int = 1
    tiling: Literal['supported', 'shared', 'approximate', 'never'] = 'supported'
    overlap: int = 64
    measured: Literal['sample', 'copy'] = 'sample'
    measured_side: int = 384
