"""TogetherNet's losses that mmdet does not have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmweather.registry import MODELS


@MODELS.register_module()
class FocalObjectnessLoss(nn.Module):
    """Focal loss on objectness for ``loss_obj`` of mmdet's ``YOLOXHead``; targets are 0 or 1.

    With p the probability, positives cost ``-alpha (1 - p)^gamma ln(p + eps)``, negatives
    ``-(1 - alpha) p^gamma ln(1 - p + eps)``.

    Args:
        alpha: weight of positives.
        gamma: how much easy places are held down.
        eps: added to the argument of the logarithm, as published.
        reduction: ``'sum'``, ``'mean'`` or ``'none'``.
        loss_weight: factor.
    """

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0, eps: float = 1e-5, reduction: str = 'sum',
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        if reduction not in ('sum', 'mean', 'none'):
            raise ValueError(f"reduction must be 'sum', 'mean' or 'none', got {reduction!r}")
        self.alpha = alpha
        self.gamma = gamma
        self.eps = eps
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Logits, targets and weights of one shape to a scalar, or to that shape with ``reduction='none'``."""
        exact = torch.promote_types(pred.dtype, torch.float32)
        probability, target = pred.to(exact).sigmoid(), target.to(exact)
        positive = -self.alpha * (1 - probability).pow(self.gamma) * (probability + self.eps).log()
        negative = -(1 - self.alpha) * probability.pow(self.gamma) * (1 - probability + self.eps).log()
        loss = self.loss_weight * (target * positive + (1 - target) * negative)
        loss = loss if weight is None else loss * weight
        return loss if self.reduction == 'none' else getattr(loss, self.reduction)()
