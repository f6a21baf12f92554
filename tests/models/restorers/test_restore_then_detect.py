"""A restorer in front of a stock mmdet detector: conversion, freezing, gradients, sizes, checkpoints."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

from mmweather.errors import CheckpointError, ConfigError
from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS
from mmweather.utils.checkpoint import load_checkpoint, save_state_dict

ROOT = Path(__file__).parents[3]


@MODELS.register_module(force=True)
class HalfLight(nn.Module):
    """out = gain * img, so that what the detector sees is known; notes its input."""

    inference_contract = InferenceContract(multiple_of=16, minimum=16)

    def __init__(self, gain: float = 0.5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, img: torch.Tensor) -> torch.Tensor:
        self.seen = img.detach()
        return img * self.gain


@MODELS.register_module(force=True)
class Two(nn.Module):
    inference_contract = InferenceContract(inputs=('img', 'ir'))


def detector(**preprocessor) -> dict:
    return dict(
        type='mmdet.RetinaNet', _scope_='mmdet',
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32, **preprocessor),
        backbone=dict(type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.125, out_indices=(3, 4)),
        neck=dict(type='mmdet.FPN', in_channels=[64, 128], out_channels=16, num_outs=2),
        bbox_head=dict(
            type='mmdet.RetinaHead', num_classes=2, in_channels=16, stacked_convs=1, feat_channels=16,
            anchor_generator=dict(type='mmdet.AnchorGenerator', octave_base_scale=4, scales_per_octave=1,
                                  ratios=[1.0], strides=[16, 32]),
            bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='mmdet.L1Loss')),
        train_cfg=dict(
            assigner=dict(type='mmdet.MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
            sampler=dict(type='mmdet.PseudoSampler'), allowed_border=-1, pos_weight=-1, debug=False),
        test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10))


IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


def build(preprocessor=IMAGENET, **options):
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmweather.RestoreThenDetect', detector=detector(**preprocessor),
                             restorer=dict(type='mmweather.HalfLight'), **options))


def batch(height: int = 40, width: int = 57) -> dict:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    sample = DetDataSample(metainfo=dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1., 1.)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[4., 4., 30., 30.]]), labels=torch.tensor([1]))
    return {'inputs': [image], 'data_samples': [sample]}


@pytest.mark.parametrize('preprocessor', [IMAGENET, dict(IMAGENET, bgr_to_rgb=False), {}])
def test_the_restorer_sees_rgb_between_zero_and_one_and_the_detector_its_own_values(preprocessor):
    model = build(preprocessor)
    data = batch()
    rgb = data['inputs'][0].flip(0).float() / 255
    ready = model.data_preprocessor(data)
    taken = []
    model.detector.backbone.register_forward_pre_hook(lambda _, args: taken.append(args[0]))
    model.eval().predict(ready['inputs'], ready['data_samples'])
    assert torch.allclose(model.restorer.seen[0, :, :40, :57], rgb, atol=1e-5)
    back = model.to_unit_rgb(taken[0])
    assert torch.allclose(back[0, :, :40, :57], rgb / 2, atol=1e-5)


def test_joint_training_reaches_the_restorer_and_a_frozen_one_is_left():
    for frozen in (True, False):
        model = build(frozen=frozen).train()
        ready = model.data_preprocessor(batch(), training=True)
        loss, _ = model.parse_losses(model.loss(ready['inputs'], ready['data_samples']))
        loss.backward()
        assert model.detector.bbox_head.retina_cls.weight.grad.abs().sum() > 0
        assert model.restorer.training is not frozen
        gradient = model.restorer.gain.grad
        assert gradient is None if frozen else gradient.abs() > 0


def test_the_restoration_loss_counts_paired_samples_only():
    model = build(frozen=False, restoration_loss=dict(type='mmdet.L1Loss'))
    data = batch()
    ready = model.data_preprocessor({'inputs': data['inputs'] * 2, 'data_samples': [*data['data_samples'], batch()[
        'data_samples'][0]]}, training=True)
    inputs, samples = ready['inputs'], ready['data_samples']
    assert model.loss(inputs, samples)['loss_restoration'] == 0
    samples[1].clean_img = inputs[1].clone()
    expected = (model.to_unit_rgb(inputs[1:]) / 2).mean()  # |half - whole|
    assert torch.isclose(model.loss(inputs, samples)['loss_restoration'], expected, rtol=1e-4)


def test_restored_images_come_without_the_padding():
    model = build(return_restored=True).eval()
    data = batch(33, 1)
    ready = model.data_preprocessor(data)
    sample = model.predict(ready['inputs'], ready['data_samples'])[0]
    assert sample.restored_img.shape == (3, 33, 1) and sample.restored_img.dtype == torch.uint8
    difference = sample.restored_img.float() - data['inputs'][0].flip(0).float() / 2
    assert difference.abs().max() <= 1
    boxes = sample.pred_instances.bboxes
    assert 0 < len(boxes) <= 10 and boxes[:, 2].max() <= 1 and boxes[:, 3].max() <= 33


def test_checkpoints_of_the_parts_win_over_initialisation(tmp_path):
    source = build()
    with torch.no_grad():
        source.restorer.gain.fill_(0.25)
    save_state_dict(tmp_path / 'detector.pth', source.detector.state_dict())
    save_state_dict(tmp_path / 'restorer.pth', source.restorer.state_dict())
    torch.manual_seed(7)
    model = MODELS.build(dict(
        type='mmweather.RestoreThenDetect', detector=detector(**IMAGENET), restorer=dict(type='mmweather.HalfLight'),
        detector_checkpoint=str(tmp_path / 'detector.pth'), restorer_checkpoint=str(tmp_path / 'restorer.pth')))
    model.init_weights()
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    with pytest.raises(CheckpointError, match='restorer.pth'):
        build(detector_checkpoint=str(tmp_path / 'restorer.pth'))


def test_what_cannot_work_is_said_in_one_line():
    with pytest.raises(ConfigError, match='frozen=False'):
        build(restoration_loss=dict(type='mmdet.L1Loss'))
    with pytest.raises(ConfigError, match='Two takes img, ir'):
        MODELS.build(dict(type='mmweather.RestoreThenDetect', detector=detector(), restorer=dict(type='mmweather.Two')))


def test_parts_trained_apart_are_joined_for_the_test_tool(tmp_path):
    source = build()
    with torch.no_grad():
        source.restorer.gain.fill_(0.25)
    # A restorer's checkpoint holds its network as `generator.`; the prefix goes.
    save_state_dict(tmp_path / 'r.pth', {f'generator.{k}': v for k, v in source.restorer.state_dict().items()})
    save_state_dict(tmp_path / 'd.pth', source.detector.state_dict())
    config = Config(dict(model=dict(type='mmweather.RestoreThenDetect', detector=detector(**IMAGENET),
                                    restorer=dict(type='mmweather.HalfLight')), default_scope='mmweather'))
    config.dump(tmp_path / 'config.py')
    module = runpy.run_path(str(ROOT / 'tools/model_converters/join_parts.py'))
    module['join'](tmp_path / 'config.py', [f'detector={tmp_path / "d.pth"}', f'restorer={tmp_path / "r.pth"}'],
                   tmp_path / 'joined.pth')
    joined = load_checkpoint(tmp_path / 'joined.pth')['state_dict']
    assert all(torch.equal(joined[key], value) for key, value in source.state_dict().items())
    with pytest.raises(ConfigError, match='head'):
        module['join'](tmp_path / 'config.py', [f'head={tmp_path / "d.pth"}'], tmp_path / 'x.pth')
    assert not (tmp_path / 'x.pth').exists()
