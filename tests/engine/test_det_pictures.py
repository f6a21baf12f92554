"""Detections are drawn on the image and on the restored image, where there is one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmweather.engine.hooks.det_pictures import RestoredDetVisualizationHook
from mmweather.utils.images import read_image, write_image


@pytest.fixture
def sample(tmp_path):
    write_image(tmp_path / 'foggy.png', np.full((40, 60, 3), 90, np.uint8))
    found = DetDataSample(metainfo=dict(img_path=str(tmp_path / 'foggy.png'), ori_shape=(40, 60)))
    found.pred_instances = InstanceData(bboxes=torch.tensor([[10., 8., 40., 30.]]), labels=torch.tensor([0]),
                                        scores=torch.tensor([0.9]))
    return found


def draw(sample, tmp_path, monkeypatch):
    visualizer = DetLocalVisualizer(name='det-pictures-test')
    visualizer.dataset_meta = dict(classes=('car', ), palette=[(255, 0, 0)])
    monkeypatch.setattr('mmengine.visualization.Visualizer.get_current_instance', lambda: visualizer)
    hook = RestoredDetVisualizationHook(draw=True, test_out_dir='pictures')
    hook.after_test_iter(SimpleNamespace(work_dir=str(tmp_path), timestamp='now', iter=0), 0, {}, [sample])
    return tmp_path / 'now/pictures'


def test_both_pictures_carry_the_boxes(sample, tmp_path, monkeypatch):
    sample.restored_img = torch.full((3, 40, 60), 200, dtype=torch.uint8)
    folder = draw(sample, tmp_path, monkeypatch)
    restored = read_image(folder / 'restored/foggy.png')
    assert restored.shape == (40, 60, 3)
    assert (restored[2, 55] == 200).all()
    assert (np.abs(restored.astype(int) - 200).max(-1) > 40).sum() > 50  # a box
    assert (read_image(folder / 'foggy.png')[2, 55] == 90).all()


def test_without_a_restored_image_there_is_one_picture(sample, tmp_path, monkeypatch):
    folder = draw(sample, tmp_path, monkeypatch)
    assert (folder / 'foggy.png').is_file() and not (folder / 'restored').exists()
