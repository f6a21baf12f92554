"""Robustness to weather of a stock mmdet detector, a stock mmseg segmentor and a restorer; resuming; mistakes."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from PIL import Image

from mmweather.apis.robustness.measure import add_weather, main_metric, measure_robustness
from mmweather.apis.robustness.table import Robustness
from mmweather.cli import main
from mmweather.errors import CheckpointError, ConfigError, DataError
from mmweather.weather import apply_weather

pytest.importorskip('mmdet', reason='the first model is a detector of mmdet')
pytest.importorskip('mmseg', reason='the second model is a segmentor of mmseg')
pytest.importorskip('mmagic', reason='the third model is a restorer of mmagic')

from mmengine.registry import DefaultScope  # noqa: E402
from mmseg.registry import MODELS as SEGMENTORS  # noqa: E402

from mmweather.registry import MODELS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
LOOP = dict(test_cfg=dict(type='mmengine.TestLoop'))


@METRICS.register_module()
class MeanTopScore(BaseMetric):
    """How sure a detector is of its best box, and how bright the picture is that it was shown."""

    def process(self, data_batch, data_samples):
        for inputs, sample in zip(data_batch['inputs'], data_samples, strict=True):
            self.results.append((float(sample['pred_instances']['scores'].max()), float(inputs.float().mean())))

    def compute_metrics(self, results):
        scores, brightness = np.mean(results, axis=0)
        return {'score': float(scores), 'brightness': float(brightness), 'table': 'no number'}


@SEGMENTORS.register_module()
class SameImage(torch.nn.Module):
    """A backbone without weights."""

    def forward(self, x):
        return (x, )


def loader(dataset: dict) -> dict:
    return dict(batch_size=1, num_workers=0, sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
                dataset=dict(test_mode=True, **dataset))


def pictures(folder: Path, count: int = 3, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Dark with a bright rectangle."""
    folder.mkdir(parents=True)
    draw, made = np.random.default_rng(0), []
    for i in range(count):
        image = draw.integers(20, 70, (*size, 3), dtype=np.uint8)
        image[16:48, 16 + 8 * i:56 + 8 * i] += 150
        Image.fromarray(image).save(folder / f'{i}.png')
        made.append(image)
    return made


def build(config: Config, path: Path) -> tuple[Path, Path]:
    """Files of a config and of the weights that its model has at first."""
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
    weights = path.with_suffix('.pth')
    if config.default_scope == 'mmdet':
        # Fresh weights answer alike to everything.
        for part in (*model.bbox_head.multi_level_conv_obj, *model.bbox_head.multi_level_conv_cls):
            part.weight.data *= 30
    if config.default_scope == 'mmseg':
        # A pixel is of class 1 where its channels, shifted by half the range, add up to more than nothing.
        model.decode_head.conv_seg.weight.data = torch.tensor([[0.0], [1.0]]).expand(2, 3)[..., None, None].clone()
        model.decode_head.conv_seg.bias.data.zero_()
    torch.save({'state_dict': model.state_dict()}, weights)
    config.dump(path)
    return path, weights


@pytest.fixture(scope='module')
def detector(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp('det')
    boxes = [dict(id=i + 1, image_id=i, category_id=1, bbox=[16 + 8 * i, 16, 40, 32], area=1280, iscrowd=0)
             for i in range(len(pictures(root / 'images')))]
    (root / 'boxes.json').write_text(json.dumps(dict(
        images=[dict(id=i, file_name=f'{i}.png', height=64, width=96) for i in range(len(boxes))],
        annotations=boxes, categories=[dict(id=1, name='box')])))
    config = Config.fromfile(_stock('mmdet', 'yolox/yolox_nano_8xb8-300e_coco.py'))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(96, 64), keep_ratio=True),
                dict(type='LoadAnnotations', with_bbox=True),
                dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
    model = config.model
    model.bbox_head.num_classes = 1
    small = Config(dict(
        default_scope='mmdet', model=model, **LOOP,
        test_dataloader=loader(dict(type='CocoDataset', data_root=str(root), ann_file='boxes.json',
                                    data_prefix=dict(img='images'), metainfo=dict(classes=('box', )),
                                    pipeline=pipeline)),
        test_evaluator=[dict(type='CocoMetric', ann_file=str(root / 'boxes.json'), metric='bbox'),
                        dict(type='mmengine.MeanTopScore')]))
    return build(small, root / 'yolox.py')


