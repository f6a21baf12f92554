# mmdet's stock Faster R-CNN with attentive contextual attention in the third stage of its backbone.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py']

# Makes names with the prefix `mmweather.` known also to a tool that was not started by `mmweather run`.
custom_imports = dict(imports=['mmweather.registry'], allow_failed_imports=False)
default_scope = 'mmdet'

model = dict(
    backbone=dict(
        # The whole of the change: one layer behind the 3x3 convolution of each block of the third stage, 256 channels
        # at a sixteenth of the image's size.  The backbone fills in `in_channels`.
        plugins=[
            dict(
                cfg=dict(type='mmweather.AttentiveContextualAttention', zero_init=True),
                stages=(False, False, True, False),
                position='after_conv2'),
        ],
        # From scratch, so that nothing is downloaded.  For pretrained weights delete these three lines.
        init_cfg=None,
        frozen_stages=-1,
        norm_eval=False),
    roi_head=dict(bbox_head=dict(num_classes=2)))

data_root = 'data/streets/'
metainfo = dict(classes=('person', 'car'))
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
train_pipeline = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs'),
]
test_pipeline = [
    dict(type='mmengine.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    # Full size; it writes the scale factor that the detector divides by.
    dict(type='mmdet.Resize', scale_factor=1.0),
    dict(type='mmdet.PackDetInputs', meta_keys=meta_keys),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='mmengine.InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmdet.CocoDataset',
        data_root=data_root,
        ann_file='boxes_train.json',
        data_prefix=dict(img='images/train/'),
        metainfo=metainfo,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmdet.CocoDataset',
        data_root=data_root,
        ann_file='boxes_val.json',
        data_prefix=dict(img='images/val/'),
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='mmdet.CocoMetric', ann_file=data_root + 'boxes_val.json', metric='bbox')
test_dataloader = val_dataloader
test_evaluator = val_evaluator

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=20, val_interval=20)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper',
    optimizer=dict(type='mmengine.SGD', lr=0.005, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=10))
default_hooks = dict(
    logger=dict(type='mmengine.LoggerHook', interval=5),
    checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=False, interval=20))
custom_hooks = [dict(type='mmweather.NonFiniteLossHook')]
log_processor = dict(type='mmengine.LogProcessor', by_epoch=False, window_size=5)
randomness = dict(seed=0)
