# The published recipe with the published faults that have a switch (README.md, "Published behaviour").
_base_ = './togethernet_s_1xb16-100e_voc-fog.py'

model = dict(
    published_frozen_attention=True,  # Q4
    start_from=None)  # the published script's default

image_size = 640
train_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LoadCleanImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PublishedFogAugment', size=image_size, published_integer_boxes=True),  # Q19
    dict(type='mmweather.PackPairedDetInputs'),
]
test_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.Letterbox', size=image_size, centred=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PackPairedDetInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
