# Pictures of what a network makes of pairs of RGB and 8-bit thermal images without labels, as those of MSRS:
#   python tools/test.py configs/heatnet/heatnet_rgbt-late_pairs-pictures.py CHECKPOINT --show-dir pictures \
#       --cfg-options test_dataloader.dataset.data_root=data/msrs
_base_ = './heatnet_rgbt-late_mf-test.py'

test_dataloader = dict(
    dataset=dict(
        _delete_=True, type='mmweather.RGBThermalPairs', data_root='data/msrs', visible='vi', thermal='ir',
        domain_of=dict(D='day', N='night'), pipeline=_base_.test_pipeline, test_mode=True))
# Without labels there is nothing to score.
test_evaluator = []
default_hooks = dict(visualization=dict(prediction_map=None))
