# SEN12MS-CR, the published settings with the faults of the loader and of the loss put right: Adam at a constant 7e-5,
# 12 crops of 128x128 a step, 40 epochs.
_base_ = [
    '../_base_/models/aca_crnet_sen12mscr.py',
    '../_base_/datasets/sen12mscr.py',
    '../_base_/default_runtime.py',
]

optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=7e-5, betas=(0.9, 0.999), eps=1e-8))

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=40, val_interval=1)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
log_processor = dict(by_epoch=True)
default_hooks = dict(checkpoint=dict(interval=1, by_epoch=True, save_best='psnr', rule='greater'))
auto_scale_lr = dict(base_batch_size=12)
