# The weights that come with the package: narrower still (under 5 MB in half precision), and trained on drawn streets
# and photographs of raccoons together, on foggy and on clear images in turn.
_base_ = './togethernet-n_1xb8-40e_raccoon-fog.py'

max_epochs = 30
classes = dict(classes=('person', 'car', 'raccoon'), palette=[(220, 20, 60), (0, 0, 142), (119, 11, 32)])
model = dict(arch=(0.33, 0.1875), num_classes=3)

street = dict(data_root='data/street/voc_fog', metainfo=classes, part='train', ann_file='')
raccoon = dict(data_root='data/raccoon_fog', metainfo=classes)
train_set = _base_.train_dataloader.dataset.dataset
train_dataloader = dict(dataset=dict(dataset=dict(
    _delete_=True,
    type='mmengine.ConcatDataset',
    datasets=[dict(train_set, **street), dict(train_set, **raccoon),
              dict(train_set, **street, weather='clear'), dict(train_set, **raccoon, weather='clear')])))
val_dataloader = dict(dataset=dict(street, part='val'))
test_dataloader = dict(dataset=dict(data_root='data/street/voc_fog', metainfo=classes))

param_scheduler = [dict(type='mmweather.WarmCosineLR', end=max_epochs, by_epoch=True, constant=2,
                        convert_to_iter_based=True)]
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10))
