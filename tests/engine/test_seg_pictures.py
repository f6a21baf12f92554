"""Pictures of segmentations: parts, colours, sizes; what has no colour or no label."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmweather.engine.hooks.seg_pictures import SegPicturesHook, visible_and_thermal
from mmweather.errors import ConfigError
from mmweather.utils.images import read_image

PALETTE = [(200, 0, 0), (0, 100, 0)]


def sample(classes, label=None, **meta):
    result = SegDataSample(metainfo=dict(img_path='drive/a.png', **meta))
    result.pred_sem_seg = PixelData(data=torch.as_tensor(classes)[None])
    if label is not None:
        result.gt_sem_seg = PixelData(data=torch.as_tensor(label)[None])
    return result


def image(size=(6, 8)):
    """RGB of 10, 20 and 30, thermal counts of 22000 at the left and 24000 at the right."""
    picture = torch.tensor([10., 20., 30., 22000.])[:, None, None].repeat(1, *size)
    picture[3, :, size[1] // 2:] = 24000
    return picture


def run(tmp_path, samples, images, **options):
    hook = SegPicturesHook(**{'draw': True, 'test_out_dir': str(tmp_path), **options})
    runner = SimpleNamespace(
        model=SimpleNamespace(data_preprocessor=SimpleNamespace(thermal_range=(22000, 24000))),
        visualizer=SimpleNamespace(dataset_meta=dict(palette=PALETTE)))
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, {'inputs': images}, samples)


def test_four_parts_or_three(tmp_path):
    classes = np.zeros((6, 8), int)
    classes[3:] = 1
    label = np.full((6, 8), 255)
    label[0] = 1
    run(tmp_path, [sample(classes, label, sample_key='day/7'), sample(classes)], [image(), image()])
    whole = read_image(tmp_path / 'day_7.png')
    rgb, thermal, predicted, wanted = (whole[:, i * 12:i * 12 + 8] for i in range(4))
    assert whole.shape == (6, 4 * 8 + 3 * 4, 3) and (rgb == (10, 20, 30)).all()
    assert (thermal[:, :4] == 0).all() and (thermal[:, 4:] == 255).all()
    assert (predicted[:3] == (105, 10, 15)).all() and (predicted[3:] == (5, 60, 15)).all()
    assert (wanted[0] == (5, 60, 15)).all() and (wanted[1:] == (10, 20, 30)).all()  # ignored: as it is
    assert read_image(tmp_path / 'a.png').shape == (6, 3 * 8 + 2 * 4, 3)


def test_the_parts_take_the_size_of_the_prediction(tmp_path):
    run(tmp_path, [sample(np.ones((12, 16), int), np.ones((6, 8), int))], [image()])
    assert read_image(tmp_path / 'a.png').shape == (12, 4 * 16 + 3 * 4, 3)


def test_other_inputs_than_four_channels():
    blue_first = torch.tensor([1., 2., 3.])[:, None, None].repeat(1, 2, 2)
    (picture, ) = visible_and_thermal(blue_first)
    assert (picture == (3, 2, 1)).all()
    (thermal, ) = visible_and_thermal(torch.tensor([[[5., 7.], [6., 5.]]]))
    assert thermal[..., 0].tolist() == [[0, 255], [128, 0]]
    (flat, ) = visible_and_thermal(torch.full((1, 2, 2), 9.))
    assert (flat == 0).all()


def test_classes_of_the_network_become_those_of_the_data_set(tmp_path):
    run(tmp_path, [sample(np.full((6, 8), 4))], [image()], prediction_map=(0, 0, 0, 0, 1), alpha=1.)
    assert (read_image(tmp_path / 'a.png')[:, 24:32] == PALETTE[1]).all()
    with pytest.raises(ConfigError, match='class 4 has no colour, the data set has 2.*prediction_map'):
        run(tmp_path, [sample(np.full((6, 8), 4))], [image()])


def test_it_draws_on_demand_only(tmp_path):
    run(tmp_path, [sample(np.zeros((6, 8), int))], [image()], draw=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match='alpha must be in'):
        SegPicturesHook(alpha=2)
