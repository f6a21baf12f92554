"""What a network measures on a whole image, kept so that every tile of the image uses the same.

A layer that looks at all positions (a gate from the mean, attention between channels, keys and values to attend to)
computes that through :func:`whole_image`, which outside of the contexts below only calls the function.
:func:`~mmweather.models.common.tiling.run_tiled` runs the network once on a small stand-in for the image inside
:func:`recording`, then each tile inside :func:`replaying`, where the layer gets what was recorded. So the output
depends on a neighbourhood only, and tiles fit.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .contract import InferenceContract
from .padding import pad_to_multiple

#: Largest side of the blocks of :func:`patchwork`.
BLOCK = 64


class Recorded:
    """What the layers of a network measured in one pass, in the order in which each asked."""

    def __init__(self) -> None:
        self.values: dict[tuple[int, int], Any] = {}
        self.calls: dict[int, int] = {}
        self.replay = False

    def key(self, layer: nn.Module) -> tuple[int, int]:
        """The next call of ``layer`` in this pass."""
        count = self.calls.get(id(layer), 0)
        self.calls[id(layer)] = count + 1
        return id(layer), count


# Not an attribute of the network: two threads may run the same one on different images.
_ACTIVE: contextvars.ContextVar[Recorded | None] = contextvars.ContextVar('whole_image', default=None)


def whole_image(layer: nn.Module, compute: Callable[[], Any]) -> Any:
    """What ``compute`` returns, or what was recorded for ``layer``.

    Args:
        layer: the layer that asks.
        compute: measures the input at hand and returns tensors, the batch first.

    Returns:
        The value of ``compute``, of this input or of the whole image.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return compute()
    active = _ACTIVE.get()
    if active is None:
        return compute()
    key = active.key(layer)
    if not active.replay:
        active.values[key] = compute()
    return active.values[key]


@contextlib.contextmanager
def _active(recorded: Recorded, replay: bool) -> Iterator[None]:
    recorded.calls.clear()
    recorded.replay = replay
    token = _ACTIVE.set(recorded)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def recording(recorded: Recorded) -> contextlib.AbstractContextManager[None]:
    """Inside, for one pass of the network, layers add what they measure to ``recorded``."""
    return _active(recorded, False)


def replaying(recorded: Recorded) -> contextlib.AbstractContextManager[None]:
    """Inside, for one pass of the network, layers get what was recorded."""
    return _active(recorded, True)


@contextlib.contextmanager
def pooling_shared(network: Any) -> Iterator[None]:
    """Inside, pooling to one pixel (``nn.AdaptiveAvgPool2d(1)``) asks :func:`whole_image`.

    So the gates of networks of other toolboxes, such as mmagic's NAFNet, are shared as well.
    """
    handles = [layer.register_forward_hook(lambda layer, _, output: whole_image(layer, lambda: output))
               for layer in global_pools(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def global_pools(network: Any) -> list[nn.Module]:
    """The layers of a network, or of the module whose method it is, that average a whole map to one pixel."""
    network = getattr(network, '__self__', network)
    if not isinstance(network, nn.Module):
        return []
    return [layer for layer in network.modules()
            if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1))]


def stand_in(image: Tensor, contract: InferenceContract) -> Tensor:
    """A small image with the statistics of a large one.

    Args:
        image: (B, C, H, W).
        contract: ``measured`` says how: ``'copy'`` is the image reduced to ``measured_side``, ``'sample'`` blocks of it
            at full resolution, spread evenly, up to ``measured_side`` a side.

    Returns:
        (B, C, h, w), padded to the contract; of a small image all of it.
    """
    height, width = image.shape[-2:]
    side = contract.measured_side
    if contract.measured == 'sample':
        small = patchwork(image, side, contract.multiple_of)
    else:
        factor = min(1.0, side / max(height, width))
        size = max(1, round(height * factor)), max(1, round(width * factor))
        small = image if factor == 1 else F.interpolate(image, size, mode='bilinear', antialias=True)
    return pad_to_multiple(small, contract.multiple_of, contract.minimum)


def patchwork(image: Tensor, side: int, multiple_of: int = 1) -> Tensor:
    """Blocks of at most :data:`BLOCK` pixels a side that are spread evenly over an image, put together.

    Args:
        image: (B, C, H, W).
        side: maximum height and width of the result.
        multiple_of: blocks begin at multiples of this.

    Returns:
        (B, C, h, w); an axis that is no longer than ``side`` is kept whole.
    """
    for axis in (-2, -1):
        length = image.shape[axis]
        if length <= side:
            continue
        block = min(-(-min(BLOCK, side // 4) // multiple_of) * multiple_of, side)
        count = max(side // block, 1)
        last = (length - block) // multiple_of
        starts = [round(last * i / max(count - 1, 1)) * multiple_of for i in range(count)]
        index = torch.cat([torch.arange(start, start + block) for start in starts])
        image = image.index_select(axis, index.to(image.device))
    return image
