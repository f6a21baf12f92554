# YOLOX-nano with its public COCO weights as they are, to compare with: nothing is trained.
_base_ = ['../_base_/datasets/street_fog.py', '../_base_/default_runtime.py']

model = dict(
    type='mmdet.YOLOX',
    data_preprocessor=dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32, pad_value=114),
    backbone=dict(type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.25, use_depthwise=True),
    neck=dict(
        type='mmdet.YOLOXPAFPN', in_channels=[64, 128, 256], out_channels=64, num_csp_blocks=1, use_depthwise=True),
    bbox_head=dict(
        type='mmdet.YOLOXHead',
        num_classes=80,
        in_channels=64,
        feat_channels=64,
        use_depthwise=True,
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='sum'),
        loss_bbox=dict(type='mmdet.IoULoss', mode='square', eps=1e-16, reduction='sum', loss_weight=5.0),
        loss_obj=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='sum'),
        loss_l1=dict(type='mmdet.L1Loss', reduction='sum')),
    test_cfg=dict(score_thr=0.001, nms=dict(iou_threshold=0.65)))

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='mmengine.TestLoop')
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'mmweather.LocalContrast']
test_dataloader = dict(dataset=dict(type='mmdet.CocoDataset', metainfo=None, pipeline=test_pipeline))
