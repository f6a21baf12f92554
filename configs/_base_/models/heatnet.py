# HeatNet's two-stream PSPNet: RGB and thermal apart up to layer 2 (late fusion).
model = dict(
    type='mmweather.HeatNet',
    modalities=('rgb', 'thermal'),
    backbone=dict(type='mmweather.HeatNetEncoder', in_channels=3, thermal_channels=1),
    decode_head=dict(type='mmweather.HeatNetPSPHead', in_channels=2048, channels=1024, in_index=4, num_classes=13),
    data_preprocessor=dict(type='mmweather.RGBThermalPreprocessor'))
