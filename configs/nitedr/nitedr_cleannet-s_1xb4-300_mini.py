# Stage 1 in small, for the demo: a narrow CleanNet on the mini set (mmweather prepare mini data/mini).
_base_ = './nitedr_cleannet_2xb4-300k_roadscene-rain.py'

data_root = 'data/mini/roadscene_rain'
model = dict(generator=dict(dim=16, num_blocks=(1, 1, 1, 1)))

train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=0, end=300, T_max=300, eta_min=1e-6)
]
train_cfg = dict(max_iters=300, val_interval=100)
default_hooks = dict(checkpoint=dict(interval=100))

# The terminal shows a progress bar in place of the log, which is in the work directory.
custom_hooks = [*_base_.custom_hooks, dict(type='mmweather.ProgressBarHook')]
log_level = 'WARNING'
