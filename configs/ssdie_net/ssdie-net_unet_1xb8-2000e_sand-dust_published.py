# Stage C as the published scripts run it: the U-Net, and the published loader's and loop's behaviour (README.md).
_base_ = './ssdie-net_msff_1xb8-2000e_sand-dust.py'

model = dict(
    generator=dict(_delete_=True, type='mmweather.SandDustUNet', published_noise=True),  # D, E
    recompute_views=True,  # G
    pretrained=dict(
        generator='work_dirs/ssdie-net_unet-pretrain_1xb8-100e_sand-dust_published/epoch_100.pth'))

labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='rgb24'),  # C
    dict(type='mmweather.AddDust', haze=0.3, published_truncate=True),  # Q
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=256),
    dict(type='mmweather.WeakViews', source='gt', copies=5, size=256),
    dict(type='mmweather.PackViews', keys=('img', 'gt'), views=('gt_views', )),
]
unlabelled_pipeline = [
    dict(type='mmweather.LoadImages', keys=('unlabelled', )),
    dict(type='mmweather.RetinexLabel', source='unlabelled', sigma=25, published_bgr=True),  # A
    dict(type='mmweather.WeakViews', source='unlabelled', copies=5, size=256),
    dict(type='mmweather.PairedResize', keys=('unlabelled', 'pseudo_label'), size=256),
    dict(type='mmweather.PackViews', keys=('unlabelled', 'pseudo_label'), views=('unlabelled_views', )),
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pairing='fixed',  # N
            labelled=dict(holdout=None, pipeline=labelled_pipeline),
            unlabelled=dict(pipeline=unlabelled_pipeline))))
