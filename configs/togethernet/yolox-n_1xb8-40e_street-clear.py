# On the streets of the mini set: mmweather prepare mini data/street --only voc-fog --train 200 --test 60 (README.md).
_base_ = './yolox-n_1xb8-40e_raccoon-clear.py'

data_root = 'data/street/voc_fog'
metainfo = dict(classes=('person', 'car'), palette=[(220, 20, 60), (0, 0, 142)])

model = dict(bbox_head=dict(num_classes=2))

# No lists here: every tenth image is held out.
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, metainfo=metainfo, part='train', ann_file='')))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, part='val', ann_file=''))
test_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
