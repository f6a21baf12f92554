# Pictures of what the mini recipes' network makes of pairs without labels (see heatnet_rgbt-late_pairs-pictures.py).
_base_ = './heatnet_rgbt-s-critics_1xb4-2k_mini.py'

# 8-bit thermal images.
model = dict(
    data_preprocessor=dict(
        mean=(127.5, 127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5, 127.5), thermal_range=(0, 255)))
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=8),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
test_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmweather.RGBThermalPairs', data_root='data/msrs', visible='vi', thermal='ir',
        domain_of=dict(D='day', N='night'), pipeline=test_pipeline, test_mode=True))
test_evaluator = []
