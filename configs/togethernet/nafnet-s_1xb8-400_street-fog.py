# The restorer on the streets of the mini set.
_base_ = './nafnet-s_1xb8-400_raccoon-fog.py'

data_root = 'data/street/voc_fog'
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
