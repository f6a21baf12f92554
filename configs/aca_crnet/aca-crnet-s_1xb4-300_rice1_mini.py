# In small, for the mini set (mmweather prepare mini data/mini): thin clouds, a network of 4 blocks of 16 channels.
_base_ = './aca-crnet-s_1xb4-1k_rice1.py'

data_root = 'data/mini/rice1'
model = dict(generator=dict(width=16, num_blocks=4))

train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))

param_scheduler = [
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=0, end=300, T_max=300, eta_min=1e-6)
]
train_cfg = dict(max_iters=300, val_interval=100)
default_hooks = dict(checkpoint=dict(interval=100))

# The terminal shows a progress bar in place of the log, which is in the work directory.
custom_hooks = [*_base_.custom_hooks, dict(type='mmweather.ProgressBarHook')]
log_level = 'WARNING'
