# The RGB teacher that labels the day (scripts/main.py of the published code): Mapillary Vistas 1.2 with its 66 ids
# translated to 13 classes. Published with 18 outputs, of which 13 have labels.
_base_ = ['../_base_/models/heatnet.py', '../_base_/segmentation_runtime.py']

data_root = 'data/vistas'
model = dict(
    modalities=('rgb', ),
    backbone=dict(in_channels=3, thermal_channels=0),
    data_preprocessor=dict(
        _delete_=True, type='mmseg.SegDataPreProcessor', bgr_to_rgb=True, size=(384, 768), seg_pad_val=255,
        mean=(72.39, 82.90, 73.16), std=(45.31, 46.16, 44.91)))

train_pipeline = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmengine.RandomChoiceResize', scales=[(768, 768), (1024, 1024), (1280, 1280)], keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(384, 768)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.RandomRotate', prob=0.5, degree=20, seg_pad_val=255),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='mmweather.EvaluateAtThisSize'),
    dict(type='mmseg.PackSegInputs'),
]
# With --data CONFIG tools/dataset_converters/pseudo_labels.py labels other sets by day.
pseudo_label_pipeline = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmseg.Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='mmseg.PackSegInputs'),
]
train_dataloader = dict(
    batch_size=30,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='mmweather.SeededEpochSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(type='mmweather.TranslatedLabels', data_root=data_root, split='training',
                     pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(type='mmweather.TranslatedLabels', data_root=data_root, split='validation', pipeline=test_pipeline,
                 test_mode=True))
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmweather.DomainIoUMetric', domains=('day', ), scored=12)]
test_evaluator = val_evaluator

optim_wrapper = dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-5))
param_scheduler = [dict(type='mmengine.PolyLR', by_epoch=True, begin=0, end=130, power=0.9, eta_min=0.,
                        convert_to_iter_based=True)]
train_cfg = dict(type='mmengine.EpochBasedTrainLoop', max_epochs=130, val_interval=5)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
log_processor = dict(by_epoch=True)
default_hooks = dict(checkpoint=dict(interval=5, by_epoch=True, save_best='mIoU_day', rule='greater'))
auto_scale_lr = dict(enable=False, base_batch_size=30)
