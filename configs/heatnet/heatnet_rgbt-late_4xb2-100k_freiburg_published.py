# The README's recipe with everything that the published code does differently (README.md, "Published behaviour").
_base_ = './heatnet_rgbt-late_4xb2-100k_freiburg.py'

model = dict(
    published_certainty=True,  # D: softmax twice
    published_teacher_mode=True,  # C: the teacher in training mode
    bn_test='batch')  # A: tested with each image's own statistics

# G: corners that rotation leaves empty are road.
train_pipeline = [dict(step, seg_pad_val=0) if step['type'] == 'mmseg.RandomRotate' else step
                  for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(dataset=dict(part=None, drop_test_frames=False, pipeline=train_pipeline)))  # B, F
# B: the checkpoint is chosen by the test images, each 10th epoch rather than each second.
val_dataloader = _base_.test_dataloader
default_hooks = dict(checkpoint=dict(save_best='mIoU'))

custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.custom_hooks[-1], published_certainty_mean=True)]  # E
