# RGB and thermal on the mini set, labels by day, no critics.
_base_ = './heatnet_rgbt-s-critics_1xb4-2k_mini.py'

custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'mmweather.DomainCriticHook']
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmweather.SeededInfiniteSampler'), dataset=dict(dataset=dict(domains=('day', ))))

param_scheduler = [
    dict(type='mmengine.PolyLR', by_epoch=False, begin=0, end=1000, power=0.9, eta_min=1e-6)
]
train_cfg = dict(max_iters=1000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=250))
