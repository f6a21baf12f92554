# Stage C for a CPU, from the small networks of stages A and B. The weights keep the published ratio to the
# reconstruction.
_base_ = [
    '../_base_/models/ssdie_net.py',
    '../_base_/datasets/sand_dust_dusty.py',
    '../_base_/default_runtime.py',
]

model = dict(
    generator=dict(features=16),
    networks=dict(
        vgg=None, critic=dict(features=(16, 32, 64)), dark=dict(features=(16, 32, 64))),
    terms=dict(
        reconstruction=dict(weight=1), perceptual=None, style=None, consistency=dict(weight=0.01),
        adversarial=dict(weight=0.01), dark_channel=dict(weight=0.01, block=8), pseudo_label=dict(weight=0.001)),
    noise_copies=2,
    pretrained=dict(
        vgg=None,
        generator='work_dirs/ssdie-net_msff-s-pretrain_1xb4-1200_dusty/iter_1200.pth',
        dark='work_dirs/ssdie-net_dark-s_1xb4-300_dusty/iter_300.pth'))

adam = dict(type='mmengine.Adam', lr=5e-4, betas=(0.5, 0.999))
optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    generator=dict(type='mmengine.OptimWrapper', optimizer=adam),
    critic=dict(type='mmengine.OptimWrapper', optimizer=adam))

train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=250, val_interval=250)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=250))
