# RGB alone on the mini set, labels by day.
_base_ = './heatnet_rgbt-s_1xb4-1k_mini.py'

model = dict(modalities=('rgb', ), backbone=dict(thermal_channels=0))
