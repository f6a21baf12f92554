# HeatNet: 200 epochs of 501 iterations of 2 frames of each domain on each of 4 GPUs, critics and segmentor in turn; the
# rate is halved at epochs 60, 120 and 180.
optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.RMSprop', lr=1e-4, alpha=0.99, eps=1e-8))
param_scheduler = [
    dict(type='mmengine.MultiStepLR', by_epoch=False, milestones=[30060, 60120, 90180], gamma=0.5)
]
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=100200, val_interval=5010)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)

# For custom_hooks: one critic on the logits.
critic_hook = dict(
    type='mmweather.DomainCriticHook',
    features=('decode_head.conv_seg', ),
    optimizer=dict(type='mmengine.RMSprop', lr=1e-4, alpha=0.99, eps=1e-8),
    loss_weight=0.01,
    both_directions=True,
    initial_critic_iters=1,
    seg_iters=1,
    critic_iters=1)
