"""Draw a small street data set with boxes and label maps, in the layouts that mmdet and mmseg read as they are.

    python projects/attention_in_a_backbone/draw_streets.py --out data/streets

writes ``images/{train,val}/NNN.png``, ``labels/{train,val}/NNN.png`` (index into mmweather.mini.scene.LABELS) and
``boxes_{train,val}.json`` (COCO, categories mmweather.mini.scene.BOX_CLASSES).  Pictures depend on the seed,
the split, the number and the size alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmweather.errors import DataError, one_line_errors
from mmweather.mini.scene import BOX_CLASSES, draw_scene
from mmweather.utils.arrays import to_uint8
from mmweather.utils.atomic import write_bytes, write_json
from mmweather.utils.images import encode_image

SPLITS = ('train', 'val')
NIGHT_SHARE = 0.3


def draw(out: Path, counts: Sequence[int] = (24, 8), size: tuple[int, int] = (192, 320), seed: int = 0) -> None:
    """Write the set.

    Args:
        out: a new folder, or one that this function wrote; files are replaced.
        counts: pictures for training and for validation.
        size: height and width, at least 32 each.
        seed: not negative.

    Raises:
        DataError: an argument is out of its range, or the folder cannot be written.
    """
    if min(size) < 32 or min(counts) < 1 or seed < 0:
        raise DataError(f'--size {size[0]} {size[1]} --train {counts[0]} --val {counts[1]} --seed {seed}: sides of at '
                        'least 32, one picture of each split and no negative seed are needed')
    try:
        for number, (split, count) in enumerate(zip(SPLITS, counts, strict=True)):
            coco = dict(images=[], annotations=[],
                        categories=[dict(id=i + 1, name=name) for i, name in enumerate(BOX_CLASSES)])
            for index in tqdm(range(count), desc=split, disable=None):
                _one(out, split, index, np.random.default_rng([seed, number, index]), size, coco)
            write_json(out / f'boxes_{split}.json', coco)
    except OSError as error:
        raise DataError(f"cannot write to '{out}' ({error.strerror}); choose another folder") from error


def _one(out: Path, split: str, index: int, rng: np.random.Generator, size: tuple[int, int], coco: dict) -> None:
    scene = draw_scene(*size, rng, night=bool(rng.random() < NIGHT_SHARE))
    name = f'{index:03d}.png'
    pixels = to_uint8(scene.visible)
    write_bytes(out / 'images' / split / name, encode_image(pixels, '.png'))
    write_bytes(out / 'labels' / split / name, encode_image(scene.labels, '.png'))
    coco['images'].append(dict(id=index, file_name=name, height=size[0], width=size[1]))
    for (x1, y1, x2, y2), label in zip(scene.boxes.tolist(), scene.box_labels.tolist(), strict=True):
        wide, high = x2 - x1, y2 - y1
        coco['annotations'].append(dict(id=len(coco['annotations']) + 1, image_id=index, category_id=label + 1,
                                        bbox=[x1, y1, wide, high], area=wide * high, iscrowd=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('data/streets'), help='folder (data/streets)')
    parser.add_argument('--train', type=int, default=24, help='pictures for training (24)')
    parser.add_argument('--val', type=int, default=8, help='pictures for validation (8)')
    parser.add_argument('--size', type=int, nargs=2, default=(192, 320), metavar=('H', 'W'), help='(192 320)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    with one_line_errors():
        draw(args.out, (args.train, args.val), tuple(args.size), args.seed)
    print(f'{args.train} and {args.val} pictures in {args.out}')


if __name__ == '__main__':
    main()
