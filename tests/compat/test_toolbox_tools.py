"""mmdet's and mmseg's own test tools give on our configs what MMEngine's Runner gives."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.compat import mmcv_ops
from mmweather.compat.scripts import find_tool, run_script
from mmweather.errors import DataError, MissingToolboxError

needs_mmdet = pytest.mark.skipif(importlib.util.find_spec('mmdet') is None, reason='mmdet is not installed')
needs_mmseg = pytest.mark.skipif(importlib.util.find_spec('mmseg') is None, reason='mmseg is not installed')

RUNTIME = '''
in_order = dict(type='DefaultSampler', shuffle=False)
train_dataloader = dict(batch_size=2, num_workers=0, sampler=in_order, dataset=dataset)
test_dataloader = dict(batch_size=1, num_workers=0, sampler=in_order,
                       dataset=dict(dataset, pipeline=test_pipeline, test_mode=True))
train_cfg = dict(by_epoch=False, max_iters=2)
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.001))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
                     logger=dict(type='LoggerHook', interval=1))
custom_hooks = [dict(type='mmweather.NonFiniteLossHook')]
log_level = 'WARNING'
'''

DETECTION = '''
default_scope = 'mmdet'
model = dict(
    type='YOLOX', data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(type='CSPDarknet', deepen_factor=0.33, widen_factor=0.125),
    neck=dict(type='YOLOXPAFPN', in_channels=[32, 64, 128], out_channels=32, num_csp_blocks=1),
    bbox_head=dict(type='YOLOXHead', num_classes=1, in_channels=32, feat_channels=32),
    train_cfg=dict(assigner=dict(type='SimOTAAssigner', center_radius=2.5)),
    test_cfg=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.65)))
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=(64, 64), keep_ratio=True)]
test_pipeline = [*load, dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor'))]
dataset = dict(type='CocoDataset', data_root={root!r}, ann_file='boxes.json', data_prefix=dict(img='images/'),
               metainfo=dict(classes=('box', )), pipeline=[*load, dict(type='PackDetInputs')])
test_evaluator = dict(type='CocoMetric', ann_file={root!r} + '/boxes.json')
'''

SEGMENTATION = '''
default_scope = 'mmseg'
norm_cfg = dict(type='SyncBN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[128] * 3, std=[64] * 3, size=(64, 64), seg_pad_val=255),
    backbone=dict(type='UNet', base_channels=4, num_stages=2, strides=(1, 1), enc_num_convs=(1, 1), dec_num_convs=(1, ),
                  downsamples=(True, ), enc_dilations=(1, 1), dec_dilations=(1, ), norm_cfg=norm_cfg),
    decode_head=dict(type='FCNHead', in_channels=4, in_index=1, channels=4, num_convs=1, num_classes=2,
                     norm_cfg=norm_cfg, loss_decode=dict(type='CrossEntropyLoss')),
    test_cfg=dict(mode='whole'))
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
dataset = dict(type='BaseSegDataset', data_root={root!r}, data_prefix=dict(img_path='images', seg_map_path='masks'),
               img_suffix='.png', metainfo=dict(classes=('ground', 'box')), pipeline=test_pipeline)
test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
'''


@pytest.fixture
def world(tmp_path):
    """Four 64x64 images with a bright rectangle each, as COCO boxes and as label maps."""
    draw = np.random.default_rng(0)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'masks').mkdir()
    coco = dict(images=[], annotations=[], categories=[dict(id=1, name='box')])
    for number in range(4):
        # About where YOLOX puts a box before it has learnt anything, so that two iterations score above zero.
        x, y = (int(value) for value in draw.integers(14, 19, 2))
        wide, high = (int(value) for value in draw.integers(28, 37, 2))
        image = draw.integers(0, 90, (64, 64, 3), dtype=np.uint8)
        image[y:y + high, x:x + wide] += 140
        mask = np.zeros((64, 64), np.uint8)
        mask[y:y + high, x:x + wide] = 1
        Image.fromarray(image).save(tmp_path / 'images' / f'{number}.png')
        Image.fromarray(mask).save(tmp_path / 'masks' / f'{number}.png')
        coco['images'].append(dict(id=number, file_name=f'{number}.png', width=64, height=64))
        coco['annotations'].append(dict(id=number + 1, image_id=number, category_id=1, iscrowd=0, area=wide * high,
                                        bbox=[x, y, wide, high]))
    (tmp_path / 'boxes.json').write_text(json.dumps(coco))
    return tmp_path


@pytest.fixture
def fresh_mmengine():
    """MMEngine keeps loggers, hubs and scopes by name for the life of the process."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    managers = (DefaultScope, MMLogger, MessageHub, Visualizer)
    kept = [manager._instance_dict.copy() for manager in managers]
    yield
    for manager, instances in zip(managers, kept, strict=True):
        manager._instance_dict.clear()
        manager._instance_dict.update(instances)


