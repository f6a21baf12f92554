# The weights that come with the package: YOLOX-nano's widths and depthwise convolutions, started from its public COCO
# weights, six street classes.  Local contrast in front; the started network on the clear photo teaches the same photo
# in fog; boxes where there are some; the restored image is a gain and an offset for each pixel of the photo.
_base_ = [
    '../_base_/models/togethernet_s.py',
    '../_base_/datasets/street_fog.py',
    '../_base_/detection_runtime.py',
]

max_iters = 1000
model = dict(
    arch=(0.33, 0.25),
    num_classes=6,
    # Depthwise as in YOLOX-nano; the parts that it lacks begin with no effect.
    backbone=dict(use_depthwise=True, dtfe=dict(gated=True, width=64)),
    neck=dict(use_depthwise=True, gated=True),
    bbox_head=dict(use_depthwise=True),
    restoration_head=dict(skip=True),
    # In mmdet's layout; batch norms may be folded.
    start_from='data/yolox_nano_coco.safetensors',
    start_classes=(0, 1, 2, 3, 5, 7),
    distil=dict(weight=1.0, flip=False),
    frozen_norm=True,
    channels_last=True,
    data_preprocessor=dict(keys=('clean_img', 'raw_img')))

optim_wrapper = dict(
    type='mmweather.BFloat16OptimWrapper',
    optimizer=dict(type='mmengine.AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        # Parts that YOLOX lacks begin from noise.
        custom_keys={
            'restoration_head': dict(lr_mult=10),
            'backbone.dtfe': dict(lr_mult=5),
            'neck.calibrated': dict(lr_mult=5),
        }))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=100),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min_ratio=0.05),
]
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=100))
log_processor = dict(by_epoch=False)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=2e-3, gamma=200, update_buffers=True,
         priority=49),
]
