# Clear street photos with depth maps, fog added while training; boxes where a set has them.  Each set lies in a
# folder of its own, as downloaded, with a folder of depth maps (8-bit PNG, metres = value / 2.5, of any size):
#   data/vehicles_openimages  images, {train,valid,test}.json (COCO form), depth       Open Images, vehicles only
#   data/coco_street          images, {train,val}.json, depth                          photos of COCO
#   data/camvid               {images,depth}/{train,val,test}                          CamVid, no boxes
#   data/dawn_fog             images, dev.json                                         DAWN, real fog: for testing alone
# Other sets go in as further entries of train_sets; a set without ann_file serves the teacher and the restoration.
classes = ('person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck')
metainfo = dict(
    classes=classes,
    palette=[(220, 20, 60), (119, 11, 32), (0, 0, 142), (0, 0, 230), (0, 60, 100), (0, 0, 70)])
depth_scale = 0.4
image_size = 448
test_size = 640

companions = ('clean_img', 'raw_img')
train_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.AddPhotoFog', depth_scale=depth_scale, prob=0.85, clean_key='clean_img'),
    # The detector sees the picture with more contrast; what it restores is the picture itself.
    dict(type='mmweather.LocalContrast', keep='raw_img'),
    dict(
        type='mmweather.PublishedFogAugment',
        size=image_size,
        keys=companions,
        jitter=0.1,
        scales=(0.6, 1.6),
        hsv=None),
    dict(type='mmweather.PackPairedDetInputs', keys=companions),
]
test_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LocalContrast', keep='raw_img'),
    dict(
        type='mmweather.PairedTransform',
        keys=('raw_img', ),
        transform=dict(type='mmdet.Resize', scale=(test_size, test_size), keep_ratio=True, backend='pillow')),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmweather.PackPairedDetInputs', keys=('raw_img', )),
]
# The same photos in fog that is a function of the photo alone.
foggy_pipeline = [
    test_pipeline[0],
    dict(type='mmweather.AddPhotoFog', depth_scale=depth_scale, seed=0, clean_key='clean_img'),
    *test_pipeline[1:],
]

vehicles = dict(
    type='mmweather.PartlyLabelledCoco',
    data_root='data/vehicles_openimages',
    data_prefix=dict(img='images', depth='depth'),
    metainfo=metainfo,
    unlabelled_classes=('person', 'bicycle'),
    doubtful_classes=('ambulance', ),
    pipeline=train_pipeline)
coco = dict(
    type='mmweather.PartlyLabelledCoco',
    data_root='data/coco_street',
    ann_file='train.json',
    data_prefix=dict(img='images', depth='depth'),
    metainfo=metainfo,
    pipeline=train_pipeline)
camvid = dict(
    type='mmweather.PartlyLabelledCoco', data_root='data/camvid', metainfo=metainfo, pipeline=train_pipeline)
train_sets = [
    dict(vehicles, ann_file='train.json'),
    dict(vehicles, ann_file='valid.json'),
    coco,
    dict(camvid, data_prefix=dict(img='images/train', depth='depth/train')),
    dict(camvid, data_prefix=dict(img='images/val', depth='depth/val')),
    dict(camvid, data_prefix=dict(img='images/test', depth='depth/test')),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmengine.ConcatDataset', datasets=train_sets)))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(vehicles, ann_file='test.json', pipeline=foggy_pipeline, test_mode=True))
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    drop_last=False,
    sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmweather.PartlyLabelledCoco',
        data_root='data/dawn_fog',
        ann_file='dev.json',
        data_prefix=dict(img='images'),
        metainfo=metainfo,
        pipeline=test_pipeline,
        test_mode=True))
val_evaluator = dict(type='mmdet.VOCMetric', metric='mAP', eval_mode='area')
test_evaluator = val_evaluator
