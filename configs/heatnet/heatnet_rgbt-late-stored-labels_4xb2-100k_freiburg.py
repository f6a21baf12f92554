# The recipe with the thermal teacher's labels and certainty written beforehand, where they can be looked at; training
# runs no teacher. TEACHER is the checkpoint of heatnet_thermal-teacher_4xb2-50k_freiburg:
#   python tools/dataset_converters/pseudo_labels.py configs/heatnet/heatnet_thermal-teacher_4xb2-50k_freiburg.py \
#       TEACHER
# Stored labels turn with the image; a teacher that runs in training sees the turned image.
_base_ = './heatnet_rgbt-late_4xb2-100k_freiburg.py'

model = dict(teacher=None)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='mmweather.LoadCertainty'),
    *_base_.train_pipeline[2:-1],
    dict(type='mmweather.PackTeacherLabels', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            labelled=('day', 'night'),
            label_folder=dict(day='fl_rgb_labels', night='teacher_labels'),
            certainty_folder=dict(night='teacher_certainty'),
            pipeline=train_pipeline)))
