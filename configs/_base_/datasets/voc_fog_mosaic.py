# VOC-FOG with the augmentation of YOLOX in place of the published one: mosaic of four pairs, affine map, colour, flip.
# mmdet.YOLOXModeSwitchHook ends them with skip_type_keys=('mmweather.PairedMosaic', 'mmweather.PairedRandomAffine').
_base_ = './voc_fog.py'

image_size = 640
load_pipeline = [
    dict(type='mmweather.LoadDetImage'),
    dict(type='mmweather.LoadCleanImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
]
train_pipeline = [
    dict(type='mmweather.PairedMosaic', img_scale=(image_size, image_size), pad_val=128.0),
    dict(
        type='mmweather.PairedRandomAffine',
        scaling_ratio_range=(0.5, 1.5),
        border=(-image_size // 2, -image_size // 2),
        border_val=(128, 128, 128)),
    dict(type='mmweather.PairedTransform', transform=dict(type='mmdet.YOLOXHSVRandomAug')),
    dict(type='mmweather.PairedTransform', transform=dict(type='mmdet.RandomFlip', prob=0.5)),
    dict(type='mmweather.Letterbox', size=image_size),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='mmweather.PackPairedDetInputs'),
]

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='mmdet.MultiImageMixDataset',
            dataset=dict(
                type='mmweather.VOCFog',
                data_root=_base_.data_root,
                split='train',
                part='train',
                filter_cfg=dict(filter_empty_gt=True),
                pipeline=load_pipeline),
            pipeline=train_pipeline)))
