# RGB and thermal on real pictures: two MobileNetV2 streams, fused late. CamVid with drawn thermal channels (its labels
# are real, its thermal pictures are not), and four night pairs of MSRS, chosen by look, whose persons are
# labelled by their heat:
#   python tools/dataset_converters/hot_labels.py data/msrs_pairs/ir data/hot_labels --stems 00004N 00028N 00036N 00047N
# Thermal is taken relative to its own picture, so 8 and 16 bits of any camera are one.
_base_ = './heatnet_mobilenet-rgb-teacher_1xb8-1k_camvid.py'

crop_size = (192, 256)
backbone = dict(type='mmweather.MobileNetV2Stream')
model = dict(
    modalities=('rgb', 'thermal'),
    backbone=dict(
        _delete_=True,
        type='mmweather.TwoStreamBackbone',
        visible=dict(backbone, pretrained='work_dirs/mobilenetv2.pth'),
        thermal=dict(backbone, in_channels=1, widen_factor=0.35),
        fusion='concat'),
    decode_head=dict(in_channels=[32, 48, 128, 432]))

augment = [
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmweather.AddNight', severity=(1, 5), prob=0.5, color_order='rgb'),
    dict(type='mmweather.VaryThermal'),
    dict(type='mmweather.DropModality', prob=0.3, height=(60, 192), width=(80, 256), neutral=(123.7, 116.3, 103.5, 0.)),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
resize = dict(type='mmseg.RandomResize', scale=(480, 360), ratio_range=(0.5, 1.4), keep_ratio=True)
camvid_pipeline = [
    *_base_.train_pipeline[:2],
    resize,
    dict(
        type='mmweather.DrawThermal',
        # sky, building, pole, road, pavement, vegetation, sign, fence, car, person, rider
        ranges={0: (-2., 0.), 1: (-.6, .8), 2: (-.6, .8), 3: (-.6, .8), 4: (-.6, .8), 5: (-.8, .6), 6: (-.6, .8),
                7: (-.6, .8), 8: (-.8, 1.5), 9: (3., 9.), 10: (2.5, 8.)},
        hot=(9, 10),
        parts=(8, )),
    dict(type='mmweather.StandardizeThermal'),
    *augment,
]
pairs_pipeline = [
    dict(type='mmweather.LoadRGBThermal', visible_transforms=_base_.colours),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmweather.StandardizeThermal'),
    resize,
    *augment,
]
night = dict(
    type='mmweather.StreetPairs', data_root='data', visible='msrs_pairs/vi', thermal='msrs_pairs/ir',
    labels='hot_labels', stems=['00004N', '00028N', '00036N', '00047N'], pipeline=pairs_pipeline)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='mmengine.ConcatDataset',
            datasets=[
                dict(_base_.camvid, visible='images/train', labels='labels/train', pipeline=camvid_pipeline),
                # An eighth of what is drawn.
                dict(type='mmengine.RepeatDataset', times=13, dataset=night),
            ])))
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', missing='zeros'),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmweather.StandardizeThermal'),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

param_scheduler = [
    dict(type='mmengine.LinearLR', by_epoch=False, begin=0, end=30, start_factor=0.05),
    dict(type='mmengine.PolyLR', by_epoch=False, begin=30, end=600, power=0.9, eta_min=1e-6),
]
train_cfg = dict(max_iters=600, val_interval=1000)
