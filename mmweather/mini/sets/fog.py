"""The mini VOC-FOG: streets of the mini world by day, in fog by their true depth, with boxes of people and cars."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...datasets.tools.fog_set import FOGGY, is_written, write_pair
from ...utils.arrays import to_uint8
from ...utils.images import encode_image
from ...utils.voc import VOCObject, format_voc
from ...weather.fog import METRES_AIRLIGHT, METRES_BETA, Fog, add_fog
from ...weather.noise import picture_generator
from ..scene import BOX_CLASSES, draw_scene

_QUALITY = 92

Job = tuple[str, str, str, int, tuple[int, int], int]


def foggy_street(seed: int, split: str, index: int,
                 size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, list[VOCObject]]:
    """One pair of the mini VOC-FOG.

    Args:
        seed: of the whole set.
        split: ``'train'`` or ``'test'``.
        index: of the picture in the split.
        size: height and width, varied by a few per cent.

    Returns:
        Clean and foggy, uint8 (H, W, 3) RGB, and the boxes.
    """
    rng = picture_generator(seed, 'voc-fog', split, index)
    height, width = (int(side * rng.uniform(0.94, 1.06)) for side in size)
    scene = draw_scene(height, width, rng)
    foggy = add_fog(scene.visible, Fog.draw(rng, METRES_BETA, METRES_AIRLIGHT), scene.depth)
    boxes = [VOCObject(BOX_CLASSES[label], (x1, y1, x2, y2))
             for (x1, y1, x2, y2), label in zip(scene.boxes.tolist(), scene.box_labels, strict=True)]
    return to_uint8(scene.visible), foggy, boxes


def write_foggy_street(job: Job) -> None:
    """Write one pair with its boxes, where an earlier run has not."""
    root, split, name, index, size, seed = job
    if is_written(Path(root, split), FOGGY[split], name):
        return
    cv2.setNumThreads(1)
    clean, foggy, boxes = foggy_street(seed, split, index, size)
    write_pair(Path(root, split), FOGGY[split], name, encode_image(clean, '.jpg', _QUALITY),
               encode_image(foggy, '.jpg', _QUALITY), format_voc(name, clean.shape[:2], boxes))


def list_foggy_streets(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    """The pairs to write below ``root/voc_fog``."""
    return [(str(root / 'voc_fog'), split, f'{index:03d}.jpg', index, size, seed)
            for split, count in counts.items() for index in range(count)]
