# The same YOLOX trained on the clear photographs: what stands behind a restorer.
_base_ = './yolox-n_1xb8-40e_raccoon-fog.py'

train_dataloader = dict(dataset=dict(dataset=dict(weather='clear')))
val_dataloader = dict(dataset=dict(weather='clear'))
