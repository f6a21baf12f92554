# For a CPU: clean images with depth out of the sand-dust set (four times) and the mini set; real photos out of the
# sand-dust set and out of https://github.com/bartani/dusty-images-dataset, reduced to 384 pixels and divided by
# `mmweather prepare dusty`. Views of 96x96, two of each image; sigma of the Retinex label is reduced as the photos are.
# Tested on the photos that were set aside; validated on clean images that were held out, with simulated dust.
data_root = 'data/sand_dust'
mini_root = 'data/mini/sand_dust'
dusty_root = 'data/dusty'

labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.AddDust', haze=0.3),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=96),
    dict(type='mmweather.WeakViews', source='gt', copies=2, size=96),
    dict(type='mmweather.PackViews', keys=('img', 'gt'), views=('gt_views', )),
]
unlabelled_pipeline = [
    dict(type='mmweather.LoadImages', keys=('unlabelled', )),
    dict(type='mmweather.RetinexLabel', source='unlabelled', sigma=10),
    dict(type='mmweather.WeakViews', source='unlabelled', copies=2, size=96),
    dict(type='mmweather.PairedResize', keys=('unlabelled', 'pseudo_label'), size=96),
    dict(type='mmweather.PackViews', keys=('unlabelled', 'pseudo_label'), views=('unlabelled_views', )),
]
val_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.AddDust', haze=0.3),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
test_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', )),
    dict(type='mmweather.PackImages', keys=('img', ), gt=None),
]

clean = dict(type='mmweather.SandDust', part='clean')
photos = dict(type='mmweather.SandDust', part='dust', key='unlabelled')
train_dataloader = dict(
    batch_size=4,
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
                    dict(
                        type='mmengine.RepeatDataset',
                        times=4,
                        dataset=dict(
                            **clean, data_root=data_root, holdout=dict(every=4, part='train'),
                            pipeline=labelled_pipeline)),
                    dict(
                        **clean, data_root=mini_root, holdout=dict(every=10, part='train'),
                        pipeline=labelled_pipeline),
                ]),
            unlabelled=dict(
                type='mmengine.ConcatDataset',
                datasets=[
                    dict(**photos, data_root=data_root, pipeline=unlabelled_pipeline),
                    dict(**photos, data_root=dusty_root, pipeline=unlabelled_pipeline),
                ]))))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmengine.ConcatDataset',
            datasets=[
                dict(**clean, data_root=data_root, holdout=dict(every=4, part='val'), pipeline=val_pipeline,
                     test_mode=True),
                dict(**clean, data_root=mini_root, holdout=dict(every=10, part='val'), pipeline=val_pipeline,
                     test_mode=True),
            ])))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.SandDust', data_root=dusty_root, part='test', pipeline=test_pipeline, test_mode=True))

val_evaluator = [
    dict(type='mmweather.RestorationMetrics', metrics=('psnr_rgb', 'ssim_rgb3d', 'ciede2000'), compare_input=True)
]
test_evaluator = [dict(type='mmweather.NoReferenceMetrics', metrics=('niqe', 'colour_cast', 'cast_factor'))]
