# mmseg's stock FCN with attentive contextual attention in the third stage of its backbone.
_base_ = ['mmseg::_base_/models/fcn_r50-d8.py']

# Makes names with the prefix `mmweather.` known also to a tool that was not started by `mmweather run`.
custom_imports = dict(imports=['mmweather.registry'], allow_failed_imports=False)
default_scope = 'mmseg'

model = dict(
    data_preprocessor=dict(size=(192, 320)),
    # From scratch, so that nothing is downloaded.  For pretrained weights delete this line.
    pretrained=None,
    backbone=dict(
        # The whole of the change: one layer behind the 3x3 convolution of each block of the third stage, 256 channels
        # at an eighth of the image's size.  The backbone fills in `in_channels`.
        plugins=[
            dict(
                cfg=dict(type='mmweather.AttentiveContextualAttention', zero_init=True),
                stages=(False, False, True, False),
                position='after_conv2'),
        ]),
    decode_head=dict(num_classes=10),
    auxiliary_head=dict(num_classes=10))

data_root = 'data/streets/'
# mmweather.mini.scene.LABELS
classes = ('road', 'sidewalk', 'building', 'curb', 'pole', 'vegetation', 'terrain', 'sky', 'person', 'car')
palette = [[128, 64, 128], [244, 35, 232], [70, 70, 70], [196, 196, 196], [153, 153, 153], [107, 142, 35],
           [152, 251, 152], [70, 130, 180], [220, 20, 60], [0, 0, 142]]
train_pipeline = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmseg.BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        img_suffix='.png',
        metainfo=dict(classes=classes, palette=palette),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmseg.BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        img_suffix='.png',
        metainfo=dict(classes=classes, palette=palette),
        pipeline=test_pipeline))
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=20, val_interval=20)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='mmengine.SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=10))
default_hooks = dict(
    logger=dict(type='mmengine.LoggerHook', interval=5, log_metric_by_epoch=False),
    checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=False, interval=20))
custom_hooks = [dict(type='mmweather.NonFiniteLossHook')]
log_processor = dict(type='mmengine.LogProcessor', by_epoch=False, window_size=5)
randomness = dict(seed=0)
