"""The metrics of images with any number of bands, as MMEngine's evaluator drives them."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from mmweather.errors import ConfigError, DataError
from mmweather.evaluation import per_image
from mmweather.evaluation.functional import bands
from mmweather.evaluation.table import format_table
from mmweather.registry import METRICS


def sample(seed: int, channels: int = 13, dtype=np.float32, black: bool = False) -> dict:
    rng = np.random.default_rng(seed)
    target = rng.uniform(1, 254, (channels, 20, 24)).astype(dtype)
    if black:
        target[:, 3, 4] = 0
    cloudy = np.clip(target * 0.5 + 90, 0, 255).astype(dtype)
    pred = np.clip(target + rng.normal(0, 5, target.shape), 0, 255).astype(np.float32)
    return dict(sample_key=f'{seed:03d}', gt_img=torch.from_numpy(target), input=torch.from_numpy(cloudy),
                output=dict(pred_img=torch.from_numpy(pred)))


def unit(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().astype(np.float64).transpose(1, 2, 0) / 255


def build(**options):
    return METRICS.build(dict(type='mmweather.BandMetrics', **options))


@pytest.mark.parametrize('channels, dtype', [(13, np.float32), (3, np.uint8)])
def test_every_figure_is_the_mean_of_the_images(channels, dtype):
    metric = build(metrics=('mae', 'mse', 'rmse', 'brmse', 'psnr', 'ssim', 'sam'))
    data = [sample(seed, channels, dtype) for seed in (1, 2, 3)]
    metric.process(None, data[:2])
    metric.process(None, data[2:])
    result = metric.evaluate(3)
    wanted = {'mae': bands.mae, 'mse': bands.mse, 'rmse': bands.rmse, 'brmse': bands.band_rmse, 'psnr': bands.psnr,
              'ssim': lambda a, b: bands.ssim(a, b, published=True), 'sam': bands.spectral_angle}
    for name, function in wanted.items():
        for key, images in ((name, [unit(s['output']['pred_img']) for s in data]),
                            (f'{name}_input', [unit(s['input']) for s in data])):
            values = [function(image, unit(s['gt_img'])) for image, s in zip(images, data, strict=True)]
            assert result[key] == pytest.approx(np.mean(values), rel=1e-9), key
    assert result['psnr'] > result['psnr_input'] + 5


def test_nothing_is_rounded_and_values_beyond_the_range_are_clipped():
    target = torch.full((3, 12, 12), 100.0)
    metric = build(metrics='mae', compare_input=False)
    metric.process(None, [dict(gt_img=target, output=dict(pred_img=target + 0.4))])
    assert metric.evaluate(1)['mae'] == pytest.approx(0.4 / 255, rel=1e-5)
    metric.process(None, [dict(gt_img=target, output=dict(pred_img=torch.full((3, 12, 12), 999.0)))])
    assert metric.evaluate(1)['mae'] == pytest.approx(155 / 255)
    equal = build(metrics='psnr', compare_input=False)
    equal.process(None, [dict(gt_img=target, output=dict(pred_img=target))])
    assert equal.evaluate(1) == {'psnr': 100.0}


def test_a_black_pixel_drops_the_image_as_published_or_only_itself():
    data = [sample(1), sample(2, black=True)]
    published, ours = build(metrics='sam', compare_input=False), build(metrics='sam', published_sam=False,
                                                                       compare_input=False)
    for metric in (published, ours):
        metric.process(None, data)
    first = bands.spectral_angle(unit(data[0]['output']['pred_img']), unit(data[0]['gt_img']))
    result = published.evaluate(2)
    assert result == {'sam': pytest.approx(first), 'sam_skipped': 1}
    assert set(ours.evaluate(2)) == {'sam'}
    published.process(None, data[1:])
    assert math.isnan(published.evaluate(1)['sam'])


def test_the_window_of_ssim_is_a_switch():
    values = []
    for switch in (True, False):
        metric = build(metrics='ssim', published_ssim=switch, compare_input=False)
        metric.process(None, [sample(4)])
        values.append(metric.evaluate(1)['ssim'])
    assert values[0] != values[1] and values[0] == pytest.approx(values[1], abs=2e-2)


def test_through_the_evaluator_with_prefix_csv_and_split(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(per_image, 'print_log', lambda text, logger=None, level=0: lines.append(text))
    evaluator = Evaluator([dict(type='mmweather.BandMetrics', prefix='rice', csv_path=str(tmp_path / 'v.csv'),
                                prediction='other', metrics=('psnr', 'sam'))])
    evaluator.dataset_meta = {'split': 'test, 1 images, by rank: 5'}
    raw = sample(5)
    element = BaseDataElement(metainfo=dict(sample_key='005'), gt_img=raw['gt_img'], input=raw['input'])
    element.output = BaseDataElement(other=raw['output']['pred_img'])
    evaluator.process([element])
    result = evaluator.evaluate(1)
    assert set(result) == {'rice/psnr', 'rice/psnr_input', 'rice/sam', 'rice/sam_input'}
    rows = list(csv.DictReader((tmp_path / 'v.csv').open()))
    assert [row['name'] for row in rows] == ['005'] and float(rows[0]['psnr']) == result['rice/psnr']
    assert 'by rank: 5' in lines[0] and 'not rounded' in lines[0]
    assert 'SAM (degrees)' in format_table(result)


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match='uqi'):
        build(metrics=('psnr', 'uqi'))
    with pytest.raises(ConfigError, match='empty'):
        build(metrics=())
    metric = build()
    bad = sample(6)
    bad['output']['pred_img'] = bad['output']['pred_img'][:12]
    with pytest.raises(DataError, match='sample 006'):
        metric.process(None, [bad])
    lacking = sample(7)
    del lacking['gt_img']
    with pytest.raises(DataError, match="no 'gt_img'"):
        metric.process(None, [lacking])
    nan = sample(8)
    nan['output']['pred_img'][0, 0, 0] = math.nan
    with pytest.raises(DataError, match='NaN'):
        metric.process(None, [nan])
