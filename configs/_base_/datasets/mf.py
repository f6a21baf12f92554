# The MF set (Ha et al., MFNet, IROS 2017): 640x480, RGB and 8-bit thermal in one file. Trained on labels of HeatNet's
# 13 classes that an RGB teacher wrote for the day; validated and tested on MF's own labels, classes translated. The
# published recipe validates on the test images.
data_root = 'data/mf'
crop_size = (384, 384)
meta_keys = ('img_path', 'thermal_path', 'seg_map_path', 'domain', 'sample_key', 'ori_shape', 'img_shape', 'pad_shape',
             'scale_factor', 'flip', 'flip_direction')

train_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=8),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.RandomCrop', crop_size=crop_size),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.RandomRotate', prob=0.5, degree=20, pad_val=0, seg_pad_val=255),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=8),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]
# What tools/dataset_converters/pseudo_labels.py has a teacher label.
pseudo_label_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=8),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]
pseudo_label_dataset = dict(type='mmweather.MFTeacherLabels', data_root=data_root, labelled=())

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='mmweather.DomainPairSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.MFTeacherLabels', data_root=data_root, ann_file='train.txt', pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.MFDataset', data_root=data_root, ann_file='val.txt', pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.MFDataset', data_root=data_root, ann_file='test.txt', pipeline=test_pipeline, test_mode=True))

# label_maps.HEATNET_TO_MF; the four classes that HeatNet's can say have a score.
prediction_map = (0, 0, 0, 4, 0, 0, 0, 0, 0, 2, 1, 3, 0)
val_evaluator = [dict(type='mmweather.DomainIoUMetric', prediction_map=prediction_map, scored=(1, 2, 3, 4))]
test_evaluator = val_evaluator
