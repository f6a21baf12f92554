"""Child registries of MMEngine's roots under the scope ``mmweather``.

A class is found by name without importing the rest of the package: :data:`CATALOGUE` says which module
registers it, and only that module is imported, when the name is first asked for.  So one method never
pulls in the toolbox of another.  A test compares the catalogue with the decorators in the code.

To add a class: decorate it with ``@MODELS.register_module()`` (or another registry below) and write its
name beside its module in the catalogue.
"""

from __future__ import annotations

import importlib
from typing import Any

from mmengine import registry as roots
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

from . import compat
from .errors import missing_toolbox

compat.apply()
# Lets `_base_ = ['mmweather::...']` and MMEngine's inferencers find the package's configs.  The value is a module, not
# the distribution: MMEngine asks pkg_resources where a distribution is, which is site-packages for an editable install,
# and falls back on the module's own folder where no distribution has the name.
MODULE2PACKAGE.setdefault('mmweather', 'mmweather.registry')

CATALOGUE: dict[str, dict[str, tuple[str, ...]]] = {
    'model': {
        'mmweather.models.preprocessors.paired_det': ('PairedDetPreprocessor', ),
        'mmweather.models.losses.image': ('PSNRLoss', ),
        'mmweather.models.preprocessors.image_set': ('ImageSetPreprocessor', ),
        'mmweather.models.restorers.restorer': ('Restorer', ),
        'mmweather.models.restorers.restore_then_detect': ('RestoreThenDetect', ),
        'mmweather.models.semi_supervised.restorer': ('SemiSupervisedRestorer', ),
        'mmweather.models.semi_supervised.terms': (
            'ReconstructionTerm', 'PerceptualTerm', 'StyleTerm', 'PseudoLabelTerm', 'ConsistencyTerm',
            'AdversarialTerm', 'CriticObjective'),
        'mmweather.models.nitedr.cleannet': ('CleanNet', ),
        'mmweather.models.nitedr.fusion': ('LuminanceFusion', ),
        'mmweather.models.nitedr.refinement': ('IlluminationRefiner', ),
        'mmweather.models.nitedr.losses': ('LuminanceFusionLoss', 'RefinementLoss'),
        'mmweather.models.nitedr.restorer': ('NiteDR', ),
        'mmweather.models.aca_crnet.attention': ('AttentiveContextualAttention', ),
        'mmweather.models.aca_crnet.network': ('ACACRNet', ),
        'mmweather.models.aca_crnet.losses': ('CloudAdaptiveLoss', ),
        'mmweather.models.aca_crnet.restorer': ('CloudRemover', ),
        'mmweather.models.ssdie_net.discriminator': ('SandDustDiscriminator', ),
        'mmweather.models.ssdie_net.msff': ('MSFF', ),
        'mmweather.models.ssdie_net.terms': ('DarkChannelTerm', 'DarkChannelObjective'),
        'mmweather.models.ssdie_net.unet': ('SandDustUNet', 'PatchUNet'),
        'mmweather.models.ssdie_net.vgg': ('VGG19Features', ),
        'mmweather.models.togethernet.dtfe': ('DynamicTransformerEnhancement', ),
        'mmweather.models.togethernet.self_calibrated': ('SelfCalibratedBottleneck', ),
        'mmweather.models.togethernet.decoder': ('RestorationDecoder', ),
        'mmweather.models.togethernet.losses': ('FocalObjectnessLoss', ),
        'mmweather.models.togethernet.backbone': ('DTFEDarknet', ),
        'mmweather.models.togethernet.neck': ('SelfCalibratedPAFPN', ),
        'mmweather.models.togethernet.restoration': ('RestorationHead', ),
        'mmweather.models.togethernet.detector': ('TogetherNet', ),
        'mmweather.models.heatnet.pspnet': ('HeatNetPSPNet', ),
        'mmweather.models.heatnet.encoder': ('HeatNetEncoder', 'HeatNetResNeXtBackbone'),
        'mmweather.models.heatnet.head': ('HeatNetPSPHead', 'HeatNetLogitsHead'),
        'mmweather.models.heatnet.segmentor': ('HeatNet', ),
        'mmweather.models.preprocessors.rgb_thermal': ('RGBThermalPreprocessor', ),
        'mmweather.models.restorers.classical': ('GreyWorld', 'DarkChannelPrior'),
        'mmweather.models.adaptation.two_stream': ('TwoStreamBackbone', ),
        'mmweather.models.heatnet.resnext': ('HeatNetResNeXt', ),
        'mmweather.models.heatnet.critic': ('DomainCritic', 'ResNetCritic'),
    },
    'dataset': {
        'mmweather.datasets.paired': ('PairedImageDataset', ),
        'mmweather.datasets.roadscene_rain': ('RoadSceneRain', ),
        'mmweather.datasets.seeded': ('SeededDataset', ),
        'mmweather.datasets.paired_det': ('PairedDetDataset', 'BoxListDataset'),
        'mmweather.datasets.voc_fog': ('VOCFog', 'RTTS', 'FoggyDriving'),
        'mmweather.datasets.sen12mscr': ('SEN12MSCR', ),
        'mmweather.datasets.rice': ('RICE', ),
        'mmweather.datasets.sand_dust': ('SandDust', ),
        'mmweather.datasets.labelled_unlabelled': ('LabelledUnlabelled', ),
        'mmweather.datasets.freiburg_thermal': ('FreiburgThermal', ),
        'mmweather.datasets.rgb_thermal_sets': ('MFDataset', 'MFTeacherLabels', 'RGBThermalPairs', 'TranslatedLabels'),
    },
    'transform': {
        'mmweather.datasets.transforms.loading': ('LoadImages', ),
        'mmweather.datasets.transforms.paired': ('PairedResize', 'PairedPad', 'PairedCrop', 'PairedDihedral'),
        'mmweather.datasets.transforms.formatting': ('PackImages', ),
        'mmweather.datasets.transforms.paired_det': (
            'LoadDetImage', 'LoadCleanImage', 'PairedTransform', 'PairedMosaic', 'PairedMixUp', 'PairedRandomAffine'),
        'mmweather.datasets.transforms.fog_augment': ('PublishedFogAugment', 'Letterbox'),
        'mmweather.datasets.transforms.pack_paired_det': ('PackPairedDetInputs', ),
        'mmweather.datasets.transforms.sentinel_loading': ('LoadSentinel', 'FindClouds'),
        'mmweather.datasets.transforms.dust': ('LoadCleanAndDepth', 'AddDust', 'RetinexLabel'),
        'mmweather.datasets.transforms.views': ('WeakViews', 'PackViews'),
        'mmweather.datasets.transforms.rgb_thermal': (
            'LoadRGBThermal', 'LoadLabelMap', 'CropWindow', 'EvaluateAtThisSize', 'DropModality', 'ScaleThermal'),
        'mmweather.datasets.transforms.weather': ('AddFog', 'AddRain', 'AddNight', 'AddCloud'),
        'mmweather.datasets.transforms.teacher_labels': ('LoadCertainty', 'PackTeacherLabels'),
    },
    'data sampler': {
        'mmweather.datasets.samplers': ('SeededInfiniteSampler', 'SeededEpochSampler', 'DomainPairSampler'),
    },
    'parameter scheduler': {
        'mmweather.engine.schedulers': ('WarmCosineLR', ),
    },
    'loop': {
        'mmweather.engine.loops': ('SeededIterBasedTrainLoop', ),
    },
    'hook': {
        'mmweather.engine.hooks.class_count': ('ClassCountHook', ),
        'mmweather.engine.hooks.det_pictures': ('RestoredDetVisualizationHook', ),
        'mmweather.engine.hooks.exact_resume': ('ExactResumeHook', ),
        'mmweather.engine.hooks.non_finite_loss': ('NonFiniteLossHook', ),
        'mmweather.engine.hooks.progress_bar': ('ProgressBarHook', ),
        'mmweather.engine.hooks.rank_mean_log': ('RankMeanLogHook', ),
        'mmweather.engine.hooks.save_pictures': ('SavePicturesHook', ),
        'mmweather.engine.hooks.seg_pictures': ('SegPicturesHook', ),
        'mmweather.engine.hooks.domain_critic': ('DomainCriticHook', ),
    },
    'metric': {
        'mmweather.evaluation.metrics': ('RestorationMetrics', 'FusionMetrics'),
        'mmweather.evaluation.band_metrics': ('BandMetrics', ),
        'mmweather.evaluation.no_reference': ('NoReferenceMetrics', ),
        'mmweather.evaluation.segmentation': ('DomainIoUMetric', ),
    },
}


