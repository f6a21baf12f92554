"""Teaching a detector in fog what it sees in the same picture without fog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Maps = Sequence[Sequence[Tensor]]
"""Raw maps of a YOLOX head: classes, boxes and objectness, a list over the levels each, finest first."""


def _flat(maps: Maps) -> list[Tensor]:
    """Class logits (B, N, C), boxes (B, N, 4) and objectness logits (B, N, 1), float32, levels one after another."""
    return [torch.cat([level.float().flatten(2) for level in kind], 2).transpose(1, 2) for kind in maps]


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    """IoU (...) of boxes (..., 4) given as offsets of the centre and logarithms of the sides, in strides."""
    sides = [box[..., 2:].clamp(max=8).exp() for box in (one, other)]
    low = torch.maximum(one[..., :2] - sides[0] / 2, other[..., :2] - sides[1] / 2)
    high = torch.minimum(one[..., :2] + sides[0] / 2, other[..., :2] + sides[1] / 2)
    common = (high - low).clamp(min=0).prod(-1)
    return common / (sides[0].prod(-1) + sides[1].prod(-1) - common + 1e-6)


@torch.no_grad()
def teach(network: Callable[[Tensor], Maps], images: Tensor, flip: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """What a teacher sees at every place of clear images.

    Args:
        network: images (B, 3, H, W) to raw maps.
        images: clear images.
        flip: average the probabilities with those of the mirrored images.

    Returns:
        Probabilities of the classes (B, N, C), raw boxes (B, N, 4) and probability of an object (B, N, 1).
    """
    maps = network(images)
    classes, boxes, objects = _flat(maps)
    classes, objects = classes.sigmoid(), objects.sigmoid()
    if flip:
        mirrored = [[level.flip(3) for level in kind] for kind in network(images.flip(3))]
        other, _, found = _flat(mirrored)
        classes, objects = (classes + other.sigmoid()) / 2, (objects + found.sigmoid()) / 2
    return classes, boxes, objects


def distillation_losses(maps: Maps, lesson: tuple[Tensor, Tensor, Tensor]) -> dict[str, Any]:
    """How far a student's maps of foggy images are from a teacher's of the clear ones.

    Objectness: cross entropy at all places, weighted by how far the student is off, so that the many easy places do
    not count.  Classes: cross entropy, weighted by the teacher's objectness.  Boxes: 1 - IoU squared, weighted by the
    teacher's score.  All are divided by the sum of the scores, but at least by one for each image.

    Args:
        maps: the student's raw maps.
        lesson: see :func:`teach`.

    Returns:
        ``loss_distil_cls``, ``loss_distil_bbox`` and ``loss_distil_obj``.
    """
    (classes, boxes, objects), (true_classes, true_boxes, true_objects) = _flat(maps), lesson
    scores = true_objects * true_classes.amax(-1, keepdim=True)
    count = scores.sum().clamp(min=len(boxes))
    entropy = F.binary_cross_entropy_with_logits
    off = (objects.detach().sigmoid() - true_objects).abs()
    return dict(
        loss_distil_cls=(entropy(classes, true_classes, reduction='none') * true_objects).sum() / count,
        loss_distil_bbox=3 * ((1 - _overlap(boxes, true_boxes)**2).unsqueeze(-1) * scores).sum() / count,
        loss_distil_obj=1.5 * (entropy(objects, true_objects, reduction='none') * off).sum() / count)
