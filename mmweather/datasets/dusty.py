"""Real dusty photos without references, divided so that no test photo has a look-alike elsewhere."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import ConfigError
from ..utils.images import read_image, write_image
from ..utils.runs import check_target
from .paired import list_images
from .sand_dust import SandDust
from .tools.placing import check_source, place_files
from .transforms.resizing import resize_picture

SIDE = 16
ALIKE = 36
"""Differing signs out of 256 up to which two photos count as one: the same one scaled, cut or compressed again."""


def difference_hash(image: np.ndarray) -> np.ndarray:
    """Signs of the horizontal steps of a very small grey picture, which scaling and compression hardly change.

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        bool (256,).
    """
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    return (small[:, 1:] > small[:, :-1]).ravel()


def look_alikes(hashes: Sequence[np.ndarray], limit: int = ALIKE) -> np.ndarray:
    """A number for each photo, the same for those that look alike, directly or by way of others; int (N,)."""
    from scipy.sparse.csgraph import connected_components
    signs = np.stack(hashes).astype(np.int32)
    differing = (signs[:, None] != signs[None]).sum(-1)
    return connected_components(differing <= limit, directed=False)[1]


def divide(groups: np.ndarray, roles: Sequence[str], test_every: int = 20) -> list[str]:
    """Which part each photo belongs to.

    Args:
        groups: of :func:`look_alikes`.
        roles: ``'train'`` or ``'test'`` of photos whose part is settled elsewhere, ``''`` of those to be divided.
        test_every: of the photos that resemble no other, in their order, use every n-th for testing.

    Returns:
        One of ``'train'``, ``'test'`` and ``'left out'`` each: look-alikes of a settled photo follow it, those of
        two that are settled differently are left out, and other look-alikes are for training.
    """
    parts, alone = [], 0
    for group, role in zip(groups, roles, strict=True):
        members = np.flatnonzero(groups == group)
        settled = {roles[member] for member in members} - {''}
        if role or len(settled) == 1:
            parts.append(role or settled.pop())
        elif settled:
            parts.append('left out')
        elif len(members) > 1:
            parts.append('train')
        else:
            parts.append('train' if alone % test_every else 'test')
            alone += 1
    return parts


def install_dusty(source: str | Path, target: str | Path, sand_dust: str | Path | None = None,
                  long_side: int | None = None, test_every: int = 20, copy: bool = False) -> dict[str, int]:
    """Divide a folder of dusty photos into ``<target>/train/dust`` and ``<target>/test``, a layout of ``SandDust``.

    No seed is needed: photos are taken in the order of their stems (:func:`divide`).

    Args:
        source: folder of photos, such as https://github.com/bartani/dusty-images-dataset has.
        target: a new or empty folder; it appears complete or not at all.
        sand_dust: a sand-dust set whose division holds for its photos and their look-alikes in ``source``.
        long_side: reduce larger photos to this, written as PNG; None keeps the files as they are.
        test_every: see :func:`divide`.
        copy: copy the files instead of linking them, where they are kept.

    Returns:
        Number of photos, ``{'train': n, 'test': n, 'left out': n}``.

    Raises:
        DataError: a folder or photo cannot be read, or ``target`` is not empty.
        ConfigError: ``long_side`` or ``test_every`` is out of range.
    """
    if test_every < 2 or (long_side is not None and long_side < SIDE):
        raise ConfigError(f'test_every must be at least 2 and long_side at least {SIDE}, got {test_every} and '
                          f'{long_side}')
    check_target(target)
    known = [] if sand_dust is None else [
        (path, role) for role, part in (('train', 'dust'), ('test', 'test'))
        for path in list_images(check_source(sand_dust) / SandDust.FOLDERS[part]).values()]
    photos = [*known, *((path, '') for path in list_images(check_source(source)).values())]
    hashes = [difference_hash(read_image(path)) for path, _ in
              tqdm(photos, desc='comparing', unit='photo', disable=None)]
    parts = divide(look_alikes(hashes), [role for _, role in photos], test_every)
    divided = [(path, part) for (path, role), part in zip(photos, parts, strict=True) if not role]
    folders = {'train': SandDust.FOLDERS['dust'], 'test': SandDust.FOLDERS['test']}
    with contextlib.ExitStack() as stack:
        files = [(path, folders[part]) for path, part in divided if part in folders]
        if long_side is not None:
            reduced = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            files = [(_reduce(path, reduced, long_side), folder) for path, folder in
                     tqdm(files, desc='reducing', unit='photo', disable=None)]
        place_files(files, target, copy or long_side is not None)
    return {part: sum(found == part for _, found in divided) for part in (*folders, 'left out')}


def _reduce(path: Path, folder: Path, long_side: int) -> Path:
    image = read_image(path)
    height, width = image.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    if scale < 1:
        image = resize_picture(image, max(1, round(height * scale)), max(1, round(width * scale)))
    return write_image(folder / f'{path.stem}.png', image)
