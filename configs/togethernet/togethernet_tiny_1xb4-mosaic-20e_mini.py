# The recipe with mosaic, averaged weights and the L1 phase in small, for a CPU, without mixed precision.
_base_ = './togethernet_s_8xb8-300e_voc-fog.py'

data_root = 'data/mini/voc_fog'
image_size = 224
plain_epochs = 4
model = dict(arch=(0.33, 0.25), start_from=None)

load_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LoadCleanImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
]
train_pipeline = [
    dict(type='mmweather.PairedMosaic', img_scale=(image_size, image_size), pad_val=128.0),
    dict(
        type='mmweather.PairedRandomAffine',
        scaling_ratio_range=(0.7, 1.3),
        border=(-image_size // 2, -image_size // 2),
        border_val=(128, 128, 128)),
    dict(type='mmweather.PairedTransform', transform=dict(type='mmdet.YOLOXHSVRandomAug')),
    dict(type='mmweather.PairedTransform', transform=dict(type='mmdet.RandomFlip', prob=0.5)),
    dict(type='mmweather.Letterbox', size=image_size),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='mmweather.PackPairedDetInputs'),
]
test_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.Letterbox', size=image_size),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PackPairedDetInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(dataset=dict(dataset=dict(data_root=data_root, pipeline=load_pipeline), pipeline=train_pipeline)))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, pipeline=test_pipeline))

optim_wrapper = dict(type='mmengine.OptimWrapper', optimizer=dict(lr=2e-3))
param_scheduler = [dict(type='mmweather.WarmCosineLR', end=20, constant=plain_epochs, by_epoch=True)]
train_cfg = dict(max_epochs=20, val_interval=10)
sync_bn = None
custom_hooks = [
    *_base_.custom_hooks[:-2],
    dict(
        type='mmdet.YOLOXModeSwitchHook',
        num_last_epochs=plain_epochs,
        skip_type_keys=('mmweather.PairedMosaic', 'mmweather.PairedRandomAffine'),
        priority=48),
    dict(type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-3, gamma=100, update_buffers=True,
         priority=49),
    dict(type='mmweather.ProgressBarHook'),
]
log_level = 'WARNING'
