# default_runtime.py for segmentors of mmseg.
_base_ = './default_runtime.py'

# Draws with tools/test.py --show-dir.
default_hooks = dict(visualization=dict(type='mmweather.SegPicturesHook'))
