# The README's recipe of the published code, its faults put right: two streams, thermal teacher by night weighted by its
# certainty, one critic on the logits, critics and segmentor in strict turn. 200 epochs of 501 iterations.
_base_ = [
    '../_base_/models/heatnet.py',
    '../_base_/datasets/freiburg_thermal.py',
    '../_base_/schedules/heatnet_100k.py',
    '../_base_/segmentation_runtime.py',
]

# Train it first: heatnet_thermal-teacher_4xb2-50k_freiburg.
model = dict(teacher='work_dirs/heatnet_thermal-teacher_4xb2-50k_freiburg/iter_50100.pth')

# 2 frames of each domain on each of 4 GPUs.
train_dataloader = dict(batch_size=4)

default_hooks = dict(checkpoint=dict(interval=5010, by_epoch=False, save_best='mIoU_day', rule='greater'))
custom_hooks = [*_base_.custom_hooks, _base_.critic_hook]
