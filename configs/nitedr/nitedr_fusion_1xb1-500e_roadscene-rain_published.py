# Stage 2 with everything that the published loop does differently (README.md, "Published behaviour").
_base_ = './nitedr_fusion_1xb1-500e_roadscene-rain.py'

model = dict(
    fusion_loss=dict(data_range=255),  # D: SSIM's default range on images in [0, 1]
    published_colour=True,  # G
    published_loop=True,  # B, C, H, J
    published_frozen_norm=True)  # F

# A: the infrared patch is cut at a place of its own.
train_pipeline = [
    dict(type='mmweather.LoadImages', keys=('img', 'ir'), cache=True),
    dict(type='mmweather.PairedPad', keys=('img', 'ir'), size=64),
    dict(type='mmweather.PairedCrop', keys=('img', ), size=64),
    dict(type='mmweather.PairedCrop', keys=('ir', ), size=64),
    dict(type='mmweather.PackImages', keys=('img', 'ir'), gt=None),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
