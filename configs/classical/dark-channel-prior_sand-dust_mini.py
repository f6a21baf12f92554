# Removal of haze by the dark channel prior on the mini set's test photos, which have references.
_base_ = ['../_base_/datasets/sand_dust_mini.py', '../_base_/default_runtime.py']

model = dict(
    type='mmweather.Restorer',
    generator=dict(type='mmweather.DarkChannelPrior'),
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='mmengine.TestLoop')
