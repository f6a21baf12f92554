# The same behind CLAHE: the strongest simple step against fog.
_base_ = './yolox-nano_coco.py'

test_dataloader = dict(dataset=dict(pipeline=[
    _base_.test_pipeline[0], dict(type='mmweather.LocalContrast'), *_base_.test_pipeline[1:]]))
