# Stage A for a CPU: a quarter of the width, simulated dust alone. Without the perceptual and the style term, which need
# the weights of VGG-19.
_base_ = [
    '../_base_/models/ssdie_net_supervised.py',
    '../_base_/datasets/sand_dust_dusty.py',
    '../_base_/default_runtime.py',
]

model = dict(
    generator=dict(features=16),
    networks=dict(vgg=None),
    terms=dict(reconstruction=dict(weight=1), perceptual=None, style=None),
    pretrained=dict(vgg=None))

# Neither photos nor views are needed here.
labelled_pipeline = [
    dict(type='mmweather.LoadCleanAndDepth', code='jet'),
    dict(type='mmweather.AddDust', haze=0.3),
    dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=96),
    dict(type='mmweather.PackViews', keys=('img', 'gt')),
]
clean = dict(type='mmweather.SandDust', part='clean', pipeline=labelled_pipeline)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            labelled=dict(
                datasets=[
                    dict(
                        type='mmengine.RepeatDataset',
                        times=4,
                        dataset=dict(**clean, data_root='data/sand_dust', holdout=dict(every=4, part='train'))),
                    dict(**clean, data_root='data/mini/sand_dust', holdout=dict(every=10, part='train')),
                ]),
            unlabelled=None)))

optim_wrapper = dict(
    constructor='mmagic.MultiOptimWrapperConstructor',
    generator=dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=1e-3, betas=(0.5, 0.999))))

train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=1200, val_interval=400)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
default_hooks = dict(checkpoint=dict(interval=400))
