# mmdet's YOLOX of the same width on the same foggy images, augmentation and schedule; its own initialisation.
_base_ = './togethernet-n_1xb8-40e_raccoon-fog.py'

model = dict(
    _delete_=True,
    type='mmdet.YOLOX',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(
        type='mmdet.CSPDarknet',
        deepen_factor=0.33,
        widen_factor=0.25,
        out_indices=(2, 3, 4)),
    neck=dict(
        type='mmdet.YOLOXPAFPN',
        in_channels=[64, 128, 256],
        out_channels=64,
        num_csp_blocks=1),
    bbox_head=dict(
        _scope_='mmdet',
        type='mmdet.YOLOXHead',
        num_classes=1,
        in_channels=64,
        feat_channels=64),
    train_cfg=dict(assigner=dict(_scope_='mmdet', type='mmdet.SimOTAAssigner', center_radius=2.5)),
    test_cfg=_base_.model.test_cfg)
