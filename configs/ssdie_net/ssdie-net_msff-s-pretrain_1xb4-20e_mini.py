# Stage A in small, on the mini set: a quarter of the width, views of 64x64, without the classifier behind a loss.
_base_ = [
    '../_base_/models/ssdie_net_supervised.py',
    '../_base_/datasets/sand_dust_mini.py',
    '../_base_/default_runtime.py',
]

model = dict(
    generator=dict(features=16),
    networks=dict(vgg=None),
    terms=dict(reconstruction=dict(weight=1), perceptual=None, style=None),
    pretrained=dict(vgg=None))

# Neither photos nor views are needed here.
labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.AddDust', haze=0.3),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=64),
    dict(type='mmweather.PackViews', keys=('img', 'gt')),
]
train_dataloader = dict(dataset=dict(dataset=dict(labelled=dict(pipeline=labelled_pipeline), unlabelled=None)))

optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    generator=dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-3, betas=(0.5, 0.999))))

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=20, val_interval=10)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
log_processor = dict(by_epoch=True)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=10, by_epoch=True, save_best=None))
