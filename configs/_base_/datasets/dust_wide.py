# Clear photos from several sources, with dust drawn far more widely than published: air from red to grey, thin to
# dense, coloured light, then exposure, noise and JPEG. Streets with estimated depth (METER, 160 pixels wide; bright is
# far) and BSDS500 with a ramp for depth. No dusty photo is used, so any can serve for testing.
#
# data/vehicles_openimages (images, depth), data/coco_street_tiny (images, depth), data/camvid ({images,depth}/train)
# and data/bsds500 ({train,val,test}): any clear photos do, with a depth picture of the same stem where there is one.
load_with_depth = dict(type='mmweather.LoadCleanAndDepth', code='distance', resize_depth=True)
load_alone = dict(type='mmweather.LoadCleanAndDepth', stand_in=True)
dusty = [
    dict(type='mmweather.StretchLevels', key='gt', black=12),
    dict(type='mmweather.PairedRandomResizedCrop', keys=('gt', 'depth'), size=128, scale=(0.3, 1.0)),
    dict(type='mmweather.AddDust', wide=True),
    dict(type='mmweather.DegradePhoto', key='img', exposure=(-0.5, 0.4)),
    dict(type='mmweather.PackViews', keys=('img', 'gt')),
]
val_pipeline = [
    load_with_depth,
    dict(type='mmweather.StretchLevels', key='gt', black=12),
    dict(type='mmweather.AddDust', wide=True),
    dict(type='mmweather.DegradePhoto', key='img', exposure=(-0.5, 0.4)),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
test_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', )),
    dict(type='mmweather.PackImages', keys=('img', ), gt=None),
]

photos = dict(type='mmweather.SandDust', part='clean')
vehicles = dict(**photos, data_root='data/vehicles_openimages', data_prefix=dict(gt='images', depth='depth'))
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.LabelledUnlabelled',
            labelled=dict(
                type='mmengine.ConcatDataset',
                datasets=[
                    dict(**vehicles, holdout=dict(every=25, part='train'), pipeline=[load_with_depth, *dusty]),
                    dict(
                        **photos,
                        data_root='data/coco_street_tiny',
                        data_prefix=dict(gt='images', depth='depth'),
                        pipeline=[load_with_depth, *dusty]),
                    dict(
                        **photos,
                        data_root='data/camvid',
                        data_prefix=dict(gt='images/train', depth='depth/train'),
                        pipeline=[load_with_depth, *dusty]),
                    *(dict(
                        **photos, data_root='data/bsds500', data_prefix=dict(gt=part), pipeline=[load_alone, *dusty])
                      for part in ('train', 'val', 'test')),
                ]),
            unlabelled=None)))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(**vehicles, holdout=dict(every=25, part='val'), pipeline=val_pipeline, test_mode=True)))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.SandDust', data_root='data/dusty', part='test', pipeline=test_pipeline, test_mode=True))

val_evaluator = [
    dict(type='mmweather.RestorationMetrics', metrics=('psnr_rgb', 'ssim_rgb3d', 'ciede2000'), compare_input=True)
]
test_evaluator = [dict(type='mmweather.NoReferenceMetrics', metrics=('niqe', 'colour_cast', 'cast_factor'))]
