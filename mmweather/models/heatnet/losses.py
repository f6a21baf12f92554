"""HeatNet's losses: teacher certainty and weighted cross-entropy.

The critics' losses are in :mod:`mmweather.models.adaptation.adversarial`.
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


def segmentation_loss(logits: Tensor, label: Tensor, weight: Tensor | None = None,
                      ignore_index: int | None = None) -> Tensor:
    """Cross-entropy, mean over all pixels that are not ignored; each pixel times its weight (B, h, w) where given."""
    loss = F.cross_entropy(logits, label, reduction='none', ignore_index=-100 if ignore_index is None else ignore_index)
    if weight is not None:
        loss = loss * weight
    return loss.mean() if ignore_index is None else loss.sum() / (label != ignore_index).sum().clamp(min=1)


def uncertainty_target(logits: Tensor, label: Tensor) -> Tensor:
    """What a certainty head learns, (B, h, w): one minus the probability of the labelled class."""
    return 1 - logits.softmax(1).gather(1, label[:, None])[:, 0]


def uncertainty_loss(head: Tensor, target: Tensor, published: bool = False, mask: Tensor | None = None) -> Tensor:
    """Ten times the mean squared error of a certainty head.

    Args:
        head: (B, 1, h, w) in [0, 1].
        target: (B, h, w) of :func:`uncertainty_target`.
        published: compare every head with every target of the batch, as the published broadcast does.
        mask: (B, h, w), true where a pixel counts; all do by default.
    """
    if published:
        return 10 * (head - target).square().mean()
    error = (head - target[:, None]).square()
    return 10 * (error.mean() if mask is None else (error[:, 0] * mask).sum() / mask.sum().clamp(min=1))
