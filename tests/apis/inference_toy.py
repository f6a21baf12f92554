"""A detector and a segmentor whose answers are read from the pixels, and small stock models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmengine.structures import InstanceData
from mmseg.models.segmentors import BaseSegmentor

from mmweather.registry import MODELS

PIPELINE = """
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale={scale}, keep_ratio=True),
    dict(type='LoadAnnotations'{annotations}),
    dict(type='{pack}'),
]
test_dataloader = dict(dataset=dict(type='{data}', metainfo={meta}, pipeline=test_pipeline))
"""


@MODELS.register_module(force=True)
class RedBox(BaseDetector):
    """The box around what is red, found in what the preprocessor gives: RGB in [0, 255]."""

    def __init__(self, restores: bool = False, **kwargs: Any) -> None:
        super().__init__(dict(type='mmdet.DetDataPreprocessor', bgr_to_rgb=True, pad_size_divisor=32), **kwargs)
        self.gain = torch.nn.Parameter(torch.ones(1))
        self.batches: list[int] = []
        if restores:
            self.return_restored = False

    def predict(self, batch_inputs, batch_data_samples, rescale=True):
        self.batches.append(len(batch_inputs))
        results = []
        for image, sample in zip(batch_inputs, batch_data_samples, strict=True):
            rows, columns = torch.nonzero((image[0] > 150) & (image[1] < 100), as_tuple=True)
            box = torch.zeros(0, 4)
            if len(rows):
                box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()[None]
                factor = sample.metainfo['scale_factor']
                box = box / box.new_tensor([*factor, *factor])
            # A likely one and an unlikely one.
            results.append(InstanceData(bboxes=box.repeat(2, 1), labels=torch.arange(2).repeat(len(box)),
                                        scores=torch.tensor([0.2, 0.9]).repeat(len(box)) * self.gain))
        samples = self.add_pred_to_datasample(batch_data_samples, results)
        if getattr(self, 'return_restored', False):
            for sample in samples:
                sample.restored_img = torch.full((3, *sample.ori_shape), 7, dtype=torch.uint8)
        return samples

    def loss(self, *args): ...

    def _forward(self, *args): ...

    def extract_feat(self, *args): ...


@MODELS.register_module(force=True)
class Brightest(BaseSegmentor):
    """The class of a pixel is its brightest channel."""

    align_corners = False

    def __init__(self, data_preprocessor: dict, **kwargs: Any) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.gain = torch.nn.Parameter(torch.ones(1))
        self.batches: list[int] = []

    def predict(self, inputs, data_samples=None):
        self.batches.append(len(inputs))
        if inputs.shape[1] == 1:
            inputs = torch.cat((inputs, 100 - inputs), 1)  # mmseg asks for two classes
        return self.postprocess_result(inputs.float() * self.gain, data_samples)

    def loss(self, *args): ...

    def _forward(self, *args): ...

    def extract_feat(self, *args): ...

    def encode_decode(self, *args): ...


def write_config(folder: Path, model: str, scope: str, name: str = 'toy.py', scale: str = '(64, 64)',
                 classes: str = "('red', 'rose')") -> Path:
    """A config in the style of the toolbox: no prefixes, annotations are loaded in the test pipeline."""
    detects = scope == 'mmdet'
    text = PIPELINE.format(scale=scale, annotations=', with_bbox=True' if detects else '',
                           pack='PackDetInputs' if detects else 'PackSegInputs',
                           data='CocoDataset' if detects else 'BaseSegDataset', meta=f'dict(classes={classes})')
    path = folder / name
    path.write_text(f"default_scope = '{scope}'\nmodel = {model}\n{text}")
    return path


RETINA = """dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4],
                           bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(type='CSPDarknet', deepen_factor=0.33, widen_factor=0.125, out_indices=(3, 4)),
    neck=dict(type='FPN', in_channels=[64, 128], out_channels=16, num_outs=2),
    bbox_head=dict(type='RetinaHead', num_classes=2, in_channels=16, stacked_convs=1, feat_channels=16,
                   anchor_generator=dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=1,
                                         ratios=[1.0], strides=[16, 32]),
                   bbox_coder=dict(type='DeltaXYWHBBoxCoder')),
    test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10))"""

FCN = """dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4],
                           bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_cfg=dict(type='BN')),
    decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, num_classes=4,
                     norm_cfg=dict(type='BN')),
    test_cfg=dict(mode='whole'))"""
