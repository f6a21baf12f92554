"""Measure a dust model on real photos without references, beside grey world and grey world + CLAHE.

    python tools/quality/dust.py data/dusty/photos --list configs/ssdie_net/dusty_held_out.txt
    python tools/quality/dust.py PHOTOS --model CONFIG --checkpoint FILE --pictures OUT

For each method the mean over the photos of: cast (length of the mean a*, b* of CIELAB), grid (energy of grey-level
differences at periods 2 and 4 over that of their neighbours; the larger), black (share of pixels below grey 8), detail
(mean absolute Laplacian), contrast (standard deviation of grey) and NIQE (low is natural).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmweather.datasets.paired import list_images, read_stems
from mmweather.errors import DataError, one_line_errors
from mmweather.evaluation.functional.colour import colour_cast
from mmweather.evaluation.functional.grid import grid_energy
from mmweather.utils.images import read_image, write_image

FIGURES = ('cast', 'grid', 'black %', 'detail', 'contrast', 'NIQE')


def figures(image: np.ndarray) -> tuple[float, ...]:
    """The :data:`FIGURES` of one image, uint8 (H, W, 3) RGB; NIQE is nan for images that are too small."""
    from mmweather.evaluation.no_reference import niqe
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
    return (colour_cast(image), grid_energy(grey), 100 * float((grey < 8).mean()),
            float(np.abs(cv2.Laplacian(grey, cv2.CV_64F)).mean()), float(grey.std()), niqe(image))


def grey_world(image: np.ndarray) -> np.ndarray:
    """Scale each channel so that the mean is grey; uint8 (H, W, 3)."""
    return np.clip(image * (image.mean() / np.maximum(image.mean((0, 1)), 1e-6)), 0, 255).astype(np.uint8)


def grey_world_clahe(image: np.ndarray) -> np.ndarray:
    """Grey world, then CLAHE (clip 2, 8x8) on L of CIELAB; uint8 (H, W, 3)."""
    lab = cv2.cvtColor(grey_world(image), cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def measure(photos: Sequence[Path], methods: dict[str, Callable[[np.ndarray], np.ndarray]],
            pictures: Path | None = None) -> dict[str, np.ndarray]:
    """Figures of every photo.

    Args:
        photos: files.
        methods: functions of uint8 RGB images, by name.
        pictures: folder for the results side by side, in the order of the methods; None writes none.

    Returns:
        (photos, figures) by method.
    """
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    for photo in tqdm(photos, desc='photos', unit='photo', disable=None):
        image = read_image(photo)
        results = [method(image) for method in methods.values()]
        for name, result in zip(methods, results, strict=True):
            rows[name].append(figures(result))
        if pictures is not None:
            write_image(pictures / f'{photo.stem}.jpg', np.concatenate(results, 1))
    return {name: np.array(values) for name, values in rows.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photos', help='folder of dusty photos')
    parser.add_argument('--list', help='text file with the stems of the photos to use, one a line; default: all')
    parser.add_argument('--model', default='ssdie-net', help='name or config (default: ssdie-net)')
    parser.add_argument('--checkpoint', default='shipped', help='weights; default: those that come with the model')
    parser.add_argument('--tile', default='auto', help="side of the tiles, 'auto' or 'none' (default: auto)")
    parser.add_argument('--pictures', type=Path, help='folder for input, result, grey world, grey world + CLAHE')
    args = parser.parse_args(argv)
    with one_line_errors():
        from mmweather import get_model, restore_image
        found = list_images(args.photos)
        stems = read_stems(args.list) if args.list else list(found)
        missing = [stem for stem in stems if stem not in found]
        if missing:
            raise DataError(f"'{args.photos}' has no photo '{missing[0]}' of {args.list}; give the folder of the set")
        model = get_model(args.model, args.checkpoint)
        tile = args.tile if args.tile in ('auto', 'none') else int(args.tile)
        table = measure([found[stem] for stem in stems], {
            'input': lambda image: image,
            Path(args.model).stem: lambda image: restore_image(model, image, tile=tile),
            'grey world': grey_world,
            'grey world + CLAHE': grey_world_clahe,
        }, args.pictures)
        print(f'{len(stems)} photos | ' + ' | '.join(FIGURES))
        for name, values in table.items():
            print(f'{name} | ' + ' | '.join(f'{mean:.2f}' for mean in np.nanmean(values, 0)))


if __name__ == '__main__':
    main()
