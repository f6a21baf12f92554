# Both on the streets of the mini set, for testing.
_base_ = './nafnet-s_yolox-n_raccoon-fog.py'

data_root = 'data/street/voc_fog'
metainfo = dict(classes=('person', 'car'), palette=[(220, 20, 60), (0, 0, 142)])

model = dict(detector=dict(bbox_head=dict(num_classes=2)))

# No lists here: every tenth image is held out.
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, metainfo=metainfo, part='train', ann_file='')))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, part='val', ann_file=''))
test_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
