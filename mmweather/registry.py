"""Child registries of MMEngine's roots under the scope ``mmweather``.

A class is found by name without importing the rest of the package: :data:`CATALOGUE` says which module
registers it, and only that module is imported, when the name is first asked for.  So one method never
pulls in the toolbox of another.  A test compares the catalogue with the decorators in the code.

To add a class: decorate it with ``@MODELS.register_module()`` (or another registry below) and write its name beside
its module in the ``METHOD`` of its room (:mod:`mmweather.methods`), or in :data:`_SHARED` where no method owns it.
"""

from __future__ import annotations

import importlib
from typing import Any

from mmengine import registry as roots
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

from . import compat
from .errors import missing_toolbox
from .methods import own_methods, plugin_methods

compat.apply()
# Lets `_base_ = ['mmweather::...']` and MMEngine's inferencers find the package's configs.  The value is a module, not
# the distribution: MMEngine asks pkg_resources where a distribution is, which is site-packages for an editable install,
# and falls back on the module's own folder where no distribution has the name.
MODULE2PACKAGE.setdefault('mmweather', 'mmweather.registry')

_SHARED: dict[str, dict[str, tuple[str, ...]]] = {
    'model': {
        'mmweather.models.preprocessors.paired_det': ('PairedDetPreprocessor', ),
        'mmweather.models.losses.image': ('PSNRLoss', 'SSIMLoss'),
        'mmweather.models.detectors.partly_labelled': ('PartlyLabelledYOLOXHead', ),
        'mmweather.models.preprocessors.image_set': ('ImageSetPreprocessor', ),
        'mmweather.models.restorers.restorer': ('Restorer', ),
        'mmweather.models.restorers.restore_then_detect': ('RestoreThenDetect', ),
        'mmweather.models.semi_supervised.restorer': ('SemiSupervisedRestorer', ),
        'mmweather.models.semi_supervised.terms': (
            'ReconstructionTerm', 'PerceptualTerm', 'StyleTerm', 'PseudoLabelTerm', 'ConsistencyTerm',
            'AdversarialTerm', 'CriticObjective'),
        'mmweather.models.preprocessors.rgb_thermal': ('RGBThermalPreprocessor', ),
        'mmweather.models.restorers.classical': ('GreyWorld', 'DarkChannelPrior'),
        'mmweather.models.adaptation.domain_adversarial': ('DomainAdversarial', ),
        'mmweather.models.adaptation.two_stream': ('TwoStreamBackbone', ),
    },
    'model_wrapper': {
        'mmweather.models.adaptation.domain_adversarial': ('DomainAdversarialDDP', ),
    },
    'optimizer wrapper constructor': {
        'mmweather.models.adaptation.domain_adversarial': ('DomainAdversarialOptim', ),
    },
    'dataset': {
        'mmweather.datasets.paired': ('PairedImageDataset', ),
        'mmweather.datasets.seeded': ('SeededDataset', ),
        'mmweather.datasets.paired_det': ('PairedDetDataset', 'BoxListDataset'),
        'mmweather.datasets.partly_labelled': ('PartlyLabelledCoco', ),
        'mmweather.datasets.labelled_unlabelled': ('LabelledUnlabelled', ),
    },
    'transform': {
        'mmweather.datasets.transforms.loading': ('LoadImages', ),
        'mmweather.datasets.transforms.paired': ('PairedResize', 'PairedPad', 'PairedCrop', 'PairedDihedral'),
        'mmweather.datasets.transforms.formatting': ('PackImages', ),
        'mmweather.datasets.transforms.paired_det': (
            'LoadDetImage', 'LoadCleanImage', 'PairedTransform', 'PairedMosaic', 'PairedMixUp', 'PairedRandomAffine'),
        'mmweather.datasets.transforms.pack_paired_det': ('PackPairedDetInputs', ),
        'mmweather.datasets.transforms.photo': ('StretchLevels', 'PairedRandomResizedCrop', 'DegradePhoto'),
        'mmweather.datasets.transforms.views': ('WeakViews', 'PackViews'),
        'mmweather.datasets.transforms.rgb_thermal': (
            'LoadRGBThermal', 'LoadLabelMap', 'CropWindow', 'EvaluateAtThisSize', 'DropModality', 'ScaleThermal'),
        'mmweather.datasets.transforms.thermal_variety': ('StandardizeThermal', 'DrawThermal', 'VaryThermal'),
        'mmweather.datasets.transforms.weather': ('AddFog', 'AddRain', 'AddNight', 'AddCloud'),
        'mmweather.datasets.transforms.photo_fog': ('AddPhotoFog', 'LocalContrast'),
    },
    'data sampler': {
        'mmweather.datasets.samplers': ('SeededInfiniteSampler', 'SeededEpochSampler', 'DomainPairSampler'),
    },
    'optim_wrapper': {
        'mmweather.engine.optim_wrappers': ('BFloat16OptimWrapper', ),
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
        'mmweather.engine.hooks.sync_buffers': ('SyncBuffersHook', ),
    },
    'metric': {
        'mmweather.evaluation.metrics': ('RestorationMetrics', 'FusionMetrics'),
        'mmweather.evaluation.band_metrics': ('BandMetrics', ),
        'mmweather.evaluation.no_reference': ('NoReferenceMetrics', ),
        'mmweather.evaluation.segmentation': ('DomainIoUMetric', ),
    },
}


def _catalogue() -> dict[str, dict[str, tuple[str, ...]]]:
    joined = {registry: dict(modules) for registry, modules in _SHARED.items()}
    for method in own_methods().values():
        for registry, modules in method.catalogue().items():
            joined.setdefault(registry, {}).update(modules)
    return joined


CATALOGUE = _catalogue()
"""Registry -> module -> names that the module registers: shared rooms and the methods of this package."""


class LazyRegistry(Registry):
    """A registry that imports the module of a name when the name is asked for."""

    def __init__(self, name: str, parent: Registry) -> None:
        self._home = {cls: module for module, classes in CATALOGUE.get(name, {}).items() for cls in classes}
        self._knows_plugins = False
        super().__init__(name, parent=parent, scope='mmweather', locations=['mmweather.registry'])

    def get(self, key: str) -> Any:
        """Return the class registered as ``key``; its module is imported first.

        Raises:
            MissingToolboxError: the module needs a package that is not installed.
        """
        scope, name = self.split_scope_key(key)
        if scope in (None, 'mmweather') and name not in self._home and name not in self._module_dict:
            self._ask_plugins()
        if scope in (None, 'mmweather') and name in self._home and name not in self._module_dict:
            try:
                importlib.import_module(self._home[name])
            except ModuleNotFoundError as error:
                if (error.name or '').split('.')[0] == 'mmweather':
                    raise
                raise missing_toolbox(f"'mmweather.{name}'", error) from error
        return super().get(key)

    def _ask_plugins(self) -> None:
        """Add the names that plug-ins declare; only once, and only when a name is not ours."""
        if self._knows_plugins:
            return
        self._knows_plugins = True
        for method in plugin_methods().values():
            for module, classes in method.catalogue().get(self.name, {}).items():
                for cls in classes:
                    self._home.setdefault(cls, module)

    def names(self) -> list[str]:
        """Return every name of the catalogue and of plug-ins, and everything else registered so far."""
        self._ask_plugins()
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
