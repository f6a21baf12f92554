"""Measure detectors and restorers in fog: real fog with boxes, clear photos with boxes, synthetic fog with its truth.

    python tools/quality/fog.py data --detect togethernet \\
        configs/togethernet/yolox-nano_coco.py=data/yolox_nano_coco.safetensors
    python tools/quality/fog.py data --restore togethernet dark-channel

DATA holds dawn_fog, coco_street and vehicles_openimages as configs/_base_/datasets/street_fog.py says. Models are names
or configs, `=CHECKPOINT` behind those that come without weights.

Detectors: AP50 in per cent, area under all points of the curve, on DAWN's fog (dev.json), on clear photos of COCO
(val.json) and on clear photos of vehicles (test.json). The mean is that of person, car and bus; of car, motorcycle and
bus where persons are not labelled. Restorers: PSNR and SSIM (RGB and luma, 8 bits) on the photos of vehicles of the
test split in fog that is a function of the photo.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mmweather.errors import one_line_errors

CLASSES = ('person', 'bicycle', 'car', 'motorcycle', 'bus')
SETS = {'dawn_fog': ('dev.json', ('person', 'car', 'bus')), 'coco_street': ('val.json', ('person', 'car', 'bus')),
        'vehicles_openimages': ('test.json', ('car', 'motorcycle', 'bus'))}


def inferencer(words: str) -> Any:
    """The model of ``NAME`` or ``CONFIG=CHECKPOINT``."""
    import mmweather
    name, _, checkpoint = words.partition('=')
    return mmweather.Inferencer(name, checkpoint or None)


def _title(words: str) -> str:
    return Path(words.partition('=')[0]).stem


def average_precisions(model: Any, folder: Path, annotations: str) -> dict[str, float]:
    """AP50 in per cent of each of :data:`CLASSES` that the file has boxes of."""
    from mmdet.evaluation.functional import eval_map
    content = json.loads((folder / annotations).read_text(encoding='utf-8'))
    names = {category['id']: category['name'] for category in content['categories']}
    notes: dict[Any, list[tuple[int, list[float]]]] = {}
    for note in content['annotations']:
        if names[note['category_id']] in CLASSES:
            x, y, width, height = note['bbox']
            notes.setdefault(note['image_id'], []).append(
                (CLASSES.index(names[note['category_id']]), [x, y, x + width, y + height]))
    found, truth = [], []
    for image in tqdm(content['images'], desc=folder.name, unit='photo', disable=None):
        outcome = model(folder / 'images' / image['file_name'], score_thr=0.01, draw=False, show_progress=False)[0]
        own = notes.get(image['id'], [])
        found.append([np.array([[*box['box'], box['score']] for box in outcome.detections if box['name'] == name],
                               np.float32).reshape(-1, 5) for name in CLASSES])
        truth.append(dict(labels=np.array([label for label, _ in own], np.int64),
                          bboxes=np.array([box for _, box in own], np.float32).reshape(-1, 4)))
    _, results = eval_map(found, truth, iou_thr=0.5, logger='silent', nproc=1)
    return {name: 100 * float(result['ap']) for name, result in zip(CLASSES, results, strict=True)
            if result['num_gts']}


def foggy_pairs(folder: Path, limit: int | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """(foggy, clear) photos of the test split, uint8 RGB."""
    from mmweather.datasets.transforms.photo_fog import AddPhotoFog
    from mmweather.utils.images import read_image
    step = AddPhotoFog(depth_scale=0.4, seed=0, key='img', source='gt')
    names = [image['file_name'] for image in json.loads((folder / 'test.json').read_text(encoding='utf-8'))['images']]
    pairs = []
    for name in sorted(names)[:limit]:
        clear = read_image(folder / 'images' / name)
        depth = folder / 'depth' / f'{Path(name).stem}.png'
        pairs.append((step.transform(dict(gt=clear, depth_path=str(depth)))['img'], clear))
    return pairs


def restoration(restore: Callable[[np.ndarray], np.ndarray],
                pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Mean PSNR in dB (RGB) and SSIM (luma) of restored photos."""
    from mmweather.evaluation.functional.restoration import psnr_rgb, ssim_y
    figures = []
    for foggy, clear in tqdm(pairs, desc='synthetic fog', unit='photo', disable=None):
        restored = restore(foggy)
        figures.append((psnr_rgb(restored, clear), ssim_y(restored, clear)))
    psnr, ssim = np.mean(figures, 0)
    return float(psnr), float(ssim)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', type=Path, help='folder of the sets')
    parser.add_argument('--detect', nargs='+', default=[], metavar='MODEL', help='detectors')
    parser.add_argument('--restore', nargs='+', default=[], metavar='MODEL', help='restorers, detectors that restore')
    parser.add_argument('--sets', nargs='+', default=list(SETS), choices=list(SETS), help='of the detectors')
    args = parser.parse_args(argv)
    with one_line_errors():
        if args.detect:
            print(f"| AP50 | set | mean | {' | '.join(CLASSES)} |\n| --- | --- | --- |{' --- |' * len(CLASSES)}")
        for words in args.detect:
            model = inferencer(words)
            for name in args.sets:
                annotations, averaged = SETS[name]
                points = average_precisions(model, args.data / name, annotations)
                cells = [f'{points[label]:.1f}' if label in points else '' for label in CLASSES]
                mean = np.mean([points[label] for label in averaged])
                print(f"| {_title(words)} | {name} | {mean:.1f} | {' | '.join(cells)} |", flush=True)
        if args.restore:
            pairs = foggy_pairs(args.data / 'vehicles_openimages')
            print(f'\n| {len(pairs)} photos in synthetic fog | PSNR (RGB) | SSIM (Y) |\n| --- | --- | --- |')
            print('| as they are | {:.2f} | {:.4f} |'.format(*restoration(lambda foggy: foggy, pairs)))
        for words in args.restore:
            model = inferencer(words)
            psnr, ssim = restoration(
                lambda foggy: model(foggy, draw=False, show_progress=False)[0].restored, pairs)  # noqa: B023
            print(f"| {_title(words)} | {psnr:.2f} | {ssim:.4f} |", flush=True)


if __name__ == '__main__':
    main()