@pytest.fixture(scope='module')
def segmentor(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp('seg')
    (root / 'labels').mkdir()
    for i, image in enumerate(pictures(root / 'images')):
        Image.fromarray((image.mean(-1) > 127).astype(np.uint8)).save(root / 'labels' / f'{i}.png')
    config = Config(dict(
        default_scope='mmseg', **LOOP,
        model=dict(type='EncoderDecoder', backbone=dict(type='SameImage'),
                   data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[64.0] * 3,
                                          bgr_to_rgb=True),
                   decode_head=dict(type='FCNHead', in_channels=3, in_index=0, channels=3, num_convs=0,
                                    concat_input=False, num_classes=2, dropout_ratio=0),
                   train_cfg=dict(), test_cfg=dict(mode='whole')),
        test_dataloader=loader(dict(
            type='BaseSegDataset', data_root=str(root), img_suffix='.png', seg_map_suffix='.png',
            data_prefix=dict(img_path='images', seg_map_path='labels'), metainfo=dict(classes=('dark', 'bright')),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])),
        test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU'])))
    return build(config, root / 'threshold.py')


@pytest.fixture(scope='module')
def restorer(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp('restore')
    for folder in ('input', 'target'):
        pictures(root / 'test' / 'Vis' / folder, 2)
    config = Config.fromfile(ROOT / 'configs/nitedr/nitedr_cleannet-s_1xb4-300_mini.py')
    config.model.generator.update(dim=8)
    config.test_dataloader.dataset.data_root = str(root)
    return build(config, root / 'cleannet.py')


def _stock(box: str, name: str) -> Path:
    return Path(__import__(box).__file__).parent / '.mim' / 'configs' / name


def cells(root: Path) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in (root / 'cells').iterdir()}


@pytest.mark.slow
def test_a_stock_detector_is_measured_once_per_cell(detector, tmp_path, capsys):
    config, weights = detector
    words = ['robustness', config, weights, '--weather', 'fog', 'night', '--metric', 'score', '--out', tmp_path / 'out']
    assert main([*map(str, words), '--severities', '1', '5']) == 0
    found = cells(tmp_path / 'out')
    assert set(found) == {'clean', 'fog-1', 'fog-5', 'night-1', 'night-5'}
    assert {'coco/bbox_mAP', 'score', 'brightness'} <= set(found['clean']) and 'table' not in found['clean']
    bright = {name: cell['brightness'] for name, cell in found.items()}
    assert bright['night-5'] < bright['night-1'] < bright['clean'] < bright['fog-1'] < bright['fog-5']
    # What the detector saw is what the function makes of the picture: mmdet has blue first.
    images = [np.asarray(Image.open(config.parent / 'images' / f'{i}.png')) for i in range(3)]
    assert bright['fog-5'] == pytest.approx(np.mean([apply_weather(image, 'fog', 5).mean() for image in images]))
    assert len({cell['score'] for cell in found.values()}) == 5
    printed = capsys.readouterr().out
    assert 'Average Precision' not in printed
    table = printed.splitlines()[-6:-1]
    assert table[0].split() == ['score', '1', '5', 'mean', 'of', 'clean']
    assert [line.split()[0] for line in table[1:]] == ['clean', 'fog', 'night', 'all']
    with (tmp_path / 'out/robustness.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [(row['weather'], row['severity']) for row in rows] == [
        ('clean', '0'), ('fog', '1'), ('fog', '5'), ('night', '1'), ('night', '5')]
    assert float(rows[2]['score']) == found['fog-5']['score']
    with Image.open(tmp_path / 'out/robustness.png') as curve:
        assert curve.size == (720, 480)


@pytest.mark.slow
def test_a_stock_segmentor_loses_in_the_dark_and_a_rerun_measures_what_is_missing(segmentor, tmp_path):
    config, weights = segmentor
    first = measure_robustness(config, weights, tmp_path / 'out', ['night'], [1, 5])
    assert first.metric == 'mIoU' and first.clean['mIoU'] == 100
    assert first.value('night', 5) < first.value('night', 1) < 100
    assert first.relative() == pytest.approx((first.value('night', 1) + first.value('night', 5)) / 200)
    # A cell that is there is not measured again; one that was cut short is.
    (tmp_path / 'out/cells/night-1.json').write_text('{"mIoU": 77.0}')
    (tmp_path / 'out/cells/night-5.json').write_text('{"mIoU": 7')
    again = measure_robustness(config, weights, tmp_path / 'out', ['night', 'dust'], [1, 5])
    assert again.value('night', 1) == 77 and again.value('night', 5) == first.value('night', 5)
    assert again.weathers == ['night', 'dust'] and not math.isnan(again.value('dust', 5))
    with pytest.raises(DataError, match='seed 0 instead of 1.*choose another folder'):
        measure_robustness(config, weights, tmp_path / 'out', ['night'], [1], seed=1)
    changed = config.parent / 'images/0.png'
    times = changed.stat()
    os.utime(changed, (1, 1))
    try:
        with pytest.raises(DataError, match='other settings .data .*choose another folder'):
            measure_robustness(config, weights, tmp_path / 'out', ['night'], [1])
    finally:
        os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.slow
def test_weather_on_the_target_makes_the_restorers_input(restorer, tmp_path):
    config, weights = restorer
    found = measure_robustness(config, weights, tmp_path / 'out', ['rain'], [1, 5], source='gt')
    assert found.metric == 'psnr_y'
    inputs = [found.clean['psnr_y_input'], *(found.cells['rain', k]['psnr_y_input'] for k in (1, 5))]
    assert inputs[0] == math.inf and inputs[0] > inputs[1] > inputs[2] > 0
    with pytest.raises(ConfigError, match="reads a colour image 'depth'"):
        measure_robustness(config, weights, tmp_path / 'other', ['rain'], [1], source='depth')


@pytest.mark.slow
def test_a_stock_restorer_on_several_sets_without_training_data(tmp_path):
    """mmagic's loop over several sets returns nothing and its drawing hook asks for the training's iteration."""
    for folder in ('lq', 'gt'):
        pictures(tmp_path / folder, 2)
    config = Config.fromfile(_stock('mmagic', 'nafnet/nafnet_c64eb2248mb12db2222_8xb8-lr1e-3-400k_sidd.py'))
    config.model.generator.update(mid_channels=4, enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1])
    config.test_dataloader = [loader(dict(
        type='BasicImageDataset', metainfo=dict(dataset_type=name), data_root=str(tmp_path),
        data_prefix=dict(img='lq', gt='gt'), filename_tmpl=dict(img='{}', gt='{}'),
        pipeline=config.val_dataloader.dataset.pipeline)) for name in 'ab']
    config.test_evaluator = [dict(type='Evaluator', metrics=[dict(type='PSNR', prefix=name)]) for name in 'ab']
    config.test_cfg = dict(type='MultiTestLoop')
    found = measure_robustness(*build(config, tmp_path / 'nafnet.py'), tmp_path / 'out', ['dust'], [5], source='gt')
    assert found.metric == 'a/PSNR' and set(found.clean) == {'a/PSNR', 'b/PSNR'}
    assert found.value('dust', 5) < found.clean['a/PSNR']
    assert [path.name for path in (tmp_path / 'out').rglob('*.png')] == ['robustness.png']  # no drawn results


