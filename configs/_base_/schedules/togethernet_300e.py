# YOLOX's schedule: 300 epochs of batches of 64, the last 15 without mosaic and with the L1 loss.
max_epochs = 300
plain_epochs = 15
base_lr = 0.01

optim_wrapper = dict(
    type='mmengine.AmpOptimWrapper',
    optimizer=dict(type='mmengine.SGD', lr=base_lr, momentum=0.9, nesterov=True, weight_decay=5e-4),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0., custom_keys={'in_proj_bias': dict(decay_mult=0.)}))
param_scheduler = [
    dict(type='mmdet.QuadraticWarmupLR', by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type='mmengine.CosineAnnealingLR',
        eta_min=base_lr * 0.05,
        begin=5,
        T_max=max_epochs - plain_epochs,
        end=max_epochs - plain_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
    dict(type='mmengine.ConstantLR', by_epoch=True, factor=1, begin=max_epochs - plain_epochs, end=max_epochs),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
