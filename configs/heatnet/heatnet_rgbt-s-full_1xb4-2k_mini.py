# HeatNet whole, in small: labels by day, the thermal teacher by night, one critic on the logits.
_base_ = './heatnet_rgbt-s-critics_1xb4-2k_mini.py'

# Train it first: heatnet_thermal-teacher-s_1xb4-1k_mini.
model = dict(teacher='work_dirs/heatnet_thermal-teacher-s_1xb4-1k_mini/iter_1000.pth')