def test_where_the_step_goes():
    steps = [dict(type='mmagic.LoadImageFromFile', key='gt'),
             dict(type='mmagic.LoadImageFromFile', key='img', channel_order='rgb'), dict(type='mmagic.PackInputs')]
    config = Config(dict(test_dataloader=[dict(dataset=dict(type='ConcatDataset', datasets=[
        dict(type='A', pipeline=steps), dict(type='B', pipeline=steps[1:])]))]))
    def pipelines(changed: Config) -> list[list[dict]]:
        return [data['pipeline'] for data in changed.test_dataloader[0]['dataset']['datasets']]

    first, second = pipelines(add_weather(config, 'rain', 2, seed=4))
    step = dict(type='mmweather.AddRain', severity=2, seed=4, prob=1.0, color_order='rgb', source='img')
    assert first == [*steps[:2], step, steps[2]] and second == [steps[1], step, steps[2]]
    first, second = pipelines(add_weather(config, 'fog', 2, source='gt'))
    assert first[2]['color_order'] == 'bgr' and first[2]['source'] == 'gt' and second == steps[1:]
    assert pipelines(config) == [steps, steps[1:]]
    with pytest.raises(ConfigError, match='no step of its pipeline reads a colour image'):
        add_weather(Config(dict(test_dataloader=dict(dataset=dict(pipeline=[dict(type='mmweather.LoadSentinel')])))),
                    'fog', 1)


