# HeatNet in small on the mini set (mmweather prepare mini data/mini --only freiburg-thermal): a narrow two-stream
# network, labels by day, one critic on the logits. Every second iteration trains the critic, so the segmentor has 1,000
# updates, as many as in the recipes without critics.
_base_ = './heatnet_rgbt-late_4xb2-100k_freiburg.py'

data_root = 'data/mini/freiburg_thermal'
crop_size = (128, 192)
model = dict(
    teacher=None,
    backbone=dict(width=16, blocks=(1, 2, 2, 1)),
    decode_head=dict(in_channels=512, channels=128, up_channels=(64, 32, 32), dropout=(0.1, 0.05)))

train_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.RandomCrop', crop_size=crop_size),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
pseudo_label_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
pseudo_label_dataset = dict(data_root=data_root)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=4, dataset=dict(dataset=dict(data_root=data_root, part=None, pipeline=train_pipeline)), **loader)
# Half of the drawn frames are night; the test frames of both domains are labelled.
val_dataloader = dict(
    dataset=dict(data_root=data_root, part='val', holdout_every=6, pipeline=test_pipeline), **loader)
train_dataloader['dataset']['dataset'].update(part='train', holdout_every=6)
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline), **loader)

optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='mmengine.PolyLR', by_epoch=False, begin=0, end=2000, power=0.9, eta_min=1e-6)
]
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))

# The terminal shows a progress bar in place of the log, which is in the work directory.
custom_hooks = [*_base_.custom_hooks, dict(type='mmweather.ProgressBarHook')]
log_level = 'WARNING'
