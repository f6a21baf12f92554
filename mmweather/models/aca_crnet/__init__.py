"""ACA-CRNet: cloud removal with attentive contextual attention."""

from __future__ import annotations

from mmweather.inputs import IMAGE, RADAR
from mmweather.methods import Method

METHOD = Method(
    name='aca_crnet',
    title='ACA-CRNet',
    purpose='removes clouds from satellite images, RGB or 13 bands with radar',
    package=__name__,
    tasks=('restore', ),
    inputs=(IMAGE, RADAR),
    registered={
        'model': {
            '.attention': ('AttentiveContextualAttention', ),
            '.network': ('ACACRNet', ),
            '.losses': ('CloudAdaptiveLoss', ),
            '.restorer': ('CloudRemover', ),
        },
        'dataset': {
            'mmweather.datasets.rice': ('RICE', ),
            'mmweather.datasets.sen12mscr': ('SEN12MSCR', ),
        },
        'transform': {
            'mmweather.datasets.transforms.sentinel_loading': ('LoadSentinel', 'FindClouds'),
        },
    },
    adapters='.state_dict_adapter',
    baseline='aca-crnet_1xb12-299e_rice1',
)
