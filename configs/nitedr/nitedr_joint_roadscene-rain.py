# Both stages, for testing: rainy visible and infrared in, refined fusion out.
# Checkpoint: tools/model_converters/join_nitedr.py STAGE1 STAGE2 OUT
_base_ = './nitedr_fusion_1xb1-500e_roadscene-rain.py'

model = dict(cleaner=dict(type='mmweather.CleanNet'))
test_dataloader = dict(
    dataset=dict(data_prefix=dict(img='test/Vis/input', gt='test/Vis/target', ir='test/Inf/input')))
val_dataloader = dict(
    dataset=dict(data_prefix=dict(img='train/Vis/input', gt='train/Vis/target', ir='train/Inf/input')))
# The cleaned image against the clean one, and the fused image as it is used and before refinement.
test_evaluator = [
    dict(type='mmweather.RestorationMetrics', metrics=('psnr_y', 'psnr_rgb', 'ssim_y'), prediction='clean',
         prefix='clean'),
    dict(type='mmweather.FusionMetrics', metrics='all', visible='gt_img', infrared='ir', prefix='refined'),
    dict(type='mmweather.FusionMetrics', metrics='all', visible='gt_img', infrared='ir', prediction='fused',
         prefix='fused'),
]
val_evaluator = test_evaluator
