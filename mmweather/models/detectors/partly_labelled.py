"""A YOLOX head for data sets that do not label all of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import YOLOXHead
from torch import Tensor, nn

from mmweather.registry import MODELS


class _Weighted(nn.Module):
    """An objectness loss whose negatives count by a weight."""

    def __init__(self, loss: nn.Module, weight: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.weight = weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N, 1) logits and targets to a scalar."""
        return self.loss(pred, target, weight=torch.where(target > 0, torch.ones_like(self.weight), self.weight))


@MODELS.register_module()
class PartlyLabelledYOLOXHead(YOLOXHead):
    """mmdet's YOLOXHead that learns nothing wrong from images some of whose classes are not labelled.

    Where a class has no boxes although its objects are in the image, "no box" does not mean "no object".  With
    ``unlabelled_labels`` in the meta information of an image (``mmweather.PartlyLabelledCoco``), a place without a box
    counts as background by the probability that what the head sees there is a labelled class: its objectness loss is
    multiplied by one minus the greatest probability of the unlabelled classes, and by zero where no class is labelled.
    Boxes train as always.

    Args:
        *args: those of mmdet's ``YOLOXHead``; ``loss_obj`` takes ``weight``, as mmdet's losses and
            ``mmweather.FocalObjectnessLoss`` do.
        **kwargs: likewise.
    """

    def loss_by_feat(self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor], objectnesses: Sequence[Tensor],
                     batch_gt_instances: Sequence[Any], batch_img_metas: Sequence[dict],
                     batch_gt_instances_ignore: Sequence[Any] | None = None) -> dict[str, Tensor]:
        """Losses as mmdet's, see the class."""
        arguments = (cls_scores, bbox_preds, objectnesses, batch_gt_instances, batch_img_metas,
                     batch_gt_instances_ignore)
        hidden = [tuple(meta.get('unlabelled_labels') or ()) for meta in batch_img_metas]
        if not any(hidden):
            return super().loss_by_feat(*arguments)
        plain: nn.Module = self._modules['loss_obj']
        self.loss_obj = _Weighted(plain, self._weights(cls_scores, hidden))
        try:
            return super().loss_by_feat(*arguments)
        finally:
            self.loss_obj = plain

    @torch.no_grad()
    def _weights(self, cls_scores: Sequence[Tensor], hidden: Sequence[tuple[int, ...]]) -> Tensor:
        """(B * places, 1), in the order in which mmdet flattens the maps."""
        scores = torch.cat([level.flatten(2) for level in cls_scores], 2).sigmoid().float()  # image, class, place
        rows = []
        for image, labels in zip(scores, hidden, strict=True):
            if len(labels) == self.num_classes:
                rows.append(torch.zeros_like(image[0]))
            else:
                rows.append(1 - image[list(labels)].amax(0) if labels else torch.ones_like(image[0]))
        return torch.stack(rows).view(-1, 1)
