# Stage B for a CPU: a small classifier of dark channels.
_base_ = [
    '../_base_/models/ssdie_net_dark.py',
    '../_base_/datasets/sand_dust_dusty.py',
    '../_base_/default_runtime.py',
]

model = dict(networks=dict(dark=dict(features=(16, 32, 64))), objectives=dict(dark=dict(block=8)))

# Clean images and photos as they are: neither dust nor labels nor views are needed here.
labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.PairedResize', keys=('gt', ), size=96),
    dict(type='mmweather.PackViews', keys=('gt', )),
]
unlabelled_pipeline = [
    dict(type='mmweather.LoadImages', keys=('unlabelled', )),
    dict(type='mmweather.PairedResize', keys=('unlabelled', ), size=96),
    dict(type='mmweather.PackViews', keys=('unlabelled', )),
]
clean = dict(type='mmweather.SandDust', part='clean', pipeline=labelled_pipeline)
photos = dict(type='mmweather.SandDust', part='dust', key='unlabelled', pipeline=unlabelled_pipeline)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            labelled=dict(
                datasets=[
                    dict(
                        type='mmengine.RepeatDataset',
                        times=4,
                        dataset=dict(**clean, data_root='data/sand_dust', holdout=dict(every=4, part='train'))),
                    dict(**clean, data_root='data/mini/sand_dust', holdout=dict(every=10, part='train')),
                ]),
            unlabelled=dict(
                datasets=[dict(**photos, data_root='data/sand_dust'), dict(**photos, data_root='data/dusty')]))))

optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    dark=dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-3, betas=(0.5, 0.999))))

train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=300)
val_dataloader = None
val_evaluator = None
test_dataloader = None
test_evaluator = None
default_hooks = dict(checkpoint=dict(interval=300))
