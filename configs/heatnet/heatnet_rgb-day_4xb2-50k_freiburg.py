# The baseline that knows neither thermal images nor the night: RGB with labels by day.
_base_ = './heatnet_thermal-teacher_4xb2-50k_freiburg.py'

model = dict(modalities=('rgb', ), backbone=dict(in_channels=3))
