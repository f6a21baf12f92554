"""HeatNet's input preparation and score against the published loaders, with the pipelines of the shipped configs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from parity_compare import Arrays, GoldenFolder, Rows
from parity_fill import fill_input
from PIL import Image

from mmweather.apis.hub import load_config
from mmweather.datasets.label_maps import HEATNET_CLASSES, HEATNET_SCORED
from mmweather.evaluation.segmentation import DomainIoUMetric
from mmweather.registry import MODELS, TRANSFORMS


def _frame(folder: Path, tag: str, training: bool) -> dict[str, Any]:
    """The files of one synthetic raw frame, and the sample that describes them."""
    def grown(array: np.ndarray, times: int) -> np.ndarray:
        return array.repeat(times, 0).repeat(times, 1)

    visible = np.floor(fill_input(f'raw.rgb.{tag}', (130, 384, 3)) * 256).astype(np.uint8)
    thermal = (20000 + fill_input(f'raw.ir.{tag}', (130, 384)) * 7000).astype(np.uint16)
    label = np.floor(fill_input(f'raw.label.{tag}', (65, 192)) * 14).astype(np.uint8)
    if training:
        label[label == 13] = 12
    paths = {key: str(folder / f'{key}_{tag}.png') for key in ('img_path', 'thermal_path', 'seg_map_path')}
    for path, array in zip(paths.values(), (grown(visible, 5), grown(thermal, 5), grown(label, 10)), strict=True):
        Image.fromarray(array).save(path)
    # The golden labels keep 13, which our data set ignores.
    return {**paths, 'label_map': {i: i for i in range(14)}, 'seg_fields': []}


def _prepare(sample: dict[str, Any], steps: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB (3, H, W), thermal (1, H, W) and label (H, W) as the network gets them."""
    packed = Compose([TRANSFORMS.build(step) for step in steps])(sample)
    preprocessor = MODELS.build(dict(type='mmweather.RGBThermalPreprocessor'))
    data = preprocessor(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]))
    image = data['inputs'][0].numpy()
    return image[:3], image[3:], packed['data_samples'].gt_sem_seg.data[0].numpy()


def _image(reference: Arrays, name: str, full: np.ndarray, tolerance: float) -> Rows:
    yield name, full[:, ::8, ::8], tolerance
    wide = full.astype(np.float64)
    # OpenCV rounds 8-bit images while it resizes, and ours are floating point by then: 0.06 grey levels on average.
    yield f'{name}.stat', [wide.sum(), np.abs(wide).sum(), wide.min(), wide.max()], tolerance / 5
    yield f'{name}.shape', full.shape, 0.


def _label(name: str, full: np.ndarray) -> Rows:
    yield name, full[::4, ::4], 0.
    yield f'{name}.hist', np.bincount(full.ravel(), minlength=14), 0.


def check_preparation(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Test, inference and training loaders; training without its random branches, at the crop offset (0, 17)."""
    config = load_config('heatnet_rgbt-late_4xb2-100k_freiburg')
    train, test = config.train_pipeline, config.test_pipeline
    random = ('mmseg.RandomCrop', 'mmseg.RandomFlip', 'mmseg.RandomRotate')
    fixed = [step for step in train if step.type not in random]
    fixed.insert(-1, dict(type='mmweather.CropWindow', top=0, left=17, size=config.crop_size))
    infer = [dict(step, left=150, size=(320, 700)) if step.type == 'mmweather.CropWindow' else step for step in test]
    rgb, thermal = 2 / 255, 1e-3
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        one, two, label = _prepare(_frame(place, '1570722495_27593040', False), test)
        yield from (*_image(reference, 'test.rgb', one, rgb), *_image(reference, 'test.ir', two, thermal))
        yield from _label('test.label', label)
        one, two, _ = _prepare(_frame(place, '1570722100_952177040', False), infer)
        yield from (*_image(reference, 'infer.rgb', one, rgb), *_image(reference, 'infer.ir', two, thermal))
        names = reference['train.files'].tolist()
        yield 'train.files', reference['train.files'], 0.
        for domain, name in zip(('day', 'night'), names, strict=True):
            tag = name.removeprefix('fl_rgb_').removesuffix('.png')
            one, two, label = _prepare(_frame(place, tag, True), fixed)
            yield from _image(reference, f'train.rgb_{domain}', one, rgb)
            yield from _image(reference, f'train.ir_{domain}', two, thermal)
            if domain == 'day':
                yield from _label('train.label_day', label)


def check_metric(folder: GoldenFolder, reference: Arrays) -> Rows:
    """IoU of the 12 classes by the evaluator's metric; the label maps themselves are its input."""
    for ending, name in (('', 'all'), ('2', 'missing')):
        metric = DomainIoUMetric(scored=HEATNET_SCORED, ignore_index=13)
        metric.dataset_meta = {'classes': HEATNET_CLASSES}
        samples: list[dict[str, Any]] = [
            {'pred_sem_seg': {'data': torch.from_numpy(predicted).long()[None]},
             'gt_sem_seg': {'data': torch.from_numpy(label).long()[None]}, 'domain': 'day'}
            for predicted, label in zip(reference[f'pred{ending}'], reference[f'gt{ending}'], strict=True)]
        metric.process({}, samples)
        ious = metric.class_ious(metric.results)['day']
        yield f'pred{ending}', torch.stack([sample['pred_sem_seg']['data'][0] for sample in samples]).numpy(), 0.
        yield f'gt{ending}', torch.stack([sample['gt_sem_seg']['data'][0] for sample in samples]).numpy(), 0.
        yield f'iou_{name}', ious, 1e-12
        yield f'mean_{name}', metric.compute_metrics(metric.results)['mIoU_day'] / 100, 1e-12
