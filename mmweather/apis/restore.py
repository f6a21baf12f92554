"""Restoring arrays, files and folders with a trained network."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmweather.errors import ConfigError, DataError, MMWeatherError
from mmweather.models.common.contract import InferenceContract
from mmweather.models.common.tiling import run_tiled
from mmweather.utils.images import is_image_file, read_image, write_image

logger = logging.getLogger(__name__)
_DTYPES = {None: None, 'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def _to_tensor(image: np.ndarray, name: str, device: torch.device) -> Tensor:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise DataError(f"image '{name}' is {image.dtype} {image.shape}; give uint8 (H, W, 3), RGB")
    return torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() / 255


def best_device() -> str:
    """``'cuda'`` or ``'mps'`` where there is one, else ``'cpu'``."""
    if torch.cuda.is_available():
        return 'cuda'
    return 'mps' if torch.backends.mps.is_available() else 'cpu'


def _contract(model: nn.Module) -> InferenceContract:
    return getattr(model, 'inference_contract', InferenceContract())


@torch.no_grad()
def restore_image(
    model: nn.Module,
    images: np.ndarray | Mapping[str, np.ndarray],
    tile: int | str | None = 'auto',
    overlap: int | None = None,
    dtype: str | None = None,
    progress: Any = None,
) -> np.ndarray:
    """Restore one image of any size.

    Args:
        model: a restorer (anything with ``predict_images``) or a network with an ``inference_contract``, on its device
            and in evaluation mode.
        images: uint8 (H, W, 3) RGB; for a model of several inputs a dict by the contract's names, all of one size.
        tile: side of the tiles in pixels, ``'auto'`` (whole images while they are small), or None for whole images.
        overlap: overlap of the tiles; None takes the model's.
        dtype: ``'bf16'`` or ``'fp16'`` for mixed precision; None for float32.
        progress: called with (tiles done, tiles in all).

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DataError: an image is of the wrong kind or missing, or sizes differ.
        ConfigError: ``tile``, ``overlap`` or ``dtype`` cannot work.
    """
    contract = _contract(model)
    if dtype not in _DTYPES:
        raise ConfigError(f"dtype={dtype!r}: give 'fp32', 'bf16' or 'fp16'")
    named = dict(images) if isinstance(images, Mapping) else {contract.inputs[0]: images}
    missing = [name for name in contract.inputs if name not in named]
    if missing:
        raise DataError(f'this model needs the images {", ".join(contract.inputs)}; missing: {", ".join(missing)}')
    sizes = {name: image.shape[:2] for name, image in named.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f'images differ in size (height, width): {sizes}; register them first')
    device = next(model.parameters()).device
    tensors = {name: _to_tensor(image, name, device) for name, image in named.items()}
    low = _DTYPES[dtype]
    with torch.autocast(device.type, low) if low else nullcontext():
        if hasattr(model, 'predict_images'):
            output = model.predict_images(tensors, tile, overlap, progress)
        else:
            output = run_tiled(model, tuple(tensors[name] for name in contract.inputs), contract, tile, overlap, progress)
    return (output[0].float().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


@dataclass
class Report:
    """What :func:`restore_files` did."""

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def find_images(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """Image files of a file, a folder, a glob pattern, or several of these, sorted.

    Raises:
        DataError: nothing is there.
    """
    if not isinstance(source, (str, Path)):
        return [path for item in source for path in find_images(item)]
    path = Path(source)
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if is_image_file(item))
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(item) for item in glob.glob(str(source)) if is_image_file(Path(item)))
    if not found:
        raise DataError(f"'{source}': no image there; give an image, a folder of images or a glob pattern")
    return found


def _partner(path: Path, folder: str | Path) -> Path:
    folder = Path(folder)
    if folder.is_file():
        return folder
    found = [item for item in sorted(folder.glob(f'{glob.escape(path.stem)}.*')) if is_image_file(item)]
    if not found:
        raise DataError(f"'{path.name}' has no partner in '{folder}': put an image of the same stem there")
    return found[0]


def restore_files(
    model: nn.Module,
    source: str | Path | Sequence[str | Path],
    out_dir: str | Path,
    partners: Mapping[str, str | Path] | None = None,
    overwrite: bool = False,
    compare: bool = False,
    **options: Any,
) -> Report:
    """Restore files; a bad one is reported and skipped, and the rest is finished.

    Args:
        model: as in :func:`restore_image`.
        source: file, folder, glob pattern, or several.
        out_dir: results go there as ``<stem>.png``, each written whole or not at all.
        partners: folders (or one file) of the other inputs by name, for example ``{'ir': 'Inf/input'}``; partners have
            the same stem.
        overwrite: restore again what is there already; else a rerun goes on where the last one stopped.
        compare: also write ``<stem>_compare.png``, input and result side by side.
        **options: passed to :func:`restore_image`.

    Raises:
        DataError: nothing to restore, or two inputs would write one file.
    """
    from tqdm import tqdm

    paths, out_dir = find_images(source), Path(out_dir)
    stems = [path.stem for path in paths]
    doubled = {stem for stem in stems if stems.count(stem) > 1}
    if doubled:
        raise DataError(f'several inputs are called {sorted(doubled)[:5]}; results would overwrite each other: restore '
                        'one folder at a time')
    first = _contract(model).inputs[0]
    report = Report()
    for path in tqdm(paths, desc='restore', unit='image', disable=len(paths) < 2):
        target = out_dir / f'{path.stem}.png'
        if target.exists() and not overwrite:
            report.skipped.append(path)
            continue
        try:
            images = {first: read_image(path)}
            for name, folder in (partners or {}).items():
                images[name] = read_image(_partner(path, folder), mode='grey3')
            result = restore_image(model, images, **options)
            write_image(target, result)
            if compare:
                write_image(out_dir / f'{path.stem}_compare.png', np.concatenate((images[first], result), axis=1))
            report.done.append(path)
        except MMWeatherError as error:
            report.failed[path] = str(error)
            logger.warning('%s: skipped: %s', path, error)
    return report
