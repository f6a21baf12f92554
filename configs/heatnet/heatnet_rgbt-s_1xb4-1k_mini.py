# RGB and thermal on the mini set, labels by day, no critics.
_base_ = './heatnet_rgbt-s-critics_1xb4-1k_mini.py'

custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'mmweather.DomainCriticHook']
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmweather.SeededInfiniteSampler'), dataset=dict(dataset=dict(domains=('day', ))))
