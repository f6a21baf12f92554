"""Persons and cars that segmentors find in real RGB-thermal pairs with boxes, beside a bare threshold on thermal.

    python tools/quality/thermal.py data/msrs_pairs data/msrs_pairs_boxes/fusion heatnet=masks

Pairs lie in `vi` and `ir`, boxes in YOLO's text files (class, centre and size, relative; 0 person, 2 car); the last
letter of a name says day (D) or night (N). Each NAME=DIR is a folder that `mmweather segment` wrote, with its
`legend.json`. A box counts as found where a fifth of it is labelled; pixels count as inside in boxes grown by 6 pixels.
Only pictures with boxes are counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmweather.datasets.transforms.thermal_variety import standardize_thermal
from mmweather.errors import DataError, one_line_errors
from mmweather.utils.files import read_json
from mmweather.utils.thermal import read_thermal

KINDS = {'person': (0, ('person', 'pedestrian', 'rider')), 'car': (2, ('car', 'vehicle', 'truck', 'bus'))}
DOMAINS = {'N': 'by night', 'D': 'by day'}
Mask = Callable[[str], np.ndarray]


def threshold(thermal: np.ndarray) -> np.ndarray:
    """Return the baseline's mask (H, W): 2.5 standard deviations above the mean, opened 3x3."""
    hot = (standardize_thermal(thermal) > 2.5).astype(np.uint8)
    return cv2.morphologyEx(hot, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0


def read_boxes(path: Path, number: int, height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Return the boxes of a class: left, top, right and bottom in pixels.

    Raises:
        DataError: a line is not class, centre and size.
    """
    boxes = []
    for line in path.read_text().splitlines():
        try:
            kind, x, y, wide, high = map(float, line.split()[:5])
        except ValueError:
            raise DataError(f"'{path}': '{line:.40}' is not 'class x y width height'; correct the line") from None
        if int(kind) == number:
            boxes.append((max(int((x - wide / 2) * width), 0), max(int((y - high / 2) * height), 0),
                          int((x + wide / 2) * width) + 1, int((y + high / 2) * height) + 1))
    return boxes


def measure(mask_of: Mask, files: Sequence[Path], number: int, grow: int = 6) -> tuple[int, int, float]:
    """Count boxes found, all boxes, and the share of the mask inside boxes.

    Args:
        mask_of: gives the class's mask (H, W) of a picture's name.
        files: text files with boxes.
        number: of the class in them.
        grow: pixels by which boxes are grown for the share.

    Returns:
        Boxes found, boxes, share in [0, 1] (0 where nothing is labelled).
    """
    found = count = inside = total = 0
    for path in files:
        mask = mask_of(path.stem)
        cover = np.zeros_like(mask)
        for left, top, right, bottom in read_boxes(path, number, *mask.shape):
            count += 1
            found += bool(mask[top:bottom, left:right].mean() > 0.2)
            cover[max(top - grow, 0):bottom + grow, max(left - grow, 0):right + grow] = True
        inside += int((mask & cover).sum())
        total += int(mask.sum())
    return found, count, inside / max(total, 1)


def labelled(folder: Path, names: Sequence[str]) -> Mask:
    """Return masks of the classes of those names in a folder that `mmweather segment` wrote."""
    legend = folder / 'legend.json'
    if not legend.is_file():
        raise DataError(f"'{legend}' not found; give a folder that `mmweather segment` wrote")
    numbers = [row['number'] for row in read_json(legend)['classes'] if row['name'].lower() in names]

    def mask(name: str) -> np.ndarray:
        labels = cv2.imread(str(folder / f'{name}_labels.png'), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.ndim != 2:
            raise DataError(f"'{folder / name}_labels.png' is missing or not grey; segment all pictures with boxes")
        return np.isin(labels, numbers)

    return mask


def main(argv: Sequence[str] | None = None) -> None:
    """Print one table row for each method, kind of object and domain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('pairs', type=Path, help='folder with vi and ir')
    parser.add_argument('boxes', type=Path, help='folder with the text files')
    parser.add_argument('results', nargs='*', metavar='NAME=DIR', help='folders that `mmweather segment` wrote')
    args = parser.parse_args(argv)
    with one_line_errors():
        files = {part: sorted(args.boxes.glob(f'*{part}.txt')) for part in DOMAINS}
        if not any(files.values()):
            raise DataError(f"'{args.boxes}' holds no *D.txt or *N.txt; give the folder of the boxes")
        print('| method | objects | found | pixels inside | harmonic mean |\n| --- | --- | --- | --- | --- |')
        for kind, (number, names) in KINDS.items():
            methods: dict[str, Mask] = {}
            if kind == 'person':
                methods['threshold'] = lambda name: threshold(read_thermal(args.pairs / 'ir' / f'{name}.png'))
            for given in args.results:
                title, _, folder = given.rpartition('=')
                methods[title or folder] = labelled(Path(folder), names)
            for title, mask_of in methods.items():
                for part, words in DOMAINS.items():
                    found, count, inside = measure(mask_of, files[part], number)
                    share = found / max(count, 1)
                    mean = 2 * share * inside / max(share + inside, 1e-9)
                    print(f'| {title} | {kind} {words} | {found} of {count} | {inside:.2f} | {mean:.2f} |')


if __name__ == '__main__':
    main()
