# The README's recipe of the published code, its faults put right: two streams, thermal teacher by night weighted by its
# certainty, one critic on the logits, critics and segmentor in strict turn. 200 epochs of 501 iterations.
_base_ = [
    '../_base_/models/heatnet.py',
    '../_base_/datasets/freiburg_thermal.py',
    '../_base_/default_runtime.py',
]

# Train it first: heatnet_thermal-teacher_4xb2-50k_freiburg.
model = dict(teacher='work_dirs/heatnet_thermal-teacher_4xb2-50k_freiburg/iter_50100.pth')

# 2 frames of each domain on each of 4 GPUs.
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.RMSprop', lr=1e-4, alpha=0.99, eps=1e-8))
# Halved at epochs 60, 120 and 180.
param_scheduler = [
    dict(type='mmengine.MultiStepLR', by_epoch=False, milestones=[30060, 60120, 90180], gamma=0.5)
]
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=100200, val_interval=5010)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=5010, by_epoch=False, save_best='mIoU_day', rule='greater'))
auto_scale_lr = dict(enable=False, base_batch_size=16)

custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mmweather.DomainCriticHook',
        features=('decode_head.conv_seg', ),
        optimizer=dict(type='mmengine.RMSprop', lr=1e-4, alpha=0.99, eps=1e-8),
        loss_weight=0.01,
        both_directions=True,
        initial_critic_iters=1,
        seg_iters=1,
        critic_iters=1),
]
