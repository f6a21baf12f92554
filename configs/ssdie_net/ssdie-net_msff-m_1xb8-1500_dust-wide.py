# For real photos, third part: a third of the storms are very orange and dense, less noise is added, so that detail is
# not smoothed away, and the structure counts more.
_base_ = './ssdie-net_msff-m-neutral_1xb8-1k_dust-wide.py'

model = dict(
    generator=dict(neutral=0.8),
    terms=dict(similarity=dict(weight=0.5)),
    pretrained=dict(generator='work_dirs/ssdie-net_msff-m-neutral_1xb8-1k_dust-wide/iter_1000.pth'))

levels = dict(type='mmweather.StretchLevels', key='gt', black=6, gamma=0.8, saturation=1.15, neutral=0.8)
dusty = [
    levels,
    dict(type='mmweather.PairedRandomResizedCrop', keys=('gt', 'depth'), size=128, scale=(0.3, 1.0)),
    dict(
        type='mmcv.RandomChoice',
        prob=[2 / 3, 1 / 3],
        transforms=[
            [dict(type='mmweather.AddDust', wide=dict(beta=(0.15, 2.0)))],
            [dict(type='mmweather.AddDust', wide=dict(beta=(0.4, 1.8), hue=(16, 44), saturation=(0.8, 1.0),
                                                      value=(0.6, 1.0), filtering=(0.5, 1.0), haze=0))],
        ]),
    dict(type='mmweather.DegradePhoto', key='img', exposure=(-0.5, 0.4), noise=(0, 4), noise_prob=0.3,
         quality=(60, 95)),
    dict(type='mmweather.PackViews', keys=('img', 'gt')),
]
with_depth = [dict(type='mmweather.LoadCleanAndDepth', code='distance', resize_depth=True), *dusty]
alone = [dict(type='mmweather.LoadCleanAndDepth', stand_in=True), *dusty]
photos = dict(type='mmweather.SandDust', part='clean')
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            labelled=dict(
                datasets=[
                    dict(
                        **photos,
                        data_root='data/vehicles_openimages',
                        data_prefix=dict(gt='images', depth='depth'),
                        holdout=dict(every=25, part='train'),
                        pipeline=with_depth),
                    dict(
                        **photos,
                        data_root='data/coco_street_tiny',
                        data_prefix=dict(gt='images', depth='depth'),
                        pipeline=with_depth),
                    dict(
                        **photos,
                        data_root='data/camvid',
                        data_prefix=dict(gt='images/train', depth='depth/train'),
                        pipeline=with_depth),
                    *(dict(**photos, data_root='data/bsds500', data_prefix=dict(gt=part), pipeline=alone)
                      for part in ('train', 'val', 'test')),
                ]))))

param_scheduler = dict(T_max=1500)
train_cfg = dict(max_iters=1500, val_interval=1500)
