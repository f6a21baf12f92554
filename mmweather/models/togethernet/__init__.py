"""TogetherNet: object detection in fog, trained together with the restoration of the clear image."""

from __future__ import annotations

from mmweather.inputs import IMAGE
from mmweather.methods import Method

METHOD = Method(
    name='togethernet',
    title='TogetherNet',
    purpose='detects objects in fog and restores the image',
    package=__name__,
    tasks=('detect', ),
    inputs=(IMAGE, ),
    registered={
        'model': {
            '.dtfe': ('DynamicTransformerEnhancement', ),
            '.self_calibrated': ('SelfCalibratedBottleneck', ),
            '.decoder': ('RestorationDecoder', ),
            '.losses': ('FocalObjectnessLoss', ),
            '.backbone': ('DTFEDarknet', ),
            '.neck': ('SelfCalibratedPAFPN', ),
            '.restoration': ('RestorationHead', ),
            '.detector': ('TogetherNet', ),
        },
        'dataset': {
            'mmweather.datasets.voc_fog': ('VOCFog', 'RTTS', 'FoggyDriving'),
        },
        'transform': {
            'mmweather.datasets.transforms.fog_augment': ('PublishedFogAugment', 'Letterbox'),
        },
    },
    adapters='.state_dict_adapter',
    baseline='togethernet_s_1xb16-100e_voc-fog',
)
