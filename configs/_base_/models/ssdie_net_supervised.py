# MSFF on simulated dust: L1, perceptual and style loss with the published weights. Networks see [-1, 1].
model = dict(
    type='mmweather.SemiSupervisedRestorer',
    generator=dict(type='mmweather.MSFF', features=64, noise_std=0.01),
    networks=dict(
        vgg=dict(
            type='mmweather.VGG19Features',
            layers=('relu1_1', 'relu2_1', 'relu3_1', 'relu4_1', 'relu5_1',  # perceptual
                    'relu2_2', 'relu3_4', 'relu4_4', 'relu5_2'))),  # style
    terms=dict(
        reconstruction=dict(type='mmweather.ReconstructionTerm', weight=100, loss=dict(type='mmagic.L1Loss')),
        perceptual=dict(type='mmweather.PerceptualTerm', weight=1),
        style=dict(type='mmweather.StyleTerm', weight=1)),
    pretrained=dict(vgg='imagenet'),
    signed=True,
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))
# The networks are stepped in turn, each wrapped on its own in distributed training.
model_wrapper_cfg = dict(type='mmengine.MMSeparateDistributedDataParallel', find_unused_parameters=False)
