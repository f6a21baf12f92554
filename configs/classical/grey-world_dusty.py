# Grey-world colour balance on real dusty photos without references; nothing is trained.
_base_ = ['../_base_/datasets/sand_dust_dusty.py', '../_base_/default_runtime.py']

model = dict(
    type='mmweather.Restorer',
    generator=dict(type='mmweather.GreyWorld'),
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='mmengine.TestLoop')
