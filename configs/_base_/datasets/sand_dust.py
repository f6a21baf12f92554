# The sand-dust images of SSDIE-Net (https://github.com/bartani/SSDIE-Net): clean images with depth, on which dust is
# simulated, and real dusty photos without references, one of each a sample (mmweather prepare sand-dust).
# Sizes, views and noise are those of the published recipe. Every tenth clean image is held out for validation, with
# dust that is the same each time; the published recipe has no validation.
data_root = 'data/sand_dust'

labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.AddDust', haze=0.3),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=256),
    dict(type='mmweather.WeakViews', source='gt', copies=5, size=256),
    dict(type='mmweather.PackViews', keys=('img', 'gt'), views=('gt_views', )),
]
unlabelled_pipeline = [
    dict(type='mmweather.LoadImages', keys=('unlabelled', )),
    dict(type='mmweather.RetinexLabel', source='unlabelled', sigma=25),
    dict(type='mmweather.WeakViews', source='unlabelled', copies=5, size=256),
    dict(type='mmweather.PairedResize', keys=('unlabelled', 'pseudo_label'), size=256),
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

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmweather.SeededEpochSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.LabelledUnlabelled',
            labelled=dict(
                type='mmweather.SandDust',
                data_root=data_root,
                part='clean',
                holdout=dict(every=10, part='train'),
                pipeline=labelled_pipeline),
            unlabelled=dict(
                type='mmweather.SandDust',
                data_root=data_root,
                part='dust',
                key='unlabelled',
                pipeline=unlabelled_pipeline))))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.SandDust',
            data_root=data_root,
            part='clean',
            holdout=dict(every=10, part='val'),
            pipeline=val_pipeline,
            test_mode=True)))
# Photos differ in size, so they are restored one by one.
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.SandDust', data_root=data_root, part='test', pipeline=test_pipeline, test_mode=True))

val_evaluator = [
    dict(type='mmweather.RestorationMetrics', metrics=('psnr_rgb', 'ssim_rgb3d', 'ciede2000'), compare_input=True)
]
test_evaluator = [dict(type='mmweather.NoReferenceMetrics', metrics=('niqe', 'colour_cast', 'cast_factor'))]
