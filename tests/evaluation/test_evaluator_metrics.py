"""The metrics as MMEngine's evaluator drives them."""

from __future__ import annotations

import csv
import logging
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from mmweather.errors import ConfigError, DataError
from mmweather.evaluation.functional import restoration
from mmweather.evaluation.functional.fusion import TABLE_II, fusion_metrics
from mmweather.registry import METRICS

RESTORATION = 'mmweather.RestorationMetrics'
FUSION = 'mmweather.FusionMetrics'


def _image(seed, height=24, width=30):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width)).astype(np.uint8))


def _sample(seed, **extra):
    target = _image(seed)
    degraded = (target.float() * 0.8).round().byte()
    restored = (target.float() * 0.95).round().byte()
    return dict(sample_key=f'{seed:03d}', gt_img=target, input=degraded, ir=_image(seed + 100),
                output=dict(pred_img=restored), **extra)


def _hwc(tensor):
    return tensor.permute(1, 2, 0).numpy()


def test_means_of_prediction_and_input():
    metric = METRICS.build(dict(type=RESTORATION, metrics=('psnr_y', 'ssim_rgb3d')))
    samples = [_sample(seed) for seed in (1, 2, 3)]
    metric.process(None, samples[:2])
    metric.process(None, samples[2:])
    result = metric.evaluate(3)
    assert list(result) == ['psnr_y', 'psnr_y_input', 'ssim_rgb3d', 'ssim_rgb3d_input']
    wanted = [restoration.psnr_y(_hwc(s['output']['pred_img']), _hwc(s['gt_img'])) for s in samples]
    assert result['psnr_y'] == pytest.approx(np.mean(wanted))
    assert result['psnr_y'] > result['psnr_y_input'] + 5
    assert [row['name'] for row in metric.per_image] == ['001', '002', '003']
    assert metric.per_image[1]['psnr_y'] == pytest.approx(wanted[1])


def test_data_elements_pass_through_the_evaluator():
    """The evaluator itself turns data samples into the dicts that the metrics read."""
    raw = _sample(4)
    element = BaseDataElement(metainfo=dict(sample_key='004'), gt_img=raw['gt_img'], input=raw['input'], ir=raw['ir'])
    element.output = BaseDataElement(pred_img=raw['output']['pred_img'])
    evaluator = Evaluator([dict(type=RESTORATION, metrics='psnr_rgb'), dict(type=FUSION, metrics=('mi', 'cc'))])
    evaluator.process([element])
    result = evaluator.evaluate(1)
    assert set(result) == {'psnr_rgb', 'psnr_rgb_input', 'fusion/mi', 'fusion/cc'}
    wanted = fusion_metrics(_hwc(raw['output']['pred_img']), _hwc(raw['ir']), _hwc(raw['gt_img']), ('mi', 'cc'))
    assert result['fusion/mi'] == pytest.approx(wanted['mi'])


def test_both_metrics_in_full_do_not_collide():
    evaluator = Evaluator([dict(type=RESTORATION), dict(type=FUSION)])
    evaluator.process([_sample(5)])
    assert {'ms_ssim', 'fusion/ms_ssim', 'fusion/qabf'} <= set(evaluator.evaluate(1))


def test_rounding_and_clipping_are_those_of_stored_pictures():
    target = torch.full((3, 12, 12), 100, dtype=torch.uint8)
    sample = dict(gt_img=target, output=dict(pred_img=target.float() + 0.4))
    rounded = METRICS.build(dict(type=RESTORATION, metrics='psnr_rgb', compare_input=False))
    exact = METRICS.build(dict(type=RESTORATION, metrics='psnr_rgb', compare_input=False, round=False))
    for metric in (rounded, exact):
        metric.process(None, [sample])
    assert rounded.evaluate(1) == {'psnr_rgb': math.inf}
    assert exact.evaluate(1)['psnr_rgb'] == pytest.approx(20 * math.log10(255 / 0.4), rel=1e-5)
    white = torch.full((3, 12, 12), 255, dtype=torch.uint8)
    rounded.process(None, [dict(gt_img=white, output=dict(pred_img=torch.full((3, 12, 12), 300.0)))])
    assert rounded.evaluate(1) == {'psnr_rgb': math.inf}


def test_crop_border_reaches_the_metric():
    sample = _sample(6)
    sample['output']['pred_img'] = sample['gt_img'].clone()
    sample['output']['pred_img'][:, 0] = 0
    metric = METRICS.build(dict(type=RESTORATION, metrics='psnr_rgb', crop_border=1))
    metric.process(None, [sample])
    assert metric.evaluate(1)['psnr_rgb'] == math.inf


def test_undefined_values_are_left_out_and_counted(caplog):
    metric = METRICS.build(dict(type=RESTORATION, metrics=('ms_ssim', 'psnr_y'), compare_input=False))
    big = dict(sample_key='big', gt_img=_image(7, 161, 161), output=dict(pred_img=_image(7, 161, 161)))
    metric.process(None, [_sample(7), big, _sample(8)])
    result = metric.evaluate(3)
    assert result['ms_ssim'] == pytest.approx(1.0)
    assert result['ms_ssim_skipped'] == 2
    assert 'psnr_y_skipped' not in result
    metric.process(None, [_sample(7)])
    assert math.isnan(metric.evaluate(1)['ms_ssim'])


