"""Label persons in RGB-thermal pairs by their heat, over labels of a teacher or alone: the night's pseudo-labels.

    python tools/dataset_converters/hot_labels.py data/msrs/ir data/msrs/hot_labels --over data/msrs/teacher_labels

What is hotter than its picture's mean by 2.5 standard deviations and has the upright shape of a person becomes a
person; other hot regions, the rims of persons, and persons of the teacher that are cold are ignored (255). Without
--over all other pixels are ignored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmweather.datasets.label_maps import IGNORE, STREET_CLASSES
from mmweather.datasets.paired import list_images
from mmweather.datasets.transforms.thermal_variety import standardize_thermal
from mmweather.errors import DataError, one_line_errors
from mmweather.utils.images import read_image, write_image
from mmweather.utils.thermal import read_thermal

PERSON = STREET_CLASSES.index('person')


def hot_persons(thermal: np.ndarray, threshold: float = 2.5, smallest: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Find hot regions, and those of them that are shaped like persons.

    Args:
        thermal: counts (H, W).
        threshold: standard deviations above the mean.
        smallest: minimum pixels of a person.

    Returns:
        Two masks (H, W): all hot regions, persons.
    """
    hot = cv2.morphologyEx((standardize_thermal(thermal) > threshold).astype(np.uint8), cv2.MORPH_OPEN,
                           np.ones((3, 3), np.uint8))
    count, regions, facts, _ = cv2.connectedComponentsWithStats(hot)
    persons = np.zeros(hot.shape, bool)
    for region in range(1, count):
        width, height, area = facts[region, cv2.CC_STAT_WIDTH:cv2.CC_STAT_AREA + 1]
        if area >= smallest and 1.2 <= height / width <= 5 and area >= 0.35 * width * height:
            persons |= regions == region
    return hot > 0, persons


def label(thermal: np.ndarray, under: np.ndarray | None = None) -> np.ndarray:
    """Return the label map, uint8 (H, W), of a thermal picture; ``under`` is the teacher's."""
    hot, persons = hot_persons(thermal)
    kernel = np.ones((5, 5), np.uint8)
    labels = np.full(hot.shape, IGNORE, np.uint8) if under is None else under.copy()
    labels[labels == PERSON] = IGNORE
    labels[cv2.dilate(hot.astype(np.uint8), kernel) > 0] = IGNORE
    labels[persons] = PERSON
    return labels


def main(argv: Sequence[str] | None = None) -> None:
    """Label a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('thermal', help='folder of thermal images')
    parser.add_argument('out', help='folder for the label maps')
    parser.add_argument('--over', metavar='DIR', help="a teacher's label maps of the same names")
    parser.add_argument('--stems', nargs='+', metavar='NAME', help='only these')
    args = parser.parse_args(argv)
    with one_line_errors():
        files, under = list_images(args.thermal), list_images(args.over) if args.over else {}
        names = args.stems or sorted(files)
        for name in names:
            if name not in files or (args.over and name not in under):
                raise DataError(f"'{name}' is not in '{args.thermal if name not in files else args.over}'; add it or "
                                'leave it out of --stems')
            below = read_image(under[name])[..., 0] if args.over else None
            write_image(Path(args.out) / f'{name}.png', label(read_thermal(files[name]), below))
        print(f'{len(names)} label maps: {args.out}')


if __name__ == '__main__':
    main()
