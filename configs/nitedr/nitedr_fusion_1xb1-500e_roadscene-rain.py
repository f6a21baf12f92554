# Stage 2, the published schedule with the loop put right: 500 epochs, one 64x64 patch an image.
# The images in Vis/clean are stage 1's output: mmweather restore ... (README.md).
_base_ = [
    '../_base_/models/nitedr_fusion.py',
    '../_base_/datasets/roadscene_rain_fusion.py',
    '../_base_/default_runtime.py',
]

optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    fusion=dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-4)),
    refiner=dict(
        type='mmengine.OptimWrapper',
        optimizer=dict(type='mmengine.Adam', lr=3e-4, betas=(0.9, 0.99), weight_decay=3e-4),
        clip_grad=dict(max_norm=5)))
# MMEngine wants a schedule for each; the refiner's rate is constant.
param_scheduler = dict(
    fusion=[dict(type='mmengine.ExponentialLR', by_epoch=True, gamma=0.9)],
    refiner=[dict(type='mmengine.ConstantLR', by_epoch=True, factor=1.0)])

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=500, val_interval=10)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
log_processor = dict(by_epoch=True)
default_hooks = dict(checkpoint=dict(interval=10, by_epoch=True, save_best=None))
