# The mini set (mmweather prepare mini data/mini --only sand-dust), small views, references for the test photos.
_base_ = './sand_dust.py'

data_root = 'data/mini/sand_dust'

labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.AddDust', haze=0.3),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=64),
    dict(type='mmweather.WeakViews', source='gt', copies=2, size=64),
    dict(type='mmweather.PackViews', keys=('img', 'gt'), views=('gt_views', )),
]
unlabelled_pipeline = [
    dict(type='mmweather.LoadImages', keys=('unlabelled', )),
    dict(type='mmweather.RetinexLabel', source='unlabelled', sigma=25),
    dict(type='mmweather.WeakViews', source='unlabelled', copies=2, size=64),
    dict(type='mmweather.PairedResize', keys=('unlabelled', 'pseudo_label'), size=64),
    dict(type='mmweather.PackViews', keys=('unlabelled', 'pseudo_label'), views=('unlabelled_views', )),
]
test_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', 'gt')),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        dataset=dict(
            labelled=dict(data_root=data_root, pipeline=labelled_pipeline),
            unlabelled=dict(data_root=data_root, pipeline=unlabelled_pipeline))))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(data_root=data_root)))
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, data_prefix=dict(img='test', gt='reference'), pipeline=test_pipeline))

test_evaluator = [
    dict(type='mmweather.RestorationMetrics', metrics=('psnr_rgb', 'ssim_rgb3d', 'ciede2000'), compare_input=True),
    dict(type='mmweather.NoReferenceMetrics', metrics=('niqe', 'colour_cast', 'cast_factor')),
]
