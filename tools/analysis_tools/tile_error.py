"""How far tiled results lie from whole-image ones, on real images with trained weights.

    python tools/analysis_tools/tile_error.py CONFIG CHECKPOINT data/roadscene_rain/test/Vis/input \
        --target data/roadscene_rain/test/Vis/target --tile 192 256 --limit 4
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mmweather.errors import one_line_errors


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB of two uint8 RGB images, peak 255."""
    error = np.square(a.astype(float) - b).mean()
    return float('inf') if error == 0 else 10 * np.log10(255**2 / error)


def main() -> None:
    """Print a Markdown table, one row an image and tile size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='name or config file')
    parser.add_argument('checkpoint')
    parser.add_argument('images', help='file or folder')
    parser.add_argument('--target', type=Path, help='folder of clean images of the same file names')
    parser.add_argument('--tile', type=int, nargs='+', default=[192, 256])
    parser.add_argument('--overlap', type=int, help="pixels; the network's own by default")
    parser.add_argument('--limit', type=int, default=4, help='images')
    args = parser.parse_args()
    with one_line_errors():
        from mmweather import get_model, restore_image
        from mmweather.apis.restore_files import find_images
        from mmweather.utils.images import read_image
        model = get_model(args.config, args.checkpoint)
        print('| image | tile | mean diff | max diff | PSNR to whole | PSNR whole | PSNR tiled |\n|' + '---|' * 7)
        for path in list(find_images(args.images))[:args.limit]:
            image = read_image(path)
            target = None if args.target is None else read_image(args.target / Path(path).name)
            whole = restore_image(model, image, tile=None)
            for tile in args.tile:
                tiled = restore_image(model, image, tile=tile, overlap=args.overlap)
                difference = np.abs(tiled.astype(float) - whole)
                scores = ['-', '-'] if target is None else [f'{psnr(x, target):.2f}' for x in (whole, tiled)]
                print(f'| {Path(path).stem} | {tile} | {difference.mean():.2f} | {difference.max():.0f} | '
                      f'{psnr(tiled, whole):.1f} | {" | ".join(scores)} |', flush=True)


if __name__ == '__main__':
    main()
