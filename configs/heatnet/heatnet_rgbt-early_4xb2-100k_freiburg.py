# Early fusion: RGB and thermal as four channels of one stream.
_base_ = './heatnet_rgbt-late_4xb2-100k_freiburg.py'

model = dict(backbone=dict(in_channels=4, thermal_channels=0))
