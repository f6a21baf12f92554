# The thermal teacher on the MF set: one stream, labels by day.
_base_ = './heatnet_rgbt-late_4xb2-100k_mf.py'

model = dict(teacher=None, modalities=('thermal', ), backbone=dict(in_channels=1, thermal_channels=0))

train_dataloader = dict(
    batch_size=2,
    sampler=dict(_delete_=True, type='mmweather.SeededInfiniteSampler'),
    dataset=dict(dataset=dict(domains=('day', ))))
param_scheduler = [
    dict(type='mmengine.MultiStepLR', by_epoch=False, milestones=[15030, 30060, 45090], gamma=0.5)
]
train_cfg = dict(max_iters=50100)
auto_scale_lr = dict(base_batch_size=8)
custom_hooks = _base_.custom_hooks[:-1]
