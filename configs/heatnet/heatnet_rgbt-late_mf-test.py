# A network trained on Freiburg Thermal, tested on the MF set: its classes are translated to those of MF, and the four
# that it can name have a score.
_base_ = './heatnet_rgbt-late_4xb2-100k_freiburg.py'

# 8-bit thermal images.
model = dict(
    teacher=None,
    data_preprocessor=dict(
        mean=(127.5, 127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5, 127.5), thermal_range=(0, 255)))
test_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=8),
    dict(type='mmweather.LoadLabelMap'),
    dict(type='mmseg.PackSegInputs', meta_keys=_base_.meta_keys),
]
test_dataloader = dict(
    dataset=dict(_delete_=True, type='mmweather.MFDataset', data_root='data/mf', ann_file='test.txt',
                 pipeline=test_pipeline, test_mode=True))
test_evaluator = [
    dict(type='mmweather.DomainIoUMetric', prediction_map=(0, 0, 0, 4, 0, 0, 0, 0, 0, 2, 1, 3, 0), scored=(1, 2, 3, 4))
]
