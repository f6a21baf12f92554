# As on RICE1, without masks: the mean absolute error alone.
_base_ = './aca-crnet-s_1xb4-1k_rice1.py'

data_root = 'data/rice2'
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
