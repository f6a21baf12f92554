# The raccoon photographs of https://github.com/datitran/raccoon_dataset under synthetic fog, one class:
#   mmweather prepare voc-fog raccoon_dataset data/raccoon_fog
# Every fifth photograph by sorted name is a test image; validation images are every tenth of the others.
_base_ = './voc_fog.py'

data_root = 'data/raccoon_fog'
metainfo = dict(classes=('raccoon', ), palette=[(220, 20, 60)])

train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, metainfo=metainfo)))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
