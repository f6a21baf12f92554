# RGB and thermal, labels by day and the teacher by night, no critics (--no_conf): 100 epochs of 501 iterations.
_base_ = './heatnet_rgbt-late_4xb2-100k_freiburg.py'

param_scheduler = [
    dict(type='mmengine.MultiStepLR', by_epoch=False, milestones=[15030, 30060, 45090], gamma=0.5)
]
train_cfg = dict(max_iters=50100)
custom_hooks = _base_.custom_hooks[:-1]
