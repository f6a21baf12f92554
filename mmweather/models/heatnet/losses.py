"""HeatNet's losses: teacher certainty, weighted cross-entropy, critic and confusion terms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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


def _adversarial(score: Tensor, target: float, kind: str) -> Tensor:
    wanted = torch.full_like(score, target)
    return F.mse_loss(score, wanted) if kind == 'MSE' else F.binary_cross_entropy_with_logits(score, wanted)


def critic_loss(day: Sequence[Tensor], night: Sequence[Tensor], kind: str = 'MSE') -> Tensor:
    """What the critics minimise: day towards 1, night towards 0, summed over the critics.

    Args:
        day: each critic's raw scores by day.
        night: the same by night.
        kind: ``'MSE'`` or ``'BCE'`` (with logits).
    """
    return torch.stack([_adversarial(a, 1., kind) + _adversarial(b, 0., kind)
                        for a, b in zip(day, night, strict=True)]).sum()


def confusion_loss(day: Sequence[Tensor], night: Sequence[Tensor], kind: str = 'MSE', both_directions: bool = True,
                   certainty_map: Tensor | None = None) -> Tensor:
    """What the segmentor minimises against fixed critics, as published: the map scales the mean of each term.

    Args:
        day: each critic's raw scores by day.
        night: the same by night.
        kind: ``'MSE'`` or ``'BCE'``.
        both_directions: day towards 0 and night towards 1; otherwise both towards 1.
        certainty_map: (B, h, w) in [0, 1]; each term is scaled by the mean of 1 - certainty at the critic's size.
    """
    terms = []
    for a, b in zip(day, night, strict=True):
        term = _adversarial(a, 0. if both_directions else 1., kind) + _adversarial(b, 1., kind)
        if certainty_map is not None:
            term = term * F.interpolate((1 - certainty_map)[:, None], a.shape[2:], mode='bilinear').mean()
        terms.append(term)
    return torch.stack(terms).sum()


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
