# Reduced for a CPU: 8 blocks of 32 channels, 1k iterations of 4 crops of 64x64 with flips and turns; tested as
# published.
_base_ = [
    '../_base_/models/aca_crnet_rice.py',
    '../_base_/datasets/rice1.py',
    '../_base_/default_runtime.py',
]

model = dict(generator=dict(width=32, num_blocks=8))

train_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', 'gt'), cache=True),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=256),
    dict(type='mmweather.PairedCrop', keys=('img', 'gt'), size=64),
    dict(type='mmweather.PairedDihedral', keys=('img', 'gt')),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)

optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-3, betas=(0.9, 0.999), eps=1e-8))
param_scheduler = [
    dict(type='mmengine.LinearLR', by_epoch=False, begin=0, end=50, start_factor=0.1),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=50, end=1000, T_max=950, eta_min=1e-6),
]
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=1000, val_interval=250)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=250))
