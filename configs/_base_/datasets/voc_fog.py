# VOC-FOG (https://github.com/yz-wang/TogetherNet), or a set of its layout: one that mmweather prepare voc-fog wrote, or
# the mini set (mmweather prepare mini data/mini -> data_root='data/mini/voc_fog').
# The augmentation is the published one, for foggy and clean image alike.  Validation images are every tenth training
# image; the published code draws a tenth at random.
data_root = 'data/voc_fog'
image_size = 640

train_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LoadCleanImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PublishedFogAugment', size=image_size),
    dict(type='mmweather.PackPairedDetInputs'),
]
# Boxes are loaded after resizing: mmdet's metrics compare in pixels of the file.
test_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.Letterbox', size=image_size),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PackPairedDetInputs'),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmweather.SeededEpochSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.VOCFog',
            data_root=data_root,
            split='train',
            part='train',
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.VOCFog',
        data_root=data_root,
        split='train',
        part='val',
        clean=False,
        pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.VOCFog',
        data_root=data_root,
        split='test',
        clean=False,
        pipeline=test_pipeline,
        test_mode=True))

# As the published evaluation: area under all points of the curve; a box from x1 to x2 is x2 - x1 + 1 wide.
val_evaluator = dict(type='mmdet.VOCMetric', metric='mAP', eval_mode='area')
test_evaluator = val_evaluator
