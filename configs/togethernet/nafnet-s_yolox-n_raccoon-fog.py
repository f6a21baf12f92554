# Both, one behind the other, for testing: tools/model_converters/join_parts.py joins their checkpoints.
_base_ = './yolox-n_1xb8-40e_raccoon-clear.py'

model = dict(
    _delete_=True,
    type='mmweather.RestoreThenDetect',
    detector=_base_.model,
    restorer=dict(
        type='mmweather.Restorer',
        generator=dict(
            type='mmagic.NAFNet', img_channels=3, mid_channels=24, enc_blk_nums=(1, 1, 2), middle_blk_num=1,
            dec_blk_nums=(1, 1, 1)),
        pixel_loss=dict(type='mmagic.L1Loss')))
