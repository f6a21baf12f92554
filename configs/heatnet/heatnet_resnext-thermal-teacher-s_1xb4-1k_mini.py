# The thermal teacher with the certainty branch on the mini set, narrow.
_base_ = './heatnet_thermal-teacher-s_1xb4-1k_mini.py'

model = dict(
    backbone=dict(
        _delete_=True, type='mmweather.HeatNetResNeXtBackbone', in_channels=1, thermal_channels=0, num_classes=13,
        blocks=(1, 2, 2, 1), width=16, groups=16, pyramid=64, certainty=True),
    decode_head=dict(_delete_=True, type='mmweather.HeatNetLogitsHead', num_classes=13, certainty_index=6))
