# A small NAFNet in front of mmdet's stock Faster R-CNN, trained jointly on pairs of a foggy and a clear picture.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py']

# Makes names with the prefix `mmweather.` known also to a tool that was not started by `mmweather run`.
custom_imports = dict(imports=['mmweather.registry'], allow_failed_imports=False)
default_scope = 'mmdet'

detector = _base_.model
detector.roi_head.bbox_head.num_classes = 2
# The stock preprocessor, which moves the clear picture of a sample too.
detector.data_preprocessor.type = 'mmweather.PairedDetPreprocessor'
# From scratch, so that nothing is downloaded.  For pretrained weights delete this line.
detector.backbone.update(init_cfg=None, frozen_stages=-1, norm_eval=False)

model = dict(
    _delete_=True,
    type='mmweather.RestoreThenDetect',
    detector=detector,
    restorer=dict(
        type='mmweather.Restorer',
        generator=dict(
            type='mmagic.NAFNet', img_channels=3, mid_channels=16, enc_blk_nums=(1, 1), middle_blk_num=1,
            dec_blk_nums=(1, 1)),
        pixel_loss=dict(type='mmagic.L1Loss')),
    # Both learn from the boxes; the restorer also from the clear picture.
    frozen=False,
    restoration_loss=dict(type='mmagic.L1Loss', loss_weight=1.0))

data_root = 'data/mini/voc_fog'
metainfo = dict(classes=('person', 'car'))
train_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LoadCleanImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    # The same flip for both pictures.
    dict(type='mmweather.PairedTransform', transform=dict(type='mmdet.RandomFlip', prob=0.5)),
    dict(type='mmweather.PackPairedDetInputs'),
]
test_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.Letterbox', size=224),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PackPairedDetInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(
        type='mmweather.SeededDataset',
        dataset=dict(
            type='mmweather.VOCFog', data_root=data_root, split='train', part='train', metainfo=metainfo,
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.VOCFog', data_root=data_root, split='train', part='val', clean=False, metainfo=metainfo,
        pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.VOCFog', data_root=data_root, split='test', clean=False, metainfo=metainfo,
        pipeline=test_pipeline, test_mode=True))
val_evaluator = dict(type='mmdet.VOCMetric', metric='mAP', eval_mode='area')
test_evaluator = val_evaluator

train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=40, val_interval=40)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(
    type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.AdamW', lr=3e-4), clip_grad=dict(max_norm=10))
default_hooks = dict(
    logger=dict(type='mmengine.LoggerHook', interval=10, log_metric_by_epoch=False),
    checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=False, interval=40),
    # For --show-dir: pictures with boxes, and the restored ones where the model gives them.
    visualization=dict(type='mmweather.RestoredDetVisualizationHook'))
visualizer = dict(type='mmdet.DetLocalVisualizer')
custom_hooks = [dict(type='mmweather.NonFiniteLossHook')]
log_processor = dict(type='mmengine.LogProcessor', by_epoch=False, window_size=10)
randomness = dict(seed=0)
