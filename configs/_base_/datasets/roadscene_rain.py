# RoadScene-rain (https://github.com/CidanShi/NiteDR-Nighttime-Image-De-raining), or the mini set of the same layout
# (mmweather prepare mini data/mini -> data_root='data/mini/roadscene_rain').
# Crop, padding and the eight dihedral modes are those of the published recipe.  Validation images are every tenth
# training image; the published recipe has none and chooses the checkpoint by the test images.
data_root = 'data/roadscene_rain'
image_keys = ('img', 'gt')

train_pipeline = [
    dict(type='mmweather.LoadImages', keys=image_keys, cache=True),
    dict(type='mmweather.PairedPad', keys=image_keys, size=64),
    dict(type='mmweather.PairedCrop', keys=image_keys, size=64),
    dict(type='mmweather.PairedDihedral', keys=image_keys),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
test_pipeline = [
    dict(type='mmweather.LoadImages', keys=image_keys),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.RoadSceneRain',
            data_root=data_root,
            split='train',
            part='train',
            keys=image_keys,
            pipeline=train_pipeline)))
# Images differ in size, so they are evaluated one by one.
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.RoadSceneRain',
        data_root=data_root,
        split='train',
        part='val',
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
        type='mmweather.RoadSceneRain',
        data_root=data_root,
        split='test',
        keys=image_keys,
        pipeline=test_pipeline,
        test_mode=True))

val_evaluator = [
    dict(type='mmweather.RestorationMetrics', metrics=('psnr_y', 'psnr_rgb', 'ssim_y'), compare_input=True)
]
test_evaluator = val_evaluator
