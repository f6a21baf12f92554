"""HeatNet: day and night segmentation of RGB and thermal images with domain critics."""

from __future__ import annotations

from mmweather.inputs import IMAGE, THERMAL
from mmweather.methods import Method

METHOD = Method(
    name='heatnet',
    title='HeatNet',
    purpose='segments streets by day and night from RGB and thermal images',
    package=__name__,
    tasks=('segment', ),
    inputs=(IMAGE, THERMAL),
    registered={
        'model': {
            '.pspnet': ('HeatNetPSPNet', ),
            '.encoder': ('HeatNetEncoder', 'HeatNetResNeXtBackbone'),
            '.head': ('HeatNetPSPHead', 'HeatNetLogitsHead'),
            '.segmentor': ('HeatNet', ),
            '.resnext': ('HeatNetResNeXt', ),
            '.critic': ('DomainCritic', 'ResNetCritic'),
        },
        'dataset': {
            'mmweather.datasets.freiburg_thermal': ('FreiburgThermal', ),
            'mmweather.datasets.rgb_thermal_sets': (
                'MFDataset', 'MFTeacherLabels', 'RGBThermalPairs', 'TranslatedLabels'),
        },
        'transform': {
            'mmweather.datasets.transforms.teacher_labels': ('LoadCertainty', 'PackTeacherLabels'),
        },
    },
    adapters='.state_dict_adapter',
    baseline='heatnet_rgbt-late_4xb2-100k_freiburg',
)
