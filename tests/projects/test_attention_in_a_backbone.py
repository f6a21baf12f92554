"""The worked example: the attention as a plugin of stock mmdet and mmseg backbones, trained a few iterations."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, load_checkpoint

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.errors import DataError
from mmweather.mini.scene import BOX_CLASSES, LABELS
from mmweather.models.aca_crnet.attention import AttentiveContextualAttention
from mmweather.utils.images import read_image

PROJECT = Path(__file__).parents[2] / 'projects' / 'attention_in_a_backbone'
CONFIGS = {
    'mmdet': PROJECT / 'configs' / 'aca-plugin_faster-rcnn_r50_fpn_streets.py',
    'mmseg': PROJECT / 'configs' / 'aca-plugin_fcn_r50-d8_streets.py',
}
SIZE = (64, 96)


@pytest.fixture(scope='module')
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location('draw_streets', PROJECT / 'draw_streets.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def streets(script, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('streets')
    script.draw(out, (4, 2), SIZE)
    return out


@pytest.fixture
def fresh_mmengine():
    """MMEngine keeps loggers, hubs and scopes by name for the life of the process."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.visualization import Visualizer
    managers = (DefaultScope, MMLogger, MessageHub, Visualizer)
    kept = [manager._instance_dict.copy() for manager in managers]
    yield
    for manager, instances in zip(managers, kept, strict=True):
        manager._instance_dict.clear()
        manager._instance_dict.update(instances)


class Watch(Hook):
    """Losses, the size of the plugins' gradients (the optimizer drops them), and what validation gave."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.gradients: dict[str, list[float]] = {}
        self.metrics: dict[str, float] = {}

    def before_train(self, runner) -> None:
        for i, layer in enumerate(plugins(runner.model)):
            for name, parameter in layer.named_parameters():
                sizes = self.gradients.setdefault(f'{i}.{name}', [])
                parameter.register_post_accumulate_grad_hook(
                    lambda p, sizes=sizes: sizes.append(float(p.grad.abs().max())))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append(outputs['loss'].item())

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.metrics = metrics


def small(toolbox: str, streets: Path, work: Path) -> Config:
    """The project's config with an eighth of the channels; the plugin is left as it stands."""
    pytest.importorskip(toolbox)
    cfg = Config.fromfile(CONFIGS[toolbox])
    cfg.work_dir = str(work)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(streets) + '/'
    model = cfg.model
    model.backbone.base_channels = 8
    if toolbox == 'mmdet':
        cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = str(streets / 'boxes_val.json')
        model.neck.update(in_channels=[32, 64, 128, 256], out_channels=16)
        model.rpn_head.update(in_channels=16, feat_channels=16)
        model.roi_head.bbox_roi_extractor.out_channels = 16
        model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=32)
    else:
        model.data_preprocessor.size = SIZE
        model.backbone.stem_channels = 8
        model.decode_head.update(in_channels=256, channels=16)
        model.auxiliary_head.update(in_channels=128, channels=16)
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    cfg.default_hooks.checkpoint.interval = 4
    cfg.log_level = 'WARNING'
    return cfg


def plugins(model: torch.nn.Module) -> list[AttentiveContextualAttention]:
    return [layer for layer in model.modules() if isinstance(layer, AttentiveContextualAttention)]


@pytest.mark.parametrize('toolbox', CONFIGS)
def test_the_plugin_learns_inside_a_stock_model(toolbox, streets, tmp_path, fresh_mmengine):
    cfg = small(toolbox, streets, tmp_path)
    runner = Runner.from_cfg(cfg)
    layers = plugins(runner.model.backbone)
    # One in each of the six blocks of the third stage; nobody wrote the number of channels down.
    assert [layer.query.in_channels for layer in layers] == [32] * 6
    assert 'in_channels' not in cfg.model.backbone.plugins[0].cfg
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert len(watch.losses) == 4
    assert all(math.isfinite(loss) for loss in watch.losses)
    assert watch.metrics
    assert all(math.isfinite(value) for value in watch.metrics.values())
    assert len(watch.gradients) == sum(len(list(layer.parameters())) for layer in layers)
    for name, sizes in watch.gradients.items():
        assert len(sizes) == 4, name
        assert all(math.isfinite(size) for size in sizes), name
        assert sizes[-1] > 0, name
    # They started at zero, as the identity.
    assert all(layer.linear[0].weight.abs().max() > 0 for layer in layers)

    again = Runner.from_cfg({**cfg, 'experiment_name': 'again', 'work_dir': str(tmp_path / 'again')})
    load_checkpoint(again.model, str(tmp_path / 'iter_4.pth'), strict=True)
    x = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        found, wanted = (model.eval().backbone(x) for model in (again.model, runner.model))
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('toolbox', CONFIGS)
def test_the_backbones_own_initialisation_leaves_the_plugins_weights_alone(toolbox, streets, tmp_path, fresh_mmengine):
    cfg = small(toolbox, streets, tmp_path)
    torch.manual_seed(0)
    model = Runner.from_cfg(cfg).model
    model.init_weights()
    for layer in plugins(model):
        assert layer.linear[0].weight.abs().max() == 0
        # Kaiming-uniform; the backbone's normal distribution goes beyond this bound.
        bound = math.sqrt(6 / layer.query.in_channels)
        assert 0.9 * bound < layer.query.weight.abs().max() <= bound


def test_the_drawn_set_is_what_both_toolboxes_expect(streets):
    coco = json.loads((streets / 'boxes_train.json').read_text(encoding='utf-8'))
    assert [category['name'] for category in coco['categories']] == list(BOX_CLASSES)
    assert [image['file_name'] for image in coco['images']] == [f'{i:03d}.png' for i in range(4)]
    assert coco['annotations']
    for box in coco['annotations']:
        x, y, wide, high = box['bbox']
        assert min(x, y) >= 0 and x + wide <= SIZE[1] and y + high <= SIZE[0]
        label = read_image(streets / 'labels' / 'train' / f'{box["image_id"]:03d}.png')[..., 0]
        inside = label[int(y):int(y + high), int(x):int(x + wide)]
        assert (inside == LABELS.index(BOX_CLASSES[box['category_id'] - 1])).any()
        assert label.max() < len(LABELS)
    assert Config.fromfile(CONFIGS['mmseg']).classes == LABELS
    assert tuple(Config.fromfile(CONFIGS['mmdet']).metainfo.classes) == BOX_CLASSES


def test_pictures_do_not_depend_on_how_many_are_drawn(script, streets, tmp_path):
    script.draw(tmp_path, (2, 1), SIZE)
    for name in ('images/train/001.png', 'labels/val/000.png'):
        assert (tmp_path / name).read_bytes() == (streets / name).read_bytes()


@pytest.mark.parametrize('mistake', [dict(size=(16, 96)), dict(counts=(0, 1)), dict(seed=-1)], ids=str)
def test_mistakes_are_told_in_one_line(script, tmp_path, mistake):
    with pytest.raises(DataError, match='are needed'):
        script.draw(tmp_path, **mistake)
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='choose another folder'):
        script.draw(tmp_path / 'file', (1, 1), SIZE)
