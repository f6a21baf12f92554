# mmseg's stock DeepLabV3+ on images of four channels, trained on labels by day alone, with domain critics on its logits
# and on the first feature map of its backbone.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../../../configs/_base_/datasets/freiburg_thermal.py',
    '../../../configs/_base_/segmentation_runtime.py',
]

# Makes names with the prefix `mmweather.` known also to a tool of mmseg.
custom_imports = dict(imports=['mmweather.registry'], allow_failed_imports=False)
default_scope = 'mmseg'

# A quarter of the stock width, from scratch, so that it trains on a CPU without a download. For the stock network leave
# out base_channels, stem_channels, in_channels and channels of the heads.
norm_cfg = dict(type='mmengine.BN', requires_grad=True)
model = dict(
    pretrained=None,
    data_preprocessor=dict(_delete_=True, type='mmweather.RGBThermalPreprocessor'),
    backbone=dict(in_channels=4, base_channels=16, stem_channels=16, norm_cfg=norm_cfg),
    decode_head=dict(
        in_channels=512, channels=128, c1_in_channels=64, c1_channels=16, dilations=(1, 6, 12), num_classes=13,
        norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(
        in_channels=256, channels=64, num_classes=13, norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)))

# Everything that the critics need: the hook, and batches that hold as many frames of the night as of the day.
critics = dict(
    type='mmweather.DomainCriticHook',
    features=('decode_head.conv_seg', 'backbone[0]'),
    optimizer=dict(type='mmengine.RMSprop', lr=1e-4),
    loss_weight=0.01,
    initial_critic_iters=10,
    seg_iters=1,
    critic_iters=1)
custom_hooks = [*_base_.custom_hooks, critics, dict(type='mmweather.ProgressBarHook')]

# The logits of 128x192 crops are 32x48, at stride 4; a critic takes no fewer than 32 pixels a side.
data_root = 'data/mini/freiburg_thermal'
train_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.RandomCrop', crop_size=(128, 192)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=4, dataset=dict(dataset=dict(data_root=data_root, holdout_every=6, pipeline=train_pipeline)), **loader)
val_dataloader = dict(dataset=dict(data_root=data_root, holdout_every=6, pipeline=test_pipeline), **loader)
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline), **loader)

optim_wrapper = dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.AdamW', lr=1e-3, weight_decay=1e-4))
param_scheduler = [
    dict(type='mmengine.PolyLR', by_epoch=False, begin=0, end=210, power=0.9, eta_min=1e-5)
]
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=210, val_interval=210)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=210))
log_processor = dict(window_size=10)
log_level = 'WARNING'
