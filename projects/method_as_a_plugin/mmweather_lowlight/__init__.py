"""Brightening of dark images, as an example of a method in a package of its own."""

from mmweather.inputs import IMAGE
from mmweather.methods import Method

METHOD = Method(
    name='lowlight',
    title='LowLight',
    purpose='brightens images taken in little light',
    package=__name__,
    tasks=('restore', ),
    inputs=(IMAGE, ),
    registered={'model': {'.network': ('LightCurve', )}},
    adapters='.state_dict_adapter',
    baseline='lowlight_curve',
    index='index',
)
