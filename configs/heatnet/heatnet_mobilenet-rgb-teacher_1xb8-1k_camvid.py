# The RGB teacher on real streets: MobileNetV2 (ImageNet weights) and an all-MLP head on CamVid, half of the pictures
# darkened. It labels the day pairs of heatnet_mobilenet-rgbt_1xb8-1k_street-pairs. ImageNet weights first:
# tools/model_converters/mobilenetv2_to_mmseg.py says from where.
_base_ = ['../_base_/segmentation_runtime.py']

data_root = 'data/camvid'
crop_size = (240, 320)
norm = dict(type='mmengine.BN')
model = dict(
    type='mmweather.HeatNet',
    modalities=('rgb', ),
    data_preprocessor=dict(
        type='mmweather.RGBThermalPreprocessor', mean=(123.675, 116.28, 103.53, 0.), std=(58.395, 57.12, 57.375, 2.),
        thermal_range=(-4., 8.)),
    backbone=dict(type='mmweather.MobileNetV2Stream', pretrained='work_dirs/mobilenetv2.pth'),
    decode_head=dict(
        type='mmseg.SegformerHead', in_channels=[24, 32, 96, 320], in_index=[0, 1, 2, 3], channels=96,
        num_classes=11, dropout_ratio=0.1, norm_cfg=norm, align_corners=False,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)))

meta_keys = ('img_path', 'thermal_path', 'seg_map_path', 'sample_key', 'ori_shape', 'img_shape', 'pad_shape',
             'scale_factor', 'flip', 'flip_direction')
colours = [dict(type='mmseg.PhotoMetricDistortion')]
train_pipeline = [
    dict(type='mmweather.LoadRGBThermal', missing='zeros', visible_transforms=colours),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.RandomResize', scale=(480, 360), ratio_range=(0.6, 1.6), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmweather.AddNight', severity=(1, 4), prob=0.3, color_order='rgb'),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', missing='zeros'),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]
camvid = dict(type='mmweather.StreetPairs', data_root=data_root, thermal=None)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(type='mmweather.SeededDataset', dataset=dict(
        visible='images/train', labels='labels/train', pipeline=train_pipeline, **camvid)))
val_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(visible='images/val', labels='labels/val', pipeline=test_pipeline, test_mode=True, **camvid))
test_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(visible='images/test', labels='labels/test', pipeline=test_pipeline, test_mode=True, **camvid))
val_evaluator = [dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])]
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.5)}))
param_scheduler = [
    dict(type='mmengine.LinearLR', by_epoch=False, begin=0, end=30, start_factor=0.05),
    dict(type='mmengine.PolyLR', by_epoch=False, begin=30, end=1000, power=0.9, eta_min=1e-6),
]
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=1000, val_interval=1000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=10))
