# SEN12MS-CR without the radar: 13 bands in, 13 out.  Not a published setting.  For Level-2A of 12 bands add
# bands='l2a' to each LoadSentinel.
_base_ = './aca-crnet_1xb12-40e_sen12mscr.py'

model = dict(generator=dict(in_channels=13), inputs=('img', ))

image_keys = ('img', 'gt')
train_pipeline = [
    dict(type='mmweather.LoadSentinel', keys=image_keys, mask=True),
    dict(type='mmweather.PairedCrop', keys=(*image_keys, 'mask'), size=128),
    dict(type='mmweather.PairedDihedral', keys=(*image_keys, 'mask')),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt', mask='mask'),
]
test_pipeline = [
    dict(type='mmweather.LoadSentinel', keys=image_keys, mask=False),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt'),
]
train_dataloader = dict(dataset=dict(dataset=dict(keys=image_keys, pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(keys=image_keys, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(keys=image_keys, pipeline=test_pipeline))
