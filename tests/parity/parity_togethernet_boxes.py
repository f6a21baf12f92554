"""TogetherNet's decoding and detections in the published layout.

The detector gets the same boxes, scores and labels from ``predict_by_feat`` of mmdet's ``YOLOXHead``, which a test in
``test_parity_togethernet.py`` compares with these functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

STRIDES = (8, 16, 32)


def decode(maps: Sequence[Tensor], strides: Sequence[int] = STRIDES) -> Tensor:
    """Boxes and probabilities of every place.

    Args:
        maps: raw maps (B, 5 + classes, H / s, W / s), finest first; not changed.
        strides: s of each map.

    Returns:
        (B, N, 5 + classes), places row by row, finest map first: cx, cy, w, h divided by the width and height of the
        input, probability of an object, probabilities of the classes.
    """
    places = []
    for x, stride in zip(maps, strides, strict=True):
        height, width = x.shape[-2:]
        rows, columns = (torch.arange(n, device=x.device, dtype=x.dtype) for n in (height, width))
        grid = torch.stack((columns.expand(height, width), rows[:, None].expand(height, width)), -1).view(-1, 2)
        size = x.new_tensor((width * stride, height * stride))
        raw = x.flatten(2).transpose(1, 2)
        centre = (raw[..., :2] + grid) * stride / size
        extent = raw[..., 2:4].exp() * stride / size
        places.append(torch.cat((centre, extent, raw[..., 4:].sigmoid()), -1))
    return torch.cat(places, 1)


def undo_letterbox(boxes: np.ndarray, input_size: tuple[int, int], image_size: tuple[int, int],
                   letterbox: bool = True) -> np.ndarray:
    """From the network's input back to the image, as published.

    The enlarged image is taken to be ``round(size * scale)`` large and centred exactly, while the published letterbox
    truncates both, so boxes may lie half a pixel off.

    Args:
        boxes: (N, 4), cx, cy, w, h divided by the width and height of the input.
        input_size: height and width of the input.
        image_size: height and width of the image.
        letterbox: False where the image was stretched to the input.

    Returns:
        (N, 4), y1, x1, y2, x2 in pixels of the image, not clipped.
    """
    inside, image = np.array(input_size, float), np.array(image_size, float)
    centre, extent = boxes[:, 1::-1], boxes[:, 3:1:-1]
    if letterbox:
        content = np.round(image * (inside / image).min())
        centre = (centre - (inside - content) / 2 / inside) * (inside / content)
        extent = extent * (inside / content)
    return np.concatenate(((centre - extent / 2) * image, (centre + extent / 2) * image), 1)


def detections(decoded: Tensor, score_thr: float, iou_thr: float, input_size: tuple[int, int],
               image_size: tuple[int, int], letterbox: bool = True) -> np.ndarray:
    """Detections of one image: threshold, then suppression within each class.

    Args:
        decoded: (N, 5 + classes), one image of :func:`decode`.
        score_thr: least object probability times class probability.
        iou_thr: boxes that overlap a better one of their class by more are dropped.
        input_size: height and width of the input.
        image_size: height and width of the image.
        letterbox: see :func:`undo_letterbox`.

    Returns:
        (K, 7), best first: y1, x1, y2, x2 in pixels of the image, object probability, class probability, class.
    """
    from torchvision.ops import batched_nms, box_convert
    confidence, label = decoded[:, 5:].max(1)
    score = decoded[:, 4] * confidence
    kept = (score >= score_thr).nonzero().squeeze(1)
    corners = box_convert(decoded[kept, :4], 'cxcywh', 'xyxy')
    kept = kept[batched_nms(corners, score[kept], label[kept], iou_thr)]
    boxes = undo_letterbox(decoded[kept, :4].cpu().numpy(), input_size, image_size, letterbox)
    rest = torch.stack((decoded[kept, 4], confidence[kept], label[kept].to(decoded.dtype)), 1)
    return np.concatenate((boxes, rest.cpu().numpy()), 1)
