# NiteDR's second stage on images that CleanNet has cleaned beforehand.
model = dict(
    type='mmweather.NiteDR',
    fusion=dict(type='mmweather.LuminanceFusion', growth=44, layers=5),
    refiner=dict(type='mmweather.IlluminationRefiner', passes=3),
    fusion_loss=dict(type='mmweather.LuminanceFusionLoss', ssim_weight=1.0, mse_weight=20.0, data_range=1.0),
    # The published smoothness is kept: the edge-aware one lets the illumination follow the image, and the result
    # turns white (README.md, I).
    refinement_loss=dict(
        type='mmweather.RefinementLoss', fidelity_weight=1.5, smooth_weight=1.0, published_smoothness=True),
    cascades=3,
    data_preprocessor=dict(type='mmweather.ImageSetPreprocessor'))
# The networks are stepped in turn, each wrapped on its own in distributed training.
model_wrapper_cfg = dict(type='mmengine.MMSeparateDistributedDataParallel', find_unused_parameters=False)
