"""What domain critics minimise, and what the network that wants to confuse them minimises."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmweather.errors import ConfigError

KINDS = ('MSE', 'BCE')


def _adversarial(score: Tensor, target: float, kind: str, weight: Tensor | None = None) -> Tensor:
    if kind not in KINDS:
        raise ConfigError(f"the adversarial loss must be 'MSE' or 'BCE', got {kind!r}")
    # float32 also under mixed precision: squares of raw scores overflow float16.
    score = score.float()
    wanted = torch.full_like(score, target)
    reduction = 'mean' if weight is None else 'none'
    loss = (F.mse_loss(score, wanted, reduction=reduction) if kind == 'MSE' else
            F.binary_cross_entropy_with_logits(score, wanted, reduction=reduction))
    return loss if weight is None else (loss * weight).mean()


def critic_loss(first: Sequence[Tensor], second: Sequence[Tensor], kind: str = 'MSE') -> Tensor:
    """What the critics minimise: the first domain towards 1, the second towards 0, summed over the critics.

    Args:
        first: each critic's raw scores in the first domain (day).
        second: the same in the second (night).
        kind: ``'MSE'`` or ``'BCE'`` (with logits).
    """
    return torch.stack([_adversarial(a, 1., kind) + _adversarial(b, 0., kind)
                        for a, b in zip(first, second, strict=True)]).sum()


def _resized(uncertainty: Tensor, score: Tensor) -> Tensor:
    """The map (B, h, w) at the size of a score map (B, 1, ...), or its mean for scores (B, 1) of whole images."""
    if score.ndim == 2:
        return uncertainty.mean((1, 2))[:, None]
    return F.interpolate(uncertainty[:, None].float(), score.shape[2:], mode='bilinear')


def confusion_loss(first: Sequence[Tensor], second: Sequence[Tensor], kind: str = 'MSE', both_directions: bool = True,
                   certainty_map: Tensor | None = None, weights: Sequence[float] | None = None,
                   published: bool = False) -> Tensor:
    """What the network minimises against fixed critics.

    Args:
        first: each critic's raw scores in the first domain (day).
        second: the same in the second (night).
        kind: ``'MSE'`` or ``'BCE'``.
        both_directions: first towards 0 and second towards 1; otherwise both towards 1.
        certainty_map: (B, h, w) in [0, 1], of the second domain; each pixel's error there counts 1 - certainty.
        weights: of the critics; ones by default.
        published: as HeatNet's code: both domains' terms are scaled by the mean of 1 - certainty.
    """
    terms = []
    for a, b in zip(first, second, strict=True):
        first_target = 0. if both_directions else 1.
        if certainty_map is None:
            terms.append(_adversarial(a, first_target, kind) + _adversarial(b, 1., kind))
        elif published:
            scale = _resized(1 - certainty_map, a).mean()
            terms.append((_adversarial(a, first_target, kind) + _adversarial(b, 1., kind)) * scale)
        else:
            terms.append(_adversarial(a, first_target, kind)
                         + _adversarial(b, 1., kind, _resized(1 - certainty_map, b)))
    total = torch.stack(terms)
    return (total if weights is None else total * total.new_tensor(tuple(weights))).sum()
