# RICE1 (https://github.com/BUPTLdy/RICE_DATASET), thin clouds, 500 pairs of 512x512 (mmweather prepare rice SRC
# data/rice1).
# The published pipeline: the whole image resized to 256x256, a random crop of 128x128 to train on, the central one to
# test on.  The published split is not known: every fifth image is tested on, every eighth of the others is for
# validation, unless data/rice1/splits holds lists.
data_root = 'data/rice1'
image_keys = ('img', 'gt')

train_pipeline = [
    dict(type='mmweather.LoadImages', keys=image_keys, cache=True),
    dict(type='mmweather.PairedResize', keys=image_keys, size=256),
    dict(type='mmweather.PairedCrop', keys=image_keys, size=128),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
test_pipeline = [
    dict(type='mmweather.LoadImages', keys=image_keys),
    dict(type='mmweather.PairedResize', keys=image_keys, size=256),
    dict(type='mmweather.PairedCrop', keys=image_keys, size=128, random=False),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]

train_dataloader = dict(
    batch_size=12,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmweather.SeededEpochSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.RICE', data_root=data_root, split='train', keys=image_keys, pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.RICE',
        data_root=data_root,
        split='val',
        keys=image_keys,
        pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.RICE',
        data_root=data_root,
        split='test',
        keys=image_keys,
        pipeline=test_pipeline,
        test_mode=True))

val_evaluator = [dict(type='mmweather.BandMetrics')]
test_evaluator = val_evaluator
