"""Pictures below each other or in columns, as the sheets of docs/images.

    python tools/analysis_tools/picture_sheet.py sheet.jpg pictures/day_*_7.png pictures/night_*_1007.png
    python tools/analysis_tools/picture_sheet.py sheet.jpg a.png b.png c.png d.png --columns 2 --width 900

Pictures of other sizes are scaled to the size of the first.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from mmweather.errors import one_line_errors
from mmweather.utils.images import read_image, write_image


def sheet(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures, uint8 (H, W, 3), row by row; places that are left over are white."""
    height, width = pictures[0].shape[:2]
    cells = [picture if picture.shape[:2] == (height, width) else
             cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in pictures]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    return np.concatenate([np.concatenate(cells[i:i + columns], 1) for i in range(0, len(cells), columns)])


def main() -> None:
    """Read, arrange, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='picture to write')
    parser.add_argument('pictures', nargs='+', help='row by row')
    parser.add_argument('--columns', type=int, default=1)
    parser.add_argument('--width', type=int, help='of the sheet, if it is wider')
    args = parser.parse_args()
    if args.columns < 1 or (args.width is not None and args.width < 1):
        parser.error('--columns and --width must be at least 1')
    with one_line_errors():
        whole = sheet([read_image(file) for file in args.pictures], args.columns)
        if args.width and args.width < whole.shape[1]:
            size = (args.width, round(whole.shape[0] * args.width / whole.shape[1]))
            whole = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
        write_image(args.out, whole, quality=85)


if __name__ == '__main__':
    main()
