# RoadScene-rain for NiteDR's second stage: cleaned visible images (stage 1's output, saved as <split>/Vis/clean) with
# infrared. One window cuts both. Validation images are those that stage 1 held out.
_base_ = './roadscene_rain.py'

train_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', 'ir'), cache=True),
    dict(type='mmweather.PairedPad', keys=('img', 'ir'), size=64),
    dict(type='mmweather.PairedCrop', keys=('img', 'ir'), size=64),
    dict(type='mmweather.PackImages', keys=('img', 'ir'), gt=None),
]
test_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', 'gt', 'ir')),
    dict(type='mmweather.PackImages', keys=('img', 'ir'), gt='gt'),
]

train_dataloader = dict(
    batch_size=1,
    sampler=dict(type='mmweather.SeededEpochSampler'),
    dataset=dict(
        dataset=dict(data_prefix=dict(img='train/Vis/clean', ir='train/Inf/input'), pipeline=train_pipeline)))
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img='train/Vis/clean', gt='train/Vis/target', ir='train/Inf/input'), pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img='test/Vis/clean', gt='test/Vis/target', ir='test/Inf/input'), pipeline=test_pipeline))

val_evaluator = [dict(type='mmweather.FusionMetrics', metrics='all', visible='gt_img', infrared='ir')]
test_evaluator = val_evaluator
