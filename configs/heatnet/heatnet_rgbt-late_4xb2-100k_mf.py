# HeatNet on the MF set (--trainsetname MF of the published code): crops of 384x384, labels of an RGB teacher by day,
# the thermal teacher by night. The published labels are not available; tools/dataset_converters/pseudo_labels.py
# writes such labels. Number of iterations as on Freiburg Thermal; the published one is not known.
_base_ = [
    '../_base_/models/heatnet.py',
    '../_base_/datasets/mf.py',
    '../_base_/schedules/heatnet_100k.py',
    '../_base_/segmentation_runtime.py',
]

# 8-bit thermal images. Train the teacher first: heatnet_thermal-teacher_4xb2-50k_mf.
model = dict(
    teacher='work_dirs/heatnet_thermal-teacher_4xb2-50k_mf/iter_50100.pth',
    data_preprocessor=dict(
        mean=(127.5, 127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5, 127.5), thermal_range=(0, 255)))

default_hooks = dict(
    checkpoint=dict(interval=5010, by_epoch=False, save_best='mIoU', rule='greater'),
    visualization=dict(prediction_map=_base_.prediction_map))
custom_hooks = [*_base_.custom_hooks, _base_.critic_hook]
