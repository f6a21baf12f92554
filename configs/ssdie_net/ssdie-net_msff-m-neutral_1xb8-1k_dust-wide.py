# For real photos, second part: the enlarged maps are blurred, which leaves no grid; the targets are nearly neutral on
# average, their shadows are lifted and their colours made stronger; the squared error keeps colours that L1 turns grey.
_base_ = './ssdie-net_msff-m-pretrain_1xb8-3k_dust-wide.py'

model = dict(
    generator=dict(smooth=True),
    terms=dict(colour=dict(type='mmweather.ReconstructionTerm', weight=0.5, loss=dict(type='mmagic.MSELoss'))),
    pretrained=dict(generator='work_dirs/ssdie-net_msff-m-pretrain_1xb8-3k_dust-wide/iter_3000.pth'))

levels = dict(type='mmweather.StretchLevels', key='gt', black=6, gamma=0.8, saturation=1.15, neutral=0.8)
dusty = [
    levels,
    dict(type='mmweather.PairedRandomResizedCrop', keys=('gt', 'depth'), size=128, scale=(0.3, 1.0)),
    dict(type='mmweather.AddDust', wide=dict(beta=(0.15, 2.0))),
    dict(type='mmweather.DegradePhoto', key='img', exposure=(-0.5, 0.4)),
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

optim_wrapper = dict(generator=dict(optimizer=dict(lr=5e-4)))
param_scheduler = dict(T_max=2000)
# Half of the schedule: the third part goes on from there.
train_cfg = dict(max_iters=1000, val_interval=1000)
