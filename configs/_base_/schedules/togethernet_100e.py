# TogetherNet's published schedule: 100 epochs of batches of 16.
# Published rule for other batches: lr = batch / 64 * 0.01, at least 1e-4 (`--auto-scale-lr`).
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='mmengine.SGD', lr=2.5e-3, momentum=0.937, nesterov=True, weight_decay=5e-4),
    # No decay of batch norms and biases; as published, the weights of layer norms do decay.
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys={
            'layernorm1.weight': dict(decay_mult=1.),
            'layernorm2.weight': dict(decay_mult=1.),
            'in_proj_bias': dict(decay_mult=0.),
        }))
max_epochs = 100
param_scheduler = [dict(type='mmweather.WarmCosineLR', end=max_epochs, by_epoch=True)]
auto_scale_lr = dict(enable=False, base_batch_size=16)

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
