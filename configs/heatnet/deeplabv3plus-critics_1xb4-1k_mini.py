# mmseg's DeepLabV3+ with a ResNet-18, unchanged, on four channels, with two domain critics: on its logits and on the
# backbone's second map. Nothing but the data set and the hook comes from this package.
_base_ = './heatnet_rgbt-s-critics_1xb4-1k_mini.py'

norm_cfg = dict(type='mmengine.BN')
model = dict(
    _delete_=True,
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(type='mmweather.RGBThermalPreprocessor'),
    backbone=dict(type='mmseg.ResNet', depth=18, in_channels=4, base_channels=16, stem_channels=16, norm_cfg=norm_cfg,
                  norm_eval=False, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    decode_head=dict(
        type='mmseg.DepthwiseSeparableASPPHead', in_channels=128, in_index=3, channels=64, dilations=(1, 6, 12),
        c1_in_channels=16, c1_channels=16, num_classes=13, norm_cfg=norm_cfg, dropout_ratio=0.1,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
    test_cfg=dict(mode='whole'))

# The logits of 128x192 crops are 32x48, the least that a critic takes.
custom_hooks = [
    dict(hook, features=('decode_head.conv_seg', 'backbone[0]'))
    if hook['type'] == 'mmweather.DomainCriticHook' else hook for hook in _base_.custom_hooks
]
