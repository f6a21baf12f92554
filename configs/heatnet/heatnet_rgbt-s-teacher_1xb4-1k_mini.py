# Labels by day and the thermal teacher by night, no critics: as many updates of the segmentor as with them.
_base_ = './heatnet_rgbt-s-full_1xb4-2k_mini.py'

custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'mmweather.DomainCriticHook']
param_scheduler = [dict(type='mmengine.PolyLR', by_epoch=False, begin=0, end=1000, power=0.9, eta_min=1e-6)]
train_cfg = dict(max_iters=1000, val_interval=250)
