# CleanNet as published, supervised with the mean absolute error.
model = dict(
    type='mmweather.Restorer',
    generator=dict(
        type='mmweather.CleanNet',
        dim=48,
        num_blocks=(4, 6, 6, 8),
        heads=(1, 2, 4, 8),
        ffn_expansion=2.66,
        bias=False,
        norm='WithBias'),
    pixel_loss=dict(type='mmagic.L1Loss', loss_weight=1.0, reduction='mean'),
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))