def test_the_metric_that_is_judged_by():
    coco = {'coco/bbox_mAP': 0.3, 'coco/bbox_mAP_50': 0.5}
    assert main_metric(coco) == 'coco/bbox_mAP' and main_metric(coco, 'mAP_50') == 'coco/bbox_mAP_50'
    assert main_metric({'aAcc': 1.0, 'mIoU': 2.0}) == 'mIoU' and main_metric({'own': 1.0}) == 'own'
    with pytest.raises(ConfigError, match="no metric 'mIoU'; it gives coco/bbox_mAP"):
        main_metric(coco, 'mIoU')


def test_means_leave_no_gap_unseen():
    result = Robustness('m', {'m': 0.5}, {('fog', 1): {'m': 0.4}, ('fog', 3): {'m': 0.1}, ('rain', 1): {'m': math.nan}})
    assert result.mean('fog') == pytest.approx(0.25) and result.relative('fog') == pytest.approx(0.5)
    assert math.isnan(result.relative('rain')) and math.isnan(result.value('rain', 3))
    assert result.table().splitlines()[2].split() == ['fog', '0.4', '0.1', '0.25', '50.0', '%']
    assert result.table().splitlines()[3].split() == ['rain', '-', '-', '-', '-']
    assert result.picture()[:4] == b'\x89PNG'
    assert math.isnan(Robustness('m', {'m': 0.0}, {('fog', 1): {'m': 0.0}}).relative())


def test_mistakes_are_one_line(segmentor, tmp_path, capsys):
    config, weights = segmentor
    with pytest.raises(CheckpointError, match='no such file'):
        measure_robustness(config, tmp_path / 'none.pth', tmp_path / 'out')
    with pytest.raises(ConfigError, match='weathers must be of fog, rain, night, dust, cloud'):
        measure_robustness(config, weights, tmp_path / 'out', ['hail'])
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').write_text('x')
    with pytest.raises(DataError, match='not an empty folder'):
        measure_robustness(config, weights, tmp_path / 'mine', ['fog'], [1])
    assert not (tmp_path / 'out').exists()
    with pytest.raises(SystemExit) as exit_:
        main(['robustness', str(config), str(weights), '--weather', 'fog', '--severities', '1', '--metric', 'mAP',
              '--out', str(tmp_path / 'out')])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert exit_.value.code == 2 and error.startswith("error: the test evaluator gives no metric 'mAP'; it gives aAcc")
    assert not (tmp_path / 'out/cells/fog-1.json').exists()


@pytest.mark.slow
def test_a_fault_in_a_worker_of_the_loader_is_one_line(segmentor, tmp_path):
    config, weights = segmentor
    options = {'test_dataloader.num_workers': 1, 'test_dataloader.dataset.pipeline.0.color_type': 'grayscale'}
    with pytest.raises(DataError) as error:
        measure_robustness(config, weights, tmp_path / 'out', ['fog'], [1], options=options, source='img')
    assert '\n' not in str(error.value) and 'load it in colour' in str(error.value)
