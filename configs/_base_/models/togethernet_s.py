# TogetherNet; `model.arch` sets the width and depth: tiny, s (the published one), m, l, x.
model = dict(
    type='mmweather.TogetherNet',
    arch='s',
    # Changes to the default backbone: none. MMDetection's init_detector reads this key.
    backbone=dict(),
    num_classes=5,
    data_preprocessor=dict(
        type='mmweather.PairedDetPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        bgr_to_rgb=True,
        pad_size_divisor=32,
        minimum_size=128),
    test_cfg=dict(score_thr=0.001, nms=dict(iou_threshold=0.65), restore=False))
