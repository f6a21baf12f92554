# SEN12MS-CR with everything that the published loader and loss do differently (README.md, "SEN12MS-CR").  Needed for
# the published checkpoint too, which has learnt from radar scaled so.
_base_ = './aca-crnet_1xb12-40e_sen12mscr.py'

model = dict(cloud_loss=dict(published=True))  # B1: no clear-sky term

image_keys = ('img', 'gt', 'sar')
train_pipeline = [
    # B10: VH from -35 dB.
    dict(type='mmweather.LoadSentinel', keys=image_keys, vh_floor=-35.0, mask=False, keep_numbers=True),
    dict(type='mmweather.PairedCrop', keys=(*image_keys, 'numbers'), size=128),
    dict(type='mmweather.FindClouds', source='numbers'),  # B11: in the crop
    dict(type='mmweather.PairedDihedral', keys=('img', 'gt', 'mask')),  # B9: the radar stays as it is
    dict(type='mmweather.PackImages', keys=('img', 'sar'), gt='gt', mask='mask'),
]
test_pipeline = [
    dict(type='mmweather.LoadSentinel', keys=image_keys, vh_floor=-35.0, mask=False),
    dict(type='mmweather.PackImages', keys=('img', 'sar'), gt='gt'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

train_cfg = dict(max_epochs=39)  # B20: the loop of 40 begins at 1
