# Second step of togethernet-nano_1xb8-1k_street-fog: the restoration alone, on the detector as it is after blending.
_base_ = './togethernet-nano_1xb8-1k_street-fog.py'

max_iters = 600
load_from = 'work_dirs/togethernet-nano_1xb8-1k_street-fog/blended.pth'
model = dict(start_from=None, start_classes=None, distil=None, restoration_only=True)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(_delete_=True, norm_decay_mult=0., bias_decay_mult=0.))
param_scheduler = [
    dict(type='mmengine.LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=100),
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min_ratio=0.05),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
find_unused_parameters = True
