"""The mini world in sand and dust, in the published layout of SSDIE-Net's data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ...utils.arrays import to_uint8
from ...utils.atomic import write_bytes
from ...utils.images import encode_image
from ...weather.dust import DustAir, add_dust
from ...weather.noise import fractal
from ..scene import draw_scene

SIDE = 256
"""Side of the clean images, as published."""
_FAR = 120.0
"""Metres that count as far; the sky lies behind."""
_DUST_SCALE = 1.6
"""Depth of what is far in the "real" photos, which are thicker than the simulated pairs and uneven."""

Job = tuple[str, str, int, tuple[int, int], int]


def _generator(seed: int, *place: object) -> np.random.Generator:
    return np.random.default_rng([seed, *' '.join(map(str, place)).encode()])


def relative_depth(metres: np.ndarray) -> np.ndarray:
    """Metres to [0, 1] on a logarithmic scale, 1 at 120 metres and behind."""
    return np.log1p(np.minimum(metres, _FAR)) / np.log1p(_FAR)


def jet_depth(depth: np.ndarray) -> np.ndarray:
    """Depth in [0, 1] as a picture in the jet palette, uint8 (H, W, 3) RGB; near is red."""
    near = to_uint8(1 - depth)
    return cv2.applyColorMap(near, cv2.COLORMAP_JET)[..., ::-1]


def clean_pair(seed: int, index: int) -> np.ndarray:
    """A clean street and its depth side by side, uint8 (256, 512, 3) RGB."""
    rng = _generator(seed, 'sand-dust', 'clean', index)
    scene = draw_scene(SIDE, SIDE, rng)
    clean = to_uint8(scene.visible)
    return np.concatenate([clean, jet_depth(relative_depth(scene.depth))], axis=1)


def dusty_photo(seed: int, split: str, index: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """A street in a dust storm: thicker than the simulated pairs, uneven, with grain and a soft picture.

    Args:
        seed: of the whole set.
        split: ``'train'`` or ``'test'``.
        index: of the photo in the split.
        size: about which height and width vary.

    Returns:
        uint8 (H, W, 3) RGB: ``dust`` and ``reference``, the street without dust.
    """
    rng = _generator(seed, 'sand-dust', 'dust', split, index)
    height, width = (int(side * rng.uniform(0.8, 1.25)) for side in size)
    scene = draw_scene(height, width, rng)
    clouds = cv2.resize(fractal((128, 128), rng, 1.6).astype(np.float32), (width, height),
                        interpolation=cv2.INTER_CUBIC)
    red = rng.uniform(0.72, 0.92)
    air = DustAir(rng.uniform(0.7, 1.3), (red, red * rng.uniform(0.6, 0.82), red * rng.uniform(0.25, 0.6)))
    depth = relative_depth(scene.depth) * _DUST_SCALE * np.clip(1 + 0.15 * clouds, 0.4, 1.8)
    dusty = add_dust(np.clip(scene.visible, 0, 1), depth, air, nearest=rng.uniform(0.1, 0.4)).astype(np.float32)
    dusty = cv2.GaussianBlur(dusty, (0, 0), rng.uniform(0.4, 0.9)) + rng.normal(0, 2.5, dusty.shape)
    return {'dust': to_uint8(dusty, 255),
            'reference': to_uint8(scene.visible)}


def list_jobs(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> list[Job]:
    """``sand_dust/train/{clean,dust}``, ``sand_dust/test`` and, beside the published layout, ``reference``."""
    folder = str(root / 'sand_dust')
    return [(folder, part, index, size, seed) for part, count in (
        ('clean', counts['train']), ('dust', counts['train']), ('test', counts['test'])) for index in range(count)]


def write_job(job: Job) -> None:
    """Write one clean pair, or one dusty photo; of test photos also the street without dust."""
    root, part, index, size, seed = job
    folder = Path(root, 'test' if part == 'test' else f'train/{part}')
    path = folder / f'{index:03d}.{"png" if part == "clean" else "jpg"}'
    if path.exists():
        return  # each file is whole or absent, so an interrupted run goes on here
    cv2.setNumThreads(1)
    if part == 'clean':
        write_bytes(path, encode_image(clean_pair(seed, index), '.png'))
        return
    photo = dusty_photo(seed, 'test' if part == 'test' else 'train', index, size)
    if part == 'test':
        write_bytes(Path(root, 'reference', f'{index:03d}.png'), encode_image(photo['reference'], '.png'))
    write_bytes(path, encode_image(photo['dust'], '.jpg', 90))
