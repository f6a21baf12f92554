# Stage 1, reduced for a CPU: one block a level, half the width, 2k iterations of 4 crops of 64x64.
_base_ = './nitedr_cleannet_2xb4-300k_roadscene-rain.py'

model = dict(generator=dict(dim=24, num_blocks=(1, 1, 1, 1)))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='mmengine.LinearLR', by_epoch=False, begin=0, end=50, start_factor=0.1),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=50, end=2000, T_max=1950, eta_min=1e-6),
]
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=250))
