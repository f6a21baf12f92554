# RICE2, the published recipe with the cloud-adaptive loss put right: clear pixels are held to the cloudy image.
_base_ = [
    '../_base_/models/aca_crnet_rice.py',
    '../_base_/datasets/rice2.py',
    '../_base_/default_runtime.py',
]

model = dict(pixel_loss=None, cloud_loss=dict(type='mmweather.CloudAdaptiveLoss'))

optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=7e-5, betas=(0.9, 0.999), eps=1e-8))

train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=299, val_interval=10)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
log_processor = dict(by_epoch=True)
default_hooks = dict(checkpoint=dict(interval=10, by_epoch=True, save_best='psnr', rule='greater'))
auto_scale_lr = dict(base_batch_size=12)
