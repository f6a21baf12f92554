# SEN12MS-CR in small, for the mini set (mmweather prepare mini data/mini): 4 blocks of 24 channels, trained on crops of
# 64x64 and tested on the middle 128x128.
_base_ = './aca-crnet_1xb12-40e_sen12mscr.py'

data_root = 'data/mini/sen12mscr'
image_keys = ('img', 'gt', 'sar')
model = dict(generator=dict(width=24, num_blocks=4))

train_pipeline = [
    dict(type='mmweather.LoadSentinel', keys=image_keys, vh_floor=-32.5, mask=True, cache=True),
    dict(type='mmweather.PairedCrop', keys=(*image_keys, 'mask'), size=64),
    dict(type='mmweather.PairedDihedral', keys=(*image_keys, 'mask')),
    dict(type='mmweather.PackImages', keys=('img', 'sar'), gt='gt', mask='mask'),
]
test_pipeline = [
    dict(type='mmweather.LoadSentinel', keys=image_keys, vh_floor=-32.5, mask=False),
    dict(type='mmweather.PairedCrop', keys=image_keys, size=128, random=False),
    dict(type='mmweather.PackImages', keys=('img', 'sar'), gt='gt'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(dataset=dict(data_root=data_root, pipeline=train_pipeline)))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=0, end=300, T_max=300, eta_min=1e-6)
]
train_cfg = dict(
    _delete_=True, type='mmweather.SeededIterBasedTrainLoop', max_iters=300, val_interval=300)
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(interval=100, by_epoch=False))

# The terminal shows a progress bar in place of the log, which is in the work directory.
custom_hooks = [*_base_.custom_hooks, dict(type='mmweather.ProgressBarHook')]
log_level = 'WARNING'
