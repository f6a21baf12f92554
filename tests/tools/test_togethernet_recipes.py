"""TogetherNet's recipes: trained on the mini set, evaluated by our tool and by mmdet's, mistakes, published mAP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

pytest.importorskip('mmdet', reason='the recipes are mmdet detectors')

from mmengine.registry import DefaultScope  # noqa: E402

from mmweather.engine import runner as tool  # noqa: E402
from mmweather.errors import ConfigError  # noqa: E402
from mmweather.models.togethernet.detector import ARCHITECTURES  # noqa: E402
from mmweather.registry import DATASETS, METRICS, MODELS  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint, save_state_dict  # noqa: E402
from mmweather.utils.voc import VOCObject, format_voc  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs/togethernet'
GOLDEN = ROOT / 'tests' / 'parity' / 'vectors' / 'togethernet'
MINI = CONFIGS / 'togethernet_tiny_1xb4-20e_mini.py'

# Every picture holds boxes of 32x32 around the points where a detector that has learnt nothing puts its own.
BOXES = {'a': [(48, 48, 80, 80)], 'b': [(16, 48, 48, 80), (80, 80, 112, 112)], 'c': [(48, 80, 80, 112)],
         'd': [(80, 16, 112, 48)]}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('voc_fog')
    draw = np.random.default_rng(0)
    for split, foggy in (('train', 'VOC2007-FOG'), ('test', 'VOCtest-FOG')):
        for folder in ('Annotations', 'JPEGImages', foggy):
            (root / split / folder).mkdir(parents=True)
        for stem, boxes in BOXES.items():
            clean = draw.integers(0, 90, (128, 128, 3), dtype=np.uint8)
            for x1, y1, x2, y2 in boxes:
                clean[y1:y2, x1:x2] += 140
            Image.fromarray(clean).save(root / split / 'JPEGImages' / f'{stem}.png')
            Image.fromarray((clean // 2 + 100).astype(np.uint8)).save(root / split / foggy / f'{stem}.png')
            text = format_voc(f'{stem}.png', (128, 128), [VOCObject('person', box) for box in boxes])
            (root / split / 'Annotations' / f'{stem}.xml').write_bytes(text)
    return root


def small(data: Path, path: Path, base: Path = MINI, **more) -> Path:
    """A recipe on the little set, as a config file."""
    config = Config.fromfile(base)
    config.model.update(arch=(0.33, 0.125), **more.pop('model', {}))
    config.train_dataloader.batch_size = 2
    dataset = config.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.update(data_root=str(data), part=None)
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.dataset.update(data_root=str(data), split='test', part=None)
        loader.dataset.pipeline[1].size = 128
        # CocoMetric reads the boxes there where it is given no file.
        loader.dataset.pipeline[-1].meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
                                                 'pad_param', 'instances')
    for key, value in more.items():
        config[key] = value
    config.dump(path)
    return path


def arguments(parser, *words: object):
    return parser.parse_args([str(word) for word in words])


def run(*command: object) -> None:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=240,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def logged(folder: Path) -> dict[str, float]:
    log, = folder.glob('*/*.json')
    return json.loads(log.read_text().splitlines()[-1])


@pytest.mark.slow
def test_mmdets_own_test_tool_gives_our_numbers(data, tmp_path):
    evaluators = [dict(type='mmdet.VOCMetric', metric='mAP', eval_mode='area'),
                  dict(type='mmdet.CocoMetric', metric='bbox')]
    config = small(data, tmp_path / 'recipe.py', test_evaluator=evaluators)
    with DefaultScope.overwrite_default_scope('mmweather'):
        torch.manual_seed(0)
        detector = MODELS.build(Config.fromfile(config).model)
    # It has learnt nothing, but sees people everywhere, in boxes as large as the strides.
    head = detector.bbox_head
    for objectness, classes, boxes in zip(head.multi_level_conv_obj, head.multi_level_conv_cls,
                                          head.multi_level_conv_reg, strict=True):
        for part, scale in ((objectness, 0.1), (classes, 0.1), (boxes, 0.0)):
            part.weight.data *= scale
            part.bias.data *= 0
        classes.bias.data[0] = 9
    save_state_dict(tmp_path / 'weights.pth', detector.state_dict())
    ours = tool.test(arguments(tool.test_parser(), config, tmp_path / 'weights.pth', '--work-dir', tmp_path / 'ours'))
    run('-m', 'mmweather.cli', 'run', 'mmdet', 'test', config, tmp_path / 'weights.pth', '--work-dir',
        tmp_path / 'theirs')
    theirs = logged(tmp_path / 'theirs')
    compared = {key for key in ours if key.startswith(('pascal_voc/', 'coco/'))}
    assert {'pascal_voc/mAP', 'pascal_voc/AP50', 'coco/bbox_mAP', 'coco/bbox_mAP_50'} <= compared
    assert {key: theirs[key] for key in compared} == {key: float(ours[key]) for key in compared}
    assert 0 < ours['pascal_voc/mAP'] < 1 and ours['coco/bbox_mAP_50'] > 0


@pytest.mark.slow
def test_the_mosaic_recipe_switches_and_averages(data, tmp_path):
    config = small(data, tmp_path / 'recipe.py', CONFIGS / 'togethernet_tiny_1xb4-mosaic-20e_mini.py')
    tool.train(arguments(
        tool.train_parser(), config, '--work-dir', tmp_path / 'work', '--cfg-options', 'train_cfg.max_epochs=2',
        'train_cfg.val_interval=2', 'param_scheduler.0.end=2', 'param_scheduler.0.constant=0.5',
        'custom_hooks.4.num_last_epochs=1', 'default_hooks.checkpoint.interval=1', 'default_hooks.logger.interval=1'))
    log, = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    with_l1 = {line['epoch']: 'loss_l1' in line for line in lines if 'loss' in line}
    # MMEngine's hook begins one epoch before the last ones.
    assert set(with_l1) == {1, 2} and with_l1[2]
    assert all(np.isfinite(line['loss_restoration']) and line['loss_restoration'] > 0 for line in lines
               if 'loss' in line)
    from mmengine.runner.checkpoint import _load_checkpoint
    saved = _load_checkpoint(str(tmp_path / 'work/epoch_2.pth'), 'cpu')
    name = 'restoration_head.conv_1.0.weight'
    assert not torch.equal(saved['state_dict'][name], saved['ema_state_dict'][f'module.{name}'])


def test_a_wrong_number_of_classes_is_one_line(data, tmp_path):
    config = small(data, tmp_path / 'recipe.py', model=dict(num_classes=3))
    with pytest.raises(ConfigError) as error:
        tool.train(arguments(tool.train_parser(), config, '--work-dir', tmp_path / 'work'))
    assert str(error.value) == (
        'train_dataloader: the data set has 5 classes (person, bicycle, car, motorbike, bus), model.bbox_head has '
        'num_classes=3: set model.num_classes=5 where the model has that key, or model.bbox_head.num_classes')


RECIPES = sorted(path for path in CONFIGS.glob('*.py') if path.stem.endswith(('mini', 'voc-fog', 'published')))
REDUCED = sorted(path for path in CONFIGS.glob('*.py') if path not in RECIPES and '-p_' not in path.stem)


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds(path):
    config = Config.fromfile(path)
    name = path.stem.split('_')[1]
    with DefaultScope.overwrite_default_scope('mmweather'), torch.device('meta'):
        detector = MODELS.build(config.model)
    if 'mini' not in path.stem:
        _, width = ARCHITECTURES[name]
        assert detector.restoration_head.conv_1[0].in_channels == int(1024 * width)
        assert (detector.start_from or '').count(f'/yolox_{name}_8x8_300e_coco/') == (
            0 if name == 'm' or 'published' in path.stem else 1)
    assert any(p.requires_grad is False for p in detector.parameters()) == ('published' in path.stem)
    assert {'type': 'mmweather.ClassCountHook'} in [dict(hook) for hook in config.custom_hooks]


@pytest.mark.parametrize('path', [path for path in REDUCED if '-nano_' not in path.stem], ids=lambda path: path.stem)
def test_reduced_runs_compare_like_with_like(path):
    config = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope('mmweather'), torch.device('meta'):
        model = MODELS.build(config.model)
    data = 'street' if 'street' in path.stem else 'raccoon'
    assert data in str(config.test_dataloader.dataset.data_root)
    if 'nafnet-s_1xb8' in path.stem:
        assert config.train_cfg.max_iters == 400 and config.train_dataloader.batch_size == 8
        return
    assert config.train_cfg.max_epochs == 40 and config.train_dataloader.batch_size == 8
    assert config.optim_wrapper.optimizer == dict(type='mmengine.AdamW', lr=1e-3, weight_decay=0.05)
    detector = getattr(model, 'detector', model)
    assert detector.bbox_head.num_classes == len(config.test_dataloader.dataset.metainfo.classes)
    assert detector.backbone.stage4[-1].final_conv.conv.out_channels == 256  # a quarter of the widths
    weather = config.train_dataloader.dataset.dataset.get('weather', 'fog')
    assert weather == ('clear' if path.stem.endswith('clear') or 'nafnet' in path.stem else 'fog')


@pytest.mark.parametrize('path', [path for path in sorted(CONFIGS.glob('*street*.py'))
                                  if not path.stem.startswith(('nafnet-s_1xb8', 'togethernet-nano_'))],
                         ids=lambda path: path.stem)
def test_street_recipes_read_the_mini_set(path, data):
    config = Config.fromfile(path)
    sizes = []
    for name in ('train_dataloader', 'val_dataloader'):
        dataset = config[name].dataset
        dataset = dataset.dataset if name[:5] == 'train' else dataset
        parts = [part for part in dataset.get('datasets', [dataset]) if 'street' in part.data_root]
        for part in parts:
            part.data_root = str(data)
            sizes.append(len(DATASETS.build(part)))
    assert len(sizes) >= 2 and sizes[-1] >= 1
    assert sizes[0] + sizes[-1] == len(list((data / 'train/JPEGImages').iterdir()))


def test_mmdet_has_no_weights_of_some_widths():
    from mmweather.models.togethernet.start import mmdet_checkpoint
    for arch in ('m', (0.33, 0.25)):
        with pytest.raises(ConfigError, match='mmdet publishes YOLOX tiny, s, l, x'):
            mmdet_checkpoint(arch)


def test_the_published_map_is_that_of_the_recipes_evaluator():
    facts = json.loads((GOLDEN / 'golden_eval.json').read_text())
    config = Config.fromfile(CONFIGS / 'togethernet_s_1xb16-100e_voc-fog.py')
    metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = dict(classes=facts['classes'], dataset_type='voc_fog')

    def table(rows, order):
        rows = [[facts['classes'].index(row[0]), *row[1:]] for row in rows]
        return torch.tensor([order(row) for row in rows], dtype=torch.float64)

    for image in facts['images']:
        easy, hard = ([row for row in image['gt'] if bool(row[5]) == wanted] for wanted in (False, True))
        sample = {}
        for name, rows in (('gt_instances', easy), ('ignored_instances', hard)):
            values = table(rows, lambda row: row[:5]).reshape(-1, 5)
            sample[name] = dict(labels=values[:, 0].long(), bboxes=values[:, 1:])
        found = table(image['det'], lambda row: row).reshape(-1, 6)
        sample['pred_instances'] = dict(labels=found[:, 0].long(), scores=found[:, 1], bboxes=found[:, 2:])
        metric.process({}, [sample])
    result = metric.evaluate(len(facts['images']))
    assert 100 * result['pascal_voc/mAP'] == pytest.approx(facts['map_percent'], abs=0.01)


def test_a_converted_checkpoint_fits_the_recipe(tmp_path, monkeypatch):
    """`mmweather convert togethernet/... IN OUT`, then a strict load into the recipe's detector."""
    from mmweather import cli, get_model
    layout = json.loads((GOLDEN / 'layout_togethernet_s_nc5.json').read_text())
    draw = torch.Generator().manual_seed(0)
    state = {key: torch.rand(shape, generator=draw) if shape else torch.tensor(3) for key, shape in layout.items()}
    torch.save(state, tmp_path / 'ep100-loss1.000-val_loss1.000.pth')
    status = cli.main(['convert', 'togethernet/togethernet_s_nc5', str(tmp_path / 'ep100-loss1.000-val_loss1.000.pth'),
                       str(tmp_path / 'ours.safetensors')])
    assert not status
    detector = get_model('togethernet_s_1xb16-100e_voc-fog', tmp_path / 'ours.safetensors')
    assert torch.equal(detector.restoration_head.conv_4[1].bias, state['backbone.decoder.conv_4.1.bias'])
    assert torch.equal(detector.bbox_head.multi_level_conv_obj[1].weight, state['head.obj_preds.1.weight'])
    assert len(load_checkpoint(tmp_path / 'ours.safetensors')) == len(layout) - 2  # two predictors are joined
