# RICE2, thick clouds, 736 triples of 512x512: as RICE1, with masks of cloud and shadow to train on.
_base_ = './rice1.py'

data_root = 'data/rice2'
train_keys = ('img', 'gt', 'mask')

train_pipeline = [
    dict(type='mmweather.LoadImages', keys=train_keys, cache=True),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=256),
    dict(type='mmweather.PairedCrop', keys=train_keys, size=128),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt', mask='mask'),
]

train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, keys=train_keys, pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
