# A peer that mmagic offers, of the multiply-adds of aca-crnet-s (4.24 G at 128x128): same data, crops, iterations,
# seed and evaluation; optimizer and schedule as NAFNet's authors train it.
_base_ = './aca-crnet-s_1xb4-1k_rice1.py'

model = dict(
    _delete_=True,
    type='mmweather.Restorer',
    generator=dict(
        type='mmagic.NAFNet', img_channels=3, mid_channels=48, enc_blk_nums=(2, 2, 4), middle_blk_num=2,
        dec_blk_nums=(2, 2, 2)),
    pixel_loss=dict(type='mmagic.L1Loss', loss_weight=1.0, reduction='mean'),
    eight_bit=False,
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='mmengine.AdamW', lr=1e-3, betas=(0.9, 0.9), weight_decay=0.0))
param_scheduler = [
    dict(type='mmengine.CosineAnnealingLR', by_epoch=False, begin=0, end=1000, T_max=1000, eta_min=1e-7)
]
