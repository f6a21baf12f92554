# As heatnet_rgbt-s-full_1xb4-2k_mini with the teacher's labels and certainty written beforehand:
#   python tools/dataset_converters/pseudo_labels.py configs/heatnet/heatnet_thermal-teacher-s_1xb4-1k_mini.py TEACHER
_base_ = './heatnet_rgbt-s-critics_1xb4-2k_mini.py'

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
