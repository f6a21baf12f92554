"""HeatNet's losses: teacher certainty and weighted cross-entropy.

The critics' losses are in :mod:`mmweather.models.common.adversarial`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def certainty(logits: Tensor, published: bool = False) -> Tensor:
    """A teacher's certainty, (B, h, w): the largest class probability.

    Args:
        logits: (B, C, h, w).
        published: apply softmax twice as the published code does, which keeps the result below e / (e + C - 1).
    """
    probability = logits.softmax(1)
    return (probability.softmax(1) if published else probability).amax(1)


def segmentation_loss(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy, mean over all pixels; each pixel times its weight (B, h, w) where given."""
    loss = F.cross_entropy(logits, label, reduction='none')
    return (loss if weight is None else loss * weight).mean()


def uncertainty_target(logits: Tensor, label: Tensor) -> Tensor:
    """What a certainty head learns, (B, h, w): one minus the probability of the labelled class."""
    return 1 - logits.softmax(1).gather(1, label[:, None])[:, 0]


def uncertainty_loss(head: Tensor, target: Tensor, published: bool = False) -> Tensor:
    """Ten times the mean squared error of a certainty head.

    Args:
        head: (B, 1, h, w) in [0, 1].
        target: (B, h, w) of :func:`uncertainty_target`.
        published: compare every head with every target of the batch, as the published broadcast does.
    """
    return 10 * (head - (target if published else target[:, None])).square().mean()
