# The published recipe on VOC-FOG with its faults put right (README.md, "Published behaviour").
_base_ = [
    '../_base_/models/togethernet_s.py',
    '../_base_/datasets/voc_fog.py',
    '../_base_/schedules/togethernet_100e.py',
    '../_base_/detection_runtime.py',
]

# What the checkpoint lacks starts as published; start_from=None trains from nothing.
model = dict(published_init=True, start_from='mmdet')
default_hooks = dict(checkpoint=dict(interval=5, save_best='pascal_voc/mAP', rule='greater'))
