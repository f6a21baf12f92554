# The published recipe in small, for a CPU, on the mini set (mmweather prepare mini data/mini).
_base_ = './togethernet_s_1xb16-100e_voc-fog.py'

data_root = 'data/mini/voc_fog'
image_size = 224
model = dict(arch=(0.33, 0.25), published_init=False, start_from=None)

train_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LoadCleanImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PublishedFogAugment', size=image_size, scales=(0.6, 1.5)),
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
    dataset=dict(dataset=dict(data_root=data_root, pipeline=train_pipeline)))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(lr=5e-3))
param_scheduler = [dict(type='mmweather.WarmCosineLR', end=20, by_epoch=True)]
train_cfg = dict(max_epochs=20, val_interval=10)

# The terminal shows a progress bar in place of the log, which is in the work directory.
custom_hooks = [*_base_.custom_hooks, dict(type='mmweather.ProgressBarHook')]
log_level = 'WARNING'
