"""Boxes and masks on pictures.

OpenCV draws them: a matplotlib canvas, as the toolboxes' visualizers use, takes seconds for a large picture.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

Colour = tuple[int, ...]
OPACITY = 0.5


def palette_of(given: Any, count: int) -> list[Colour]:
    """``count`` RGB colours: those given, and well separated hues for classes without one."""
    known = [] if given is None or isinstance(given, str) else [tuple(map(int, colour)) for colour in given]
    # Steps of the golden ratio keep the hues of any number of neighbours apart.
    hues = [colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.75, 1 - 0.3 * (i // 8 % 2)) for i in range(len(known), count)]
    return [*known[:count], *(tuple(round(255 * value) for value in hue) for hue in hues)]


def draw_labels(image: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]],
                opacity: float = OPACITY) -> np.ndarray:
    """Classes in colour over a picture.

    Args:
        image: uint8 (H, W, 3) RGB.
        labels: classes, (H, W); numbers without a colour (255: no class) are left as they are.
        palette: RGB of each class.
        opacity: share of the colour.
    """
    if not palette:
        return image.copy()
    known = labels < len(palette)
    colours = np.asarray(palette, np.uint8)[np.where(known, labels, 0)]
    mixed = cv2.addWeighted(image, 1 - opacity, colours, opacity, 0)
    return np.where(known[..., None], mixed, image)


def draw_legend(classes: Sequence[str], palette: Sequence[Colour], height: int = 24) -> np.ndarray:
    """Return a picture with colour, number and name of each class, uint8 (rows, width, 3) RGB."""
    texts = [f'{number}  {name}' for number, name in enumerate(classes)]
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, height / 48
    width = max(cv2.getTextSize(text, font, scale, 1)[0][0] for text in texts)
    canvas = np.full((height * len(texts), 2 * height + width + 12, 3), 255, np.uint8)
    for number, text in enumerate(texts):
        top = number * height
        canvas[top + 2:top + height - 2, 4:2 * height - 4] = palette[number]
        cv2.putText(canvas, text, (2 * height + 4, top + round(0.7 * height)), font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def draw_boxes(image: np.ndarray, detections: Sequence[dict[str, Any]], palette: Sequence[Colour],
               masks: np.ndarray | None = None) -> np.ndarray:
    """Boxes with names and scores over a picture.

    Args:
        image: uint8 (H, W, 3) RGB.
        detections: see :class:`~mmweather.apis.inference.report.Outcome`.
        palette: RGB of each class.
        masks: bool (N, H, W) of the detections, or None.
    """
    canvas = np.ascontiguousarray(image).copy()
    height, width = canvas.shape[:2]
    thickness = max(1, round(min(height, width) / 300))
    scale = max(0.35, min(height, width) / 1000)
    for index, found in enumerate(detections):
        if masks is not None:
            inside = masks[index].astype(bool)
            colour = np.asarray(palette[found['label']], np.float32)
            canvas[inside] = ((1 - OPACITY) * canvas[inside] + OPACITY * colour).astype(np.uint8)
    for found in reversed(detections):  # the best one last, on top
        colour = palette[found['label']]
        left, top, right, bottom = (int(round(np.clip(value, -1e4, 1e5))) for value in found['box'])
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, thickness)
        text = f"{found['name']} {found['score']:.2f}"
        (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        # Above the box where there is room, else inside it.
        base = top - below if top - high - 2 * below >= 0 else top + high + below
        left = max(0, min(left, width - wide))
        cv2.rectangle(canvas, (left, base - high - below), (left + wide, base + below), colour, cv2.FILLED)
        dark = sum(weight * value for weight, value in zip((0.299, 0.587, 0.114), colour, strict=True)) < 128
        cv2.putText(canvas, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, ) * 3 if dark else (0, ) * 3,
                    thickness, cv2.LINE_AA)
    return canvas
