# The thermal teacher on the mini set.
_base_ = './heatnet_rgbt-s_1xb4-1k_mini.py'

model = dict(modalities=('thermal', ), backbone=dict(in_channels=1, thermal_channels=0))
