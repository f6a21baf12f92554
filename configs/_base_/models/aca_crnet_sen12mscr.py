# ACA-CRNet for SEN12MS-CR: 2 radar and 13 optical channels in, 13 out, added to the optical ones; no tanh.  Attention
# over the map at half the size, as the published configuration of 128x128 crops suggests.  The cloud-adaptive loss
# holds clear pixels to the cloudy image.
model = dict(
    type='mmweather.CloudRemover',
    generator=dict(
        type='mmweather.ACACRNet', in_channels=15, out_channels=13, width=256, num_blocks=16, down_factor=2),
    value_range='sentinel',
    inputs=('img', 'sar'),
    sar_first=True,
    pixel_loss=None,
    cloud_loss=dict(type='mmweather.CloudAdaptiveLoss', target_weight=1.0),
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))
