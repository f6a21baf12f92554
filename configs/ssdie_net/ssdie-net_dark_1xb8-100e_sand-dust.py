# Stage B: the classifier of dark channels, the published schedule.
_base_ = [
    '../_base_/models/ssdie_net_dark.py',
    '../_base_/datasets/sand_dust.py',
    '../_base_/default_runtime.py',
]

# Clean images and photos as they are: neither dust nor labels nor views are needed here.
labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.PairedResize', keys=('gt', ), size=256),
    dict(type='mmweather.PackViews', keys=('gt', )),
]
unlabelled_pipeline = [
    dict(type='mmweather.LoadImages', keys=('unlabelled', )),
    dict(type='mmweather.PairedResize', keys=('unlabelled', ), size=256),
    dict(type='mmweather.PackViews', keys=('unlabelled', )),
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(labelled=dict(pipeline=labelled_pipeline), unlabelled=dict(pipeline=unlabelled_pipeline))))

optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    dark=dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-4, betas=(0.5, 0.999))))

# There is nothing to restore with, so nothing is validated or tested.
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=100)
val_dataloader = None
val_evaluator = None
test_dataloader = None
test_evaluator = None
log_processor = dict(by_epoch=True)
default_hooks = dict(checkpoint=dict(interval=10, by_epoch=True, save_best=None))
