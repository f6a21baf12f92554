"""The terms of SSDIE-Net on dark channels: a classifier learns those of clean images, a restorer aims at them."""

from __future__ import annotations

from torch import Tensor

from mmweather.models.ops.dark_channel import block_dark_channel
from mmweather.models.semi_supervised.terms import AdversarialTerm, CriticObjective
from mmweather.registry import MODELS


@MODELS.register_module()
class DarkChannelTerm(AdversarialTerm):
    """How far a frozen classifier is from taking the dark channel of restored images for a clean image's.

    Args:
        network: name of the classifier among the restorer's networks; it maps (B, 1, H, W) to logits of "clean".
        block: side of the blocks of the dark channel.
        kwargs: ``weight``, ``begin`` and ``by_epoch``.
    """

    def __init__(self, network: str = 'dark', block: int = 16, **kwargs: float) -> None:
        super().__init__(network, **kwargs)
        self.block = block

    def look(self, img: Tensor) -> Tensor:
        """The block dark channel."""
        return block_dark_channel(img, self.block)


@MODELS.register_module()
class DarkChannelObjective(CriticObjective):
    """What the classifier of dark channels learns: clean images against real dusty ones.

    Args:
        clean: name of the clean images in the batch.
        other: name of the dusty ones.
        block: side of the blocks of the dark channel.
        kwargs: ``weight``, ``begin`` and ``by_epoch``.
    """

    def __init__(self, clean: str = 'gt', other: str = 'unlabelled', block: int = 16, **kwargs: float) -> None:
        super().__init__(clean, other, **kwargs)
        self.block = block

    def look(self, img: Tensor) -> Tensor:
        """The block dark channel."""
        return block_dark_channel(img, self.block)
