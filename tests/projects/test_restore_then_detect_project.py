"""The worked example: a restorer in front of mmdet's stock Faster R-CNN, trained jointly a few iterations."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.mini.write import make_mini
from mmweather.utils.checkpoint import load_checkpoint

CONFIG = (Path(__file__).parents[2]
          / 'projects/restore_then_detect/configs/nafnet_faster-rcnn_r50_fpn_joint_fog-mini.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = make_mini(tmp_path_factory.mktemp('mini'), train=4, test=1, size=(64, 96), only=['voc-fog'], progress=False)
    return root / 'voc_fog'


def small(data: Path, work: Path) -> Config:
    """The project's config with an eighth of the detector's channels."""
    pytest.importorskip('mmdet')
    pytest.importorskip('mmagic')
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir = str(work)
    for dataset in (cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset, cfg.test_dataloader.dataset):
        dataset.data_root = str(data)
    detector = cfg.model.detector
    detector.backbone.base_channels = 8
    detector.neck.update(in_channels=[32, 64, 128, 256], out_channels=16)
    detector.rpn_head.update(in_channels=16, feat_channels=16)
    detector.roi_head.bbox_roi_extractor.out_channels = 16
    detector.roi_head.bbox_head.update(in_channels=16, fc_out_channels=32)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.log_level = 'WARNING'
    return cfg


class Watch(Hook):
    """Losses of each iteration, and what validation gave."""

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []
        self.metrics: dict[str, float] = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.losses.append({name: float(value.detach()) for name, value in outputs.items() if 'loss' in name})

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.metrics = metrics


@pytest.fixture
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


def test_restorer_and_stock_detector_learn_together(data, tmp_path, on_the_cpu):
    runner = Runner.from_cfg(small(data, tmp_path))
    model = runner.model
    assert type(model.detector).__module__.startswith('mmdet.')
    assert type(model.restorer.generator).__module__.startswith('mmagic.')
    start = {name: value.clone() for name, value in model.named_parameters()}
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert [set(losses) for losses in watch.losses] == [
        {'loss', 'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_restoration'}] * 2
    assert all(math.isfinite(value) for losses in watch.losses for value in losses.values())
    assert all(losses['loss_restoration'] > 0 for losses in watch.losses)
    moved = {name.split('.')[0] for name, value in model.named_parameters() if not torch.equal(value, start[name])}
    assert moved == {'detector', 'restorer'}
    assert 0 <= watch.metrics['pascal_voc/mAP'] <= 1
    saved = load_checkpoint(tmp_path / 'iter_2.pth')['state_dict']
    assert {name.split('.')[0] for name in saved} >= {'detector', 'restorer'}


def test_the_boxes_alone_train_the_restorer_too(data, tmp_path, on_the_cpu):
    cfg = small(data, tmp_path)
    cfg.model.restoration_loss = None
    runner = Runner.from_cfg(cfg)
    batch = next(iter(runner.build_dataloader(cfg.train_dataloader)))
    batch = runner.model.data_preprocessor(batch, training=True)
    losses = runner.model(**batch, mode='loss')
    assert 'loss_restoration' not in losses
    runner.model.parse_losses(losses)[0].backward()
    gradients = [parameter.grad for parameter in runner.model.restorer.generator.parameters()]
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)
