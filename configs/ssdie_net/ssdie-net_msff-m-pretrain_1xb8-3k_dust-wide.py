# For real photos, first part: half the width, attention to 16x16 averages, only simulated dust, drawn far more widely
# than published, L1 and SSIM. Neither VGG-19 nor dusty photos are needed. A CPU needs 17 minutes with one thread.
_base_ = [
    '../_base_/models/ssdie_net_supervised.py',
    '../_base_/datasets/dust_wide.py',
    '../_base_/default_runtime.py',
]

model = dict(
    generator=dict(features=32, attention_grid=16),
    networks=dict(vgg=None),
    terms=dict(
        reconstruction=dict(weight=1),
        similarity=dict(
            type='mmweather.ReconstructionTerm', weight=0.25, loss=dict(type='mmweather.SSIMLoss', signed=True)),
        perceptual=None,
        style=None),
    pretrained=dict(vgg=None))

optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    generator=dict(
        type='mmweather.BFloat16OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-3, betas=(0.9, 0.99))))
param_scheduler = dict(type='mmengine.CosineAnnealingLR', by_epoch=False, T_max=3000, eta_min=1e-5)

train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=3000, val_interval=1000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=250))
