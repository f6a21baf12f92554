# The raccoon photographs of https://github.com/datitran/raccoon_dataset under synthetic fog, one class:
#   mmweather prepare voc-fog raccoon_dataset data/raccoon_fog --val-fraction 0.1
# Every fifth photograph by sorted name is a test image; a tenth of the others is for validation.  The set holds some
# photographs twice; the lists keep copies on one side.
_base_ = './voc_fog.py'

data_root = 'data/raccoon_fog'
metainfo = dict(classes=('raccoon', ), palette=[(220, 20, 60)])

train_dataloader = dict(
    dataset=dict(
        dataset=dict(data_root=data_root, metainfo=metainfo, part=None, ann_file='train/ImageSets/train.txt')))
val_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, part=None, ann_file='train/ImageSets/val.txt'))
test_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
