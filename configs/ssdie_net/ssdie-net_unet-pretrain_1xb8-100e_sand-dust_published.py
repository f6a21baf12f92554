# Stage A as the published scripts run it: the U-Net, and the published loader's behaviour (README.md).
_base_ = './ssdie-net_msff-pretrain_1xb8-100e_sand-dust.py'

model = dict(generator=dict(_delete_=True, type='mmweather.SandDustUNet', published_noise=True))

labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='rgb24'),  # C
    dict(type='mmweather.AddDust', haze=0.3, published_truncate=True),  # Q
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=256),
    dict(type='mmweather.PackViews', keys=('img', 'gt')),
]
train_dataloader = dict(dataset=dict(dataset=dict(labelled=dict(holdout=None, pipeline=labelled_pipeline))))
