# ACA-CRNet for RGB as published: 16 blocks of 256 channels, tanh of the output, mean absolute error.  Weights start
# Kaiming-uniform (the network does so by itself).
model = dict(
    type='mmweather.CloudRemover',
    generator=dict(
        type='mmweather.ACACRNet', in_channels=3, out_channels=3, width=256, num_blocks=16, down_factor=2),
    value_range='rice',
    pixel_loss=dict(type='mmagic.L1Loss', loss_weight=1.0, reduction='mean'),
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))
