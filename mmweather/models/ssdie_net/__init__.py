"""SSDIE-Net: semi-supervised enhancement of sand-dust images."""

from __future__ import annotations

from mmweather.inputs import IMAGE
from mmweather.methods import Method

METHOD = Method(
    name='ssdie_net',
    title='SSDIE-Net',
    purpose='removes sand and dust from images',
    package=__name__,
    tasks=('restore', ),
    inputs=(IMAGE, ),
    registered={
        'model': {
            '.discriminator': ('SandDustDiscriminator', ),
            '.msff': ('MSFF', ),
            '.terms': ('DarkChannelTerm', 'DarkChannelObjective'),
            '.unet': ('SandDustUNet', 'PatchUNet'),
            '.vgg': ('VGG19Features', ),
        },
        'dataset': {
            'mmweather.datasets.sand_dust': ('SandDust', ),
        },
        'transform': {
            'mmweather.datasets.transforms.dust': ('LoadCleanAndDepth', 'AddDust', 'RetinexLabel'),
        },
    },
    adapters='.state_dict_adapter',
    baseline='ssdie-net_msff_1xb8-2000e_sand-dust',
)
