# Freiburg Thermal (http://thermal.cs.uni-freiburg.de/), or the mini set of the same layout
# (mmweather prepare mini data/mini -> data_root='data/mini/freiburg_thermal').
# Frames of 1920x650 are resized to 960x320; training takes 640 of the columns 150 to 850, testing columns 148 to 852,
# as published. Validation frames are every 100th labelled training frame; the published recipe chooses by the test set.
data_root = 'data/freiburg_thermal'
crop_size = (320, 640)
meta_keys = ('img_path', 'thermal_path', 'seg_map_path', 'domain', 'sample_key', 'ori_shape', 'img_shape', 'pad_shape',
             'scale_factor', 'flip', 'flip_direction')

# What rotation leaves empty: black, the lowest thermal count, and no label (published: class 0, road).
train_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.Resize', scale=(960, 320), keep_ratio=False),
    dict(type='mmweather.CropWindow', top=0, left=150, size=(320, 700)),
    dict(type='mmseg.RandomCrop', crop_size=crop_size),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.RandomRotate', prob=0.5, degree=20, pad_val=(0, 0, 0, 21800), seg_pad_val=255),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.Resize', scale=(960, 320), keep_ratio=False),
    dict(type='mmweather.CropWindow', top=0, left=148, size=(320, 704)),
    dict(type='mmweather.EvaluateAtThisSize'),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]

# What tools/dataset_converters/pseudo_labels.py has a teacher label: whole frames, in the size of the files.
pseudo_label_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmseg.Resize', scale=(960, 320), keep_ratio=False),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys),
]
pseudo_label_dataset = dict(type='mmweather.FreiburgThermal', data_root=data_root, split='train', labelled=())

# Half of each batch is day, half night: 8 frames of each.
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='mmweather.DomainPairSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.FreiburgThermal',
            data_root=data_root,
            split='train',
            part='train',
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.FreiburgThermal',
        data_root=data_root,
        split='train',
        part='val',
        domains=('day', ),
        pipeline=test_pipeline,
        test_mode=True))
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.FreiburgThermal', data_root=data_root, split='test', pipeline=test_pipeline, test_mode=True))

# The published protocol: 12 of the 13 classes have a score.
val_evaluator = [dict(type='mmweather.DomainIoUMetric', scored=12)]
test_evaluator = val_evaluator
