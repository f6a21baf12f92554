# The separately trained restorer: a small NAFNet, foggy to clear, on images resized to what the detector sees.
_base_ = '../_base_/default_runtime.py'

data_root = 'data/raccoon_fog'
keys = ('img', 'gt')
folders = dict(img='train/VOC2007-FOG', gt='train/JPEGImages')
test_folders = dict(img='test/VOCtest-FOG', gt='test/JPEGImages')

model = dict(
    type='mmweather.Restorer',
    generator=dict(
        type='mmagic.NAFNet', img_channels=3, mid_channels=24, enc_blk_nums=(1, 1, 2), middle_blk_num=1,
        dec_blk_nums=(1, 1, 1)),
    pixel_loss=dict(type='mmagic.L1Loss', loss_weight=1.0, reduction='mean'),
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))

train_pipeline = [
    dict(type='mmweather.LoadImages', keys=keys),
    dict(type='mmweather.PairedResize', keys=keys, size=192),
    dict(type='mmweather.PairedCrop', keys=keys, size=96),
    dict(type='mmweather.PairedDihedral', keys=keys),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
test_pipeline = [
    dict(type='mmweather.LoadImages', keys=keys),
    dict(type='mmweather.PairedResize', keys=keys, size=192),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.PairedImageDataset',
            data_root=data_root,
            data_prefix=folders,
            holdout=dict(every=10, part='train'),
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.PairedImageDataset',
        data_root=data_root,
        data_prefix=folders,
        holdout=dict(every=10, part='val'),
        pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.PairedImageDataset',
        data_root=data_root,
        data_prefix=test_folders,
        pipeline=test_pipeline,
        test_mode=True))
val_evaluator = [dict(type='mmweather.RestorationMetrics', metrics=('psnr_rgb', 'ssim_y'))]
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.AdamW', lr=1e-3, betas=(0.9, 0.9), weight_decay=0.0))
param_scheduler = [
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=0, end=400, T_max=400, eta_min=1e-7)
]
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=400, val_interval=200)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=200))
