# A thermal teacher with the certainty branch (--arch custom --cert_branch): beside the classes it learns by day how far
# they are from the labels. As the teacher of a recipe it weights the night by that in place of its probabilities.
_base_ = './heatnet_thermal-teacher_4xb2-50k_freiburg.py'

model = dict(
    backbone=dict(
        _delete_=True, type='mmweather.HeatNetResNeXtBackbone', in_channels=1, thermal_channels=0, num_classes=13,
        certainty=True),
    decode_head=dict(_delete_=True, type='mmweather.HeatNetLogitsHead', num_classes=13, certainty_index=6))
