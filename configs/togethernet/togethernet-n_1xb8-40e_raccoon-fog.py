# Reduced for a CPU: a quarter of YOLOX's widths, images of 192 pixels, 40 epochs with AdamW; from scratch.
_base_ = [
    '../_base_/models/togethernet_s.py',
    '../_base_/datasets/raccoon_fog.py',
    '../_base_/schedules/togethernet_100e.py',
    '../_base_/detection_runtime.py',
]

image_size = 192
max_epochs = 40
model = dict(arch=(0.33, 0.25), num_classes=1)

train_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LoadCleanImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PublishedFogAugment', size=image_size, scales=(0.5, 1.5)),
    dict(type='mmweather.PackPairedDetInputs'),
]
# Not centred, so that every detector of mmdet can be put in the place of this one.
test_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.Letterbox', size=image_size, centred=False),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PackPairedDetInputs'),
]

train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(_delete_=True, type='mmengine.AdamW', lr=1e-3, weight_decay=0.05))
param_scheduler = [dict(type='mmweather.WarmCosineLR', end=max_epochs, by_epoch=True, constant=2,
                        convert_to_iter_based=True)]
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10), logger=dict(interval=10))
test_evaluator = [
    dict(type='mmdet.VOCMetric', metric='mAP', eval_mode='area'),
    dict(type='mmdet.CocoMetric', metric='bbox'),
]