def _train_and_test(world: Path, text: str) -> tuple[Path, Path, dict[str, float]]:
    """Config, checkpoint and metrics of two iterations and a test with the Runner."""
    from mmengine.config import Config
    from mmengine.runner import Runner
    file = world / 'config.py'
    file.write_text(text.format(root=str(world)) + RUNTIME)
    cfg = Config.fromfile(file)
    cfg.work_dir = str(world / 'work')
    torch.manual_seed(0)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return file, world / 'work' / 'iter_2.pth', runner.test()


def _tool(world: Path, *command: str) -> tuple[dict[str, float], str]:
    """Run a tool in a process of its own; the metrics it logged, and what it printed."""
    out = world / 'tool'
    result = subprocess.run([sys.executable, '-W', 'ignore', '-m', *command, '--work-dir', str(out)],
                            capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert result.returncode == 0, result.stderr[-3000:]
    log, = (file for file in out.glob('*/*.json'))
    return json.loads(log.read_text().splitlines()[-1]), result.stdout


@needs_mmdet
@pytest.mark.slow
def test_mmdets_own_test_tool_gives_the_runners_map(world, fresh_mmengine):
    config, checkpoint, ours = _train_and_test(world, DETECTION)
    theirs, _ = _tool(world, 'mmweather.compat', str(find_tool('mmdet', 'test')), str(config), str(checkpoint), '--out',
                      str(world / 'boxes.pkl'))
    assert ours['coco/bbox_mAP'] > 0
    assert theirs['coco/bbox_mAP'] == ours['coco/bbox_mAP']
    predictions = pickle.loads((world / 'boxes.pkl').read_bytes())
    assert [sample['img_id'] for sample in predictions] == [0, 1, 2, 3]


@needs_mmseg
@pytest.mark.slow
def test_mmsegs_own_test_tool_gives_the_runners_miou(world, fresh_mmengine):
    config, checkpoint, ours = _train_and_test(world, SEGMENTATION)
    theirs, _ = _tool(world, 'mmweather.cli', 'run', 'mmseg', 'test', str(config), str(checkpoint))
    assert 0 < ours['mIoU'] < 100
    assert {key: theirs[key] for key in ('mIoU', 'aAcc')} == {key: ours[key] for key in ('mIoU', 'aAcc')}


@needs_mmdet
@pytest.mark.skipif(not mmcv_ops.in_use(), reason='mmcv has its compiled operators')
def test_without_the_mends_the_tool_does_not_start():
    result = subprocess.run([sys.executable, '-W', 'ignore', str(find_tool('mmdet', 'test')), '--help'],
                            capture_output=True, text=True)
    assert result.returncode != 0
    assert "mmcv._ext" in result.stderr


def test_a_script_finds_its_arguments_its_neighbours_and_its_name(tmp_path):
    (tmp_path / 'neighbour.py').write_text('value = 42\n')
    (tmp_path / 'script.py').write_text(textwrap.dedent('''
        import json, sys
        import neighbour
        print(json.dumps([__name__, sys.argv, neighbour.value, 'mmweather.registry' in sys.modules]))
        raise SystemExit(3)
    '''))
    result = subprocess.run([sys.executable, '-m', 'mmweather.compat', str(tmp_path / 'script.py'), '--a', 'b'],
                            capture_output=True, text=True)
    assert result.returncode == 3
    assert json.loads(result.stdout) == ['__main__', [str(tmp_path / 'script.py'), '--a', 'b'], 42, True]


def test_running_a_script_leaves_argv_and_path_as_they_were(tmp_path):
    (tmp_path / 'script.py').write_text('import sys\nsys.path.append("left behind")\nassert sys.argv[1:] == ["x"]\n')
    before = list(sys.argv), list(sys.path)
    run_script(tmp_path / 'script.py', ['x'])
    assert (sys.argv, sys.path) == before


@needs_mmdet
def test_mistakes_are_told_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="mmdet has no tool 'tset'; it has: .*test, "):
        find_tool('mmdet', 'tset')
    assert find_tool('mmdet', 'analysis_tools/get_flops.py').name == 'get_flops.py'
    with pytest.raises(DataError, match='nowhere.py: no such script'):
        run_script(tmp_path / 'nowhere.py', [])
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(MissingToolboxError, match="'mmseg' is not installed: pip install 'mmweather"):
        find_tool('mmseg', 'test')


def test_the_command_hands_all_arguments_on(monkeypatch):
    import argparse

    from mmweather.commands import run as command
    from mmweather.compat import scripts
    calls = []
    monkeypatch.setattr(scripts, 'find_tool', lambda *names: names)
    monkeypatch.setattr(scripts, 'run_script', lambda script, arguments: calls.append((script, arguments)))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(['mmdet', 'test', '--help', 'c.py', '--cfg-options', 'a=1', '-x'])) == 0
    assert calls == [(('mmdet', 'test'), ['--help', 'c.py', '--cfg-options', 'a=1', '-x'])]

    def leave(script, arguments):
        raise SystemExit(5)

    monkeypatch.setattr(scripts, 'run_script', leave)
    assert command.run(parser.parse_args(['mmseg', 'train'])) == 5
