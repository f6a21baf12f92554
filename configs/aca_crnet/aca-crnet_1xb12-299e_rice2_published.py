# RICE2 with the loss and the masks of the published code: no clear-sky term, masks grown by the resizing.
_base_ = './aca-crnet_1xb12-299e_rice2.py'

model = dict(cloud_loss=dict(published=True))

train_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', 'gt', 'mask'), cache=True),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=256, published_masks=True),
    dict(type='mmweather.PairedCrop', keys=('img', 'gt', 'mask'), size=128),
    dict(type='mmweather.PackImages', keys=('img', ), gt='gt', mask='mask'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
