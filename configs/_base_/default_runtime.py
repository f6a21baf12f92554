# What every recipe shares; iterations are counted, not epochs.
default_scope = 'mmweather'

default_hooks = dict(
    runtime_info=dict(type='mmengine.RuntimeInfoHook'),
    timer=dict(type='mmengine.IterTimerHook'),
    sampler_seed=dict(type='mmengine.DistSamplerSeedHook'),
    logger=dict(type='mmengine.LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='mmengine.ParamSchedulerHook'),
    # Several processes: one set of batch-norm statistics where it is measured or saved.
    sync_buffers=dict(type='mmweather.SyncBuffersHook'),
    # Recipes with a validation set add save_best, e.g. save_best='psnr_y', rule='greater'.
    checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=3))
custom_hooks = [
    dict(type='mmweather.ExactResumeHook'),
    dict(type='mmweather.RankMeanLogHook'),
    dict(type='mmweather.NonFiniteLossHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Seconds after which a process that does not answer ends the others.
    dist_cfg=dict(backend='nccl', timeout=600))
visualizer = dict(type='mmengine.Visualizer', vis_backends=[dict(type='mmengine.LocalVisBackend')])
log_processor = dict(type='mmengine.LogProcessor', by_epoch=False, window_size=50)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False
