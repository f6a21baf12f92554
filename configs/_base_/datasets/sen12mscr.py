# SEN12MS-CR (https://mediatum.ub.tum.de/1554803), 256x256 patches of 13 Sentinel-2 bands with Sentinel-1:
# mmweather prepare sen12ms-cr SRC data/sen12mscr; or the mini set of the same layout
# (mmweather prepare mini data/mini -> data_root='data/mini/sen12mscr').
# The split is that of UnCRtainTS by whole scenes.  Crops, flips and turns move all sensors and the mask together;
# clouds and shadows are found in the whole patch.  Patches are tested on whole.
data_root = 'data/sen12mscr'
image_keys = ('img', 'gt', 'sar')

train_pipeline = [
    dict(type='mmweather.LoadSentinel', keys=image_keys, vh_floor=-32.5, mask=True),
    dict(type='mmweather.PairedCrop', keys=(*image_keys, 'mask'), size=128),
    dict(type='mmweather.PairedDihedral', keys=(*image_keys, 'mask')),
    dict(type='mmweather.PackImages', keys=('img', 'sar'), gt='gt', mask='mask'),
]
test_pipeline = [
    dict(type='mmweather.LoadSentinel', keys=image_keys, vh_floor=-32.5, mask=False),
    dict(type='mmweather.PackImages', keys=('img', 'sar'), gt='gt'),
]

train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='mmweather.SeededEpochSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.SEN12MSCR', data_root=data_root, split='train', keys=image_keys,
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.SEN12MSCR',
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
        type='mmweather.SEN12MSCR',
        data_root=data_root,
        split='test',
        keys=image_keys,
        pipeline=test_pipeline,
        test_mode=True))

val_evaluator = [dict(type='mmweather.BandMetrics')]
test_evaluator = val_evaluator
