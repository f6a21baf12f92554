"""One picture, clean and in every weather: the one of docs/weather.md, or the same of a picture of yours.

    python tools/analysis_tools/weather_sheet.py docs/images/weather.jpg
    python tools/analysis_tools/weather_sheet.py sheet.png --picture street.jpg --severities 1 2 3 4 5

Without ``--picture``, a drawn street with its true depth, and a drawn tile of land for cloud, which is seen from above.
PSNR to the clean picture is printed as a Markdown table.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from mmweather.errors import one_line_errors
from mmweather.mini.satellite import draw_tile
from mmweather.mini.scene import draw_scene
from mmweather.utils.arrays import to_uint8
from mmweather.utils.images import read_image, write_image
from mmweather.weather import WEATHERS, apply_weather
from mmweather.weather.cloud import RGB
from mmweather.weather.true_colour import true_colour

SIZE = (200, 280)
EDGE, HEAD = 4, 20


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A street, its depth in metres and a tile of land."""
    street = draw_scene(*SIZE, np.random.default_rng(seed))
    land = draw_tile(*SIZE, np.random.default_rng(seed), region=seed)
    day = to_uint8(street.visible)
    return day, street.depth, true_colour(land.optical[..., list(RGB)])


def framed(picture: np.ndarray) -> np.ndarray:
    """The picture with white to the right and below."""
    return np.pad(picture, ((0, EDGE), (0, EDGE), (0, 0)), constant_values=255)


def main() -> None:
    """Write the sheet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='the sheet, named as pictures are')
    parser.add_argument('--picture', help='of yours, without depth (default: a drawn street)')
    parser.add_argument('--severities', type=int, nargs='+', choices=range(1, 6), default=[1, 3, 5])
    parser.add_argument('--seed', type=int, default=7, help='of the drawn pictures (default: 7)')
    args = parser.parse_args()
    with one_line_errors():
        street, depth, land = drawn(args.seed) if args.picture is None else (read_image(args.picture), None, None)
        columns = []
        print(f'| weather | {" | ".join(map(str, args.severities))} |\n|{" --- |" * (len(args.severities) + 1)}')
        for weather in WEATHERS:
            above = weather == 'cloud' and land is not None
            clean, metres = (land, None) if above else (street, depth)
            column, scores = [framed(clean)], []
            for severity in args.severities:
                picture = apply_weather(clean, weather, severity, 0, metres)
                error = np.square(picture.astype(float) - clean).mean()
                scores.append(f'{10 * np.log10(255**2 / error):.1f}')
                column.append(framed(picture))
            print(f'| {weather} | {" | ".join(scores)} |')
            head = np.full((HEAD, column[0].shape[1], 3), 255, np.uint8)
            cv2.putText(head, weather, (2, HEAD - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
            columns.append(np.concatenate([head, *column]))
        write_image(args.out, np.concatenate(columns, axis=1), quality=85)


if __name__ == '__main__':
    main()
