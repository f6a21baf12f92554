"""Stored certainty goes the way of the label map: loaded, moved, packed, padded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.structures import PixelData
from PIL import Image

from mmweather.datasets.transforms.teacher_labels import LoadCertainty, PackTeacherLabels
from mmweather.errors import DataError
from mmweather.models.preprocessors.rgb_thermal import RGBThermalPreprocessor
from mmweather.registry import TRANSFORMS


@pytest.fixture
def sample(tmp_path):
    """A label map and a certainty of the same numbers, so that a transform must move both alike."""
    numbers = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(numbers).save(tmp_path / 'c.png')
    return {'img': np.zeros((6, 8, 4), np.float32), 'gt_seg_map': numbers.copy(), 'seg_fields': ['gt_seg_map'],
            'certainty_path': str(tmp_path / 'c.png')}


def test_geometry_moves_certainty_and_labels_alike(sample):
    np.random.seed(3)
    steps = [TRANSFORMS.build(step) for step in (
        dict(type='mmseg.RandomCrop', crop_size=(4, 5)), dict(type='mmseg.RandomFlip', prob=1.),
        dict(type='mmseg.Resize', scale=(10, 8), keep_ratio=False))]
    packed = Compose([LoadCertainty(), *steps, PackTeacherLabels(meta_keys=())])(sample)['data_samples']
    assert packed.certainty.dtype == torch.float32 and packed.certainty.shape == (8, 10)
    torch.testing.assert_close(packed.certainty * 255, packed.gt_sem_seg.data[0].float())


def test_what_rotation_leaves_empty_is_ignored_and_confuses_nobody(sample):
    sample['gt_seg_map'][:] = 3
    rotate = TRANSFORMS.build(dict(type='mmseg.RandomRotate', prob=1., degree=(30, 30), seg_pad_val=255))
    packed = Compose([LoadCertainty(), rotate, PackTeacherLabels(meta_keys=())])(sample)['data_samples']
    empty = packed.gt_sem_seg.data[0] == 255
    assert empty.any() and (packed.certainty[empty] == 1).all()


def test_samples_without_certainty_pass(sample):
    del sample['certainty_path']
    assert 'certainty' not in PackTeacherLabels(meta_keys=())(LoadCertainty()(sample))['data_samples']


def test_another_size_or_no_file_is_told(sample, tmp_path):
    with pytest.raises(DataError, match='is 8x6 but its image is 4x6'):
        LoadCertainty()({**sample, 'img': sample['img'][:, :4]})
    with pytest.raises(DataError, match='no such image'):
        LoadCertainty()({**sample, 'certainty_path': str(tmp_path / 'none.png')})


def test_padding_is_not_certain(sample):
    first, second = (PackTeacherLabels(meta_keys=())(LoadCertainty()(dict(sample, seg_fields=['gt_seg_map'])))
                     for _ in range(2))
    second['inputs'] = torch.zeros(4, 8, 9)
    second['data_samples'].gt_sem_seg = PixelData(data=torch.zeros(1, 8, 9, dtype=torch.long))
    del second['data_samples'].certainty
    batch = {'inputs': [first['inputs'], second['inputs']],
             'data_samples': [first['data_samples'], second['data_samples']]}
    padded = RGBThermalPreprocessor(size=(8, 9))(batch, training=True)['data_samples'][0]
    assert padded.certainty.shape == (8, 9) == padded.gt_sem_seg.data.shape[1:]
    assert (padded.certainty[6:] == 0).all() and (padded.certainty[:, 8] == 0).all()
    torch.testing.assert_close(padded.certainty[:6, :8] * 255, torch.arange(48.).reshape(6, 8))