def test_protocol_is_logged_once_with_the_result(monkeypatch):
    from mmweather.evaluation import per_image as module
    lines = []
    monkeypatch.setattr(module, 'print_log', lambda text, logger=None, level=logging.INFO: lines.append(text))
    metric = METRICS.build(dict(type=RESTORATION, metrics=('psnr_y', 'ssim_y'), crop_border=4))
    for _ in range(2):
        metric.process(None, [_sample(9)])
        metric.evaluate(1)
    assert len(lines) == 1
    for part in ('BT.601 Y', 'border of 4 px', 'rounded to 8 bits', '11x11 Gaussian', "'gt_img'", 'per picture'):
        assert part in lines[0]
    assert "'input'" in METRICS.build(dict(type=FUSION, visible='input')).protocol


def test_values_of_every_picture_go_to_a_csv_file(tmp_path):
    path = tmp_path / 'new' / 'values.csv'
    metric = METRICS.build(dict(type=RESTORATION, metrics='psnr_y', csv_path=str(path)))
    metric.process(None, [_sample(1), _sample(2)])
    result = metric.evaluate(2)
    with open(path, newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == ['001', '002']
    assert np.mean([float(row['psnr_y_input']) for row in rows]) == pytest.approx(result['psnr_y_input'])
    assert [p.name for p in path.parent.iterdir()] == ['values.csv']


def test_a_failed_csv_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'values.csv'
    path.write_text('old')

    def fail(*_):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    metric = METRICS.build(dict(type=RESTORATION, metrics='psnr_y', csv_path=str(path)))
    metric.process(None, [_sample(1)])
    with pytest.raises(OSError, match='disk full'):
        metric.evaluate(1)
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['values.csv']


@pytest.mark.parametrize(('change', 'message'), [
    (dict(gt_img=None), "sample 001 has no 'gt_img'"),
    (dict(input=None), "sample 001 has no 'input'"),
    (dict(output=dict()), "sample 001 has no 'output.pred_img'"),
    (dict(gt_img=_image(1, 20, 30)), 'sample 001: .*must be equal'),
    (dict(gt_img=torch.zeros(4, 24, 30)), "'gt_img' of sample 001: .*CHW"),
    (dict(output=dict(pred_img=torch.full((3, 24, 30), math.nan))), 'sample 001: .*NaN'),
])
def test_a_bad_sample_is_named(change, message):
    metric = METRICS.build(dict(type=RESTORATION, metrics='psnr_y'))
    with pytest.raises(DataError, match=message) as caught:
        metric.process(None, [{**_sample(1), **change}])
    assert '\n' not in str(caught.value)


def test_fusion_names_a_sample_without_infrared_and_reads_other_keys():
    sample = _sample(2)
    metric = METRICS.build(dict(type=FUSION, metrics='cc', visible='input'))
    metric.process(None, [sample])
    wanted = fusion_metrics(_hwc(sample['output']['pred_img']), _hwc(sample['ir']), _hwc(sample['input']), 'cc')
    assert metric.evaluate(1) == {'fusion/cc': pytest.approx(wanted['cc'])}
    del sample['ir']
    with pytest.raises(DataError, match="sample 002 has no 'ir'"):
        metric.process(None, [sample])


def test_table2_has_the_columns_of_the_paper():
    metric = METRICS.build(dict(type=FUSION, metrics='table2', prefix='table2'))
    metric.process(None, [_sample(3)])
    assert [k for k in metric.evaluate(1) if not k.endswith('_skipped')] == [f'table2/{name}' for name in TABLE_II]


@pytest.mark.parametrize('options', [
    dict(type=RESTORATION, metrics=('psnr', )),
    dict(type=RESTORATION, metrics=()),
    dict(type=RESTORATION, crop_border=-1),
    dict(type=FUSION, metrics=('psnr_y', )),
])
def test_wrong_options_are_refused_at_once(options):
    with pytest.raises(ConfigError):
        METRICS.build(options)


def test_no_picture_is_an_error():
    with pytest.raises(DataError, match='saw no picture'):
        METRICS.build(dict(type=RESTORATION)).evaluate(0)


def _one_rank(rank, folder):
    import torch.distributed as dist

    from mmweather.compat.cpu_dist import leave_group
    dist.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    metric = METRICS.build(
        dict(type=RESTORATION, metrics='psnr_y', compare_input=False, csv_path=f'{folder}/values.csv'))
    # Three pictures on two processes: the second one sees picture 001 once more as padding.
    metric.process(None, [_sample(seed) for seed in ((1, 3) if rank == 0 else (2, 1))])
    torch.save(metric.evaluate(3), f'{folder}/{rank}.pt')
    leave_group()


def test_two_processes_give_what_one_gives(tmp_path):
    multiprocessing.spawn(_one_rank, (str(tmp_path), ), nprocs=2)
    alone = METRICS.build(dict(type=RESTORATION, metrics='psnr_y', compare_input=False))
    alone.process(None, [_sample(seed) for seed in (1, 2, 3)])
    wanted = alone.evaluate(3)
    for rank in (0, 1):
        assert torch.load(tmp_path / f'{rank}.pt', weights_only=True) == pytest.approx(wanted)
    assert [line.split(',')[0] for line in (tmp_path / 'values.csv').read_text().split()] == ['name', '001', '002',
                                                                                               '003']


def test_needs_neither_mmagic_nor_mmdet():
    code = ("import sys\n"
            "sys.modules.update(dict.fromkeys(('mmagic', 'mmdet', 'mmseg', 'mmcv')))\n"
            "from mmweather.registry import METRICS\n"
            f"METRICS.build(dict(type='{RESTORATION}')), METRICS.build(dict(type='{FUSION}'))\n"
            "print([m for m in ('skimage', 'pytorch_msssim') if m in sys.modules])")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith('[]')
