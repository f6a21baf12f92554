# YOLOX-nano with its public COCO weights as they are, to compare with: nothing is trained.
_base_ = '../_base_/datasets/street_fog.py'

default_scope = 'mmdet'
norm = dict(type='BN', momentum=0.03, eps=0.001)
model = dict(
    type='mmdet.YOLOX',
    data_preprocessor=dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32, pad_value=114),
    backbone=dict(
        type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.25, use_depthwise=True, norm_cfg=norm),
    neck=dict(
        type='mmdet.YOLOXPAFPN', in_channels=[64, 128, 256], out_channels=64, num_csp_blocks=1, use_depthwise=True,
        norm_cfg=norm),
    bbox_head=dict(
        type='mmdet.YOLOXHead', num_classes=80, in_channels=64, feat_channels=64, use_depthwise=True, norm_cfg=norm),
    test_cfg=dict(score_thr=0.001, nms=dict(iou_threshold=0.65)))

test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'mmweather.LocalContrast']
test_dataloader = dict(dataset=dict(type='mmdet.CocoDataset', metainfo=None, pipeline=test_pipeline))
del norm
