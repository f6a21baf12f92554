# TogetherNet as mmdet trains YOLOX: mosaic and affine maps, averaged weights, L1 loss at the end, mixed precision.
_base_ = [
    '../_base_/models/togethernet_s.py',
    '../_base_/datasets/voc_fog_mosaic.py',
    '../_base_/schedules/togethernet_300e.py',
    '../_base_/detection_runtime.py',
]

model = dict(start_from='mmdet')
train_dataloader = dict(batch_size=8)
# Clear images are regression targets, so averaged weights and batch statistics of all processes matter for both tasks.
sync_bn = 'torch'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mmdet.YOLOXModeSwitchHook',
        num_last_epochs=_base_.plain_epochs,
        skip_type_keys=('mmweather.PairedMosaic', 'mmweather.PairedRandomAffine'),
        priority=48),
    dict(type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=1e-4, update_buffers=True, priority=49),
]
default_hooks = dict(checkpoint=dict(interval=10, save_best='pascal_voc/mAP', rule='greater'))
