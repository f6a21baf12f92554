# The classifier that tells the dark channel of clean images from that of dusty ones.
model = dict(
    type='mmweather.SemiSupervisedRestorer',
    networks=dict(dark=dict(type='mmweather.SandDustDiscriminator', in_channels=1)),
    objectives=dict(dark=dict(type='mmweather.DarkChannelObjective', block=16)),
    signed=True,
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))
model_wrapper_cfg = dict(type='mmengine.MMSeparateDistributedDataParallel', find_unused_parameters=False)
