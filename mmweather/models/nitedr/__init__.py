"""NiteDR: nighttime de-raining (CleanNet), then visible + infrared fusion."""

from __future__ import annotations

from mmweather.inputs import IMAGE, INFRARED
from mmweather.methods import Method

METHOD = Method(
    name='nitedr',
    title='NiteDR',
    purpose='removes rain from night images and fuses them with infrared',
    package=__name__,
    tasks=('restore', ),
    inputs=(IMAGE, INFRARED),
    registered={
        'model': {
            '.cleannet': ('CleanNet', ),
            '.fusion': ('LuminanceFusion', ),
            '.refinement': ('IlluminationRefiner', ),
            '.losses': ('LuminanceFusionLoss', 'RefinementLoss'),
            '.restorer': ('NiteDR', ),
        },
        'dataset': {
            'mmweather.datasets.roadscene_rain': ('RoadSceneRain', ),
        },
    },
    adapters='.state_dict_adapter',
    baseline='nitedr_cleannet_2xb4-300k_roadscene-rain',
)
