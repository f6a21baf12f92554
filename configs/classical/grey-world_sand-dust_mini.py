# Grey-world colour balance on the mini set's test photos, which have references.
_base_ = ['../_base_/datasets/sand_dust_mini.py', '../_base_/default_runtime.py']

model = dict(
    type='mmweather.Restorer',
    generator=dict(type='mmweather.GreyWorld'),
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='mmengine.TestLoop')
