# default_runtime.py for detectors of mmdet, whose recipes count epochs.
_base_ = './default_runtime.py'

default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    checkpoint=dict(by_epoch=True, interval=5, max_keep_ckpts=3),
    visualization=dict(type='mmweather.RestoredDetVisualizationHook'))
custom_hooks = [*_base_.custom_hooks, dict(type='mmweather.ClassCountHook')]
log_processor = dict(by_epoch=True)
visualizer = dict(type='mmdet.DetLocalVisualizer')
