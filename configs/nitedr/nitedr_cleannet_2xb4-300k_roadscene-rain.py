# Stage 1, the published recipe: 2 processes x 4 crops of 64x64, 300k iterations.
_base_ = [
    '../_base_/models/nitedr_cleannet.py',
    '../_base_/datasets/roadscene_rain.py',
    '../_base_/default_runtime.py',
]

optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='mmengine.AdamW', lr=3e-4, betas=(0.9, 0.999), weight_decay=1e-4, eps=1e-8),
    clip_grad=dict(max_norm=0.01))
param_scheduler = [
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=92000, end=300000, T_max=208000, eta_min=1e-6)
]

train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=300000, val_interval=1000)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=1000, by_epoch=False, save_best='psnr_y', rule='greater'))
auto_scale_lr = dict(base_batch_size=8)