class LazyRegistry(Registry):
    """A registry that imports the module of a name when the name is asked for."""

    def __init__(self, name: str, parent: Registry) -> None:
        self._home = {
            cls: module
            for module, classes in CATALOGUE.get(name, {}).items() for cls in classes
        }
        super().__init__(name, parent=parent, scope='mmweather', locations=['mmweather.registry'])

    def get(self, key: str) -> Any:
        """The class registered as ``key``; its module is imported first.

        Raises:
            MissingToolboxError: the module needs a package that is not installed.
        """
        scope, name = self.split_scope_key(key)
        if scope in (None, 'mmweather') and name in self._home and name not in self._module_dict:
            try:
                importlib.import_module(self._home[name])
            except ModuleNotFoundError as error:
                if (error.name or '').split('.')[0] == 'mmweather':
                    raise
                raise missing_toolbox(f"'mmweather.{name}'", error) from error
        return super().get(key)

    def names(self) -> list[str]:
        """Every name of the catalogue and everything else registered so far."""
        return sorted({*self._home, *self._module_dict})


def _child(root: Registry) -> LazyRegistry:
    return LazyRegistry(root.name, parent=root)


MODELS = _child(roots.MODELS)
DATASETS = _child(roots.DATASETS)
TRANSFORMS = _child(roots.TRANSFORMS)
DATA_SAMPLERS = _child(roots.DATA_SAMPLERS)
HOOKS = _child(roots.HOOKS)
LOOPS = _child(roots.LOOPS)
METRICS = _child(roots.METRICS)
OPTIM_WRAPPERS = _child(roots.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(roots.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = _child(roots.PARAM_SCHEDULERS)
VISUALIZERS = _child(roots.VISUALIZERS)
RUNNERS = _child(roots.RUNNERS)
MODEL_WRAPPERS = _child(roots.MODEL_WRAPPERS)
TASK_UTILS = _child(roots.TASK_UTILS)
# Nothing of ours is in these; without the children MMEngine warns, under our scope, that it cannot find them.
OPTIMIZERS = _child(roots.OPTIMIZERS)
EVALUATOR = _child(roots.EVALUATOR)
LOG_PROCESSORS = _child(roots.LOG_PROCESSORS)
VISBACKENDS = _child(roots.VISBACKENDS)
WEIGHT_INITIALIZERS = _child(roots.WEIGHT_INITIALIZERS)
FUNCTIONS = _child(roots.FUNCTIONS)
INFERENCERS = _child(roots.INFERENCERS)
STRATEGIES = _child(roots.STRATEGIES)
