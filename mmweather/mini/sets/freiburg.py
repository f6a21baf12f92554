"""Drawn streets in the layout of Freiburg Thermal: aligned RGB and 16-bit thermal, by day and night, labels by day."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ...utils.arrays import to_uint8
from ...utils.atomic import write_bytes
from ...utils.images import encode_image
from ..scene import LABELS, draw_scene

LABEL_IDS = {'road': 0, 'sidewalk': 1, 'building': 2, 'curb': 3, 'pole': 5, 'vegetation': 6, 'terrain': 7, 'sky': 8,
             'person': 9, 'car': 10}
"""Freiburg Thermal's id of each of the scene's labels; nothing drawn is a fence, a bicycle or background."""
_FIRST_SECOND = {'train': 1570000000, 'test': 1580000000}
_COUNTS = (21000.0, 25800.0)
"""Counts of the coldest and the warmest surface; the range that HeatNet looks at is narrower."""
_NIGHT_COLDER = 300.0
_UNSEEN = 0.015
"""Share of the width, at each side, that the warped thermal image does not cover; its count is 0 there."""

Job = tuple[str, str, str, int, tuple[int, int], int]


def frame(seed: int, split: str, index: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """One frame; even ones are day, odd ones night.

    Args:
        seed: of the whole set.
        split: ``'train'`` or ``'test'``.
        index: of the frame in the split.
        size: height and width.

    Returns:
        ``rgb`` uint8 (H, W, 3), ``thermal`` uint16 (H, W) counts, ``label`` uint8 (H, W) in Freiburg Thermal's ids.
    """
    night = bool(index % 2)
    rng = np.random.default_rng([seed, *f'freiburg-thermal {split} {index}'.encode()])
    scene = draw_scene(*size, rng, night=night)
    counts = _COUNTS[0] + scene.thermal * (_COUNTS[1] - _COUNTS[0]) - _NIGHT_COLDER * night
    margin = max(1, round(_UNSEEN * size[1]))
    counts[:, :margin] = counts[:, -margin:] = 0
    ids = np.array([LABEL_IDS[name] for name in LABELS], np.uint8)
    return {'rgb': to_uint8(scene.visible),
            'thermal': np.round(counts).astype(np.uint16), 'label': ids[scene.labels]}


def _png16(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format='PNG')
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def write_frame(job: Job) -> None:
    """Write the files of one frame, unless they are all there."""
    root, split, stamp, index, size, seed = job
    domain = 'night' if index % 2 else 'day'
    if split == 'train':
        drive = Path(root, 'train', f'seq_00_{domain}', '00')
        paths = {'rgb': drive / 'fl_rgb' / f'fl_rgb_{stamp}.png',
                 'thermal': drive / 'fl_ir_aligned' / f'fl_ir_aligned_{stamp}.png'}
        if domain == 'day':
            paths['label'] = drive / 'fl_rgb_labels' / f'fl_rgb_labels_{stamp}.png'
    else:
        part = Path(root, 'test', domain)
        paths = {'rgb': part / 'ImagesRGB' / f'{stamp}_rgb.png', 'thermal': part / 'ImagesIR' / f'{stamp}_ir.png',
                 'label': part / 'SegmentationClass' / f'{stamp}.npy'}
    if all(path.exists() for path in paths.values()):
        return  # each file is whole or absent, so an interrupted run goes on here
    cv2.setNumThreads(1)
    arrays = frame(seed, split, index, size)
    for name, path in paths.items():
        array = arrays[name]
        write_bytes(path, _npy(array) if path.suffix == '.npy' else
                    _png16(array) if array.dtype == np.uint16 else encode_image(array))


def list_frames(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    """The jobs of the set; a split of n pictures has n frames, by day and by night in turn, at least one of each."""
    return [(str(root / 'freiburg_thermal'), split, f'{_FIRST_SECOND[split] + 10 * index}_{1000 * index + 7}', index,
             size, seed) for split, count in counts.items() for index in range(max(count, 2))]
