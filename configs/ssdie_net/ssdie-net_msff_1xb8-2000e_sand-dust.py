# Stage C: MSFF, semi-supervised, from the networks of stages A and B; the published schedule.
_base_ = [
    '../_base_/models/ssdie_net.py',
    '../_base_/datasets/sand_dust.py',
    '../_base_/default_runtime.py',
]

model = dict(
    pretrained=dict(
        generator='work_dirs/ssdie-net_msff-pretrain_1xb8-100e_sand-dust/epoch_100.pth',
        dark='work_dirs/ssdie-net_dark_1xb8-100e_sand-dust/epoch_100.pth'))

adam = dict(type='mmengine.Adam', lr=1e-4, betas=(0.5, 0.999))
optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    generator=dict(type='mmengine.OptimWrapper', optimizer=adam),
    critic=dict(type='mmengine.OptimWrapper', optimizer=adam))

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=2000, val_interval=50)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
log_processor = dict(by_epoch=True)
default_hooks = dict(checkpoint=dict(interval=50, by_epoch=True, save_best=None))
