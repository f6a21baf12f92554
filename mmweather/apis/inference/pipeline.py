"""From arrays to what a detector or a segmentor takes, by the test pipeline of its config."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from ...config.explain import config_errors
from ...errors import ConfigError, DataError
from ...registry import DATASETS
from ...utils.config_file import innermost

#: Steps for scoring alone: they cut out what a benchmark scores, or keep predictions in the size of the input.
_SCORING = ('CropWindow', 'EvaluateAtThisSize')


def _name(step: Mapping[str, Any]) -> str:
    kind = step.get('type')
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else getattr(kind, '__name__', '')


def _dataset(config: Config) -> Mapping[str, Any]:
    """The test data set's config, without wrappers; empty where there is none."""
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    return next(innermost(dataset, 'pipeline'), {})


def scope_of(config: Config, toolbox: str) -> str:
    """The scope in which the config's names without a prefix are looked up."""
    return config.get('default_scope') or toolbox


class Pipeline:
    """The steps of a config's test pipeline, but reading files and what serves scoring.

    Args:
        config: of the model, with ``test_dataloader`` or ``test_pipeline``.
        toolbox: ``'mmdet'`` or ``'mmseg'``.

    Raises:
        ConfigError: there is no such pipeline, it does not begin with reading an image, or a step cannot be built.
    """

    def __init__(self, config: Config, toolbox: str) -> None:
        steps = _dataset(config).get('pipeline') or config.get('test_pipeline')
        where = config.filename or 'the config'
        if not steps:
            raise ConfigError(f'{where}: has no test pipeline; add test_dataloader, or test_pipeline = [...]')
        first = steps[0]
        if not _name(first).startswith('Load'):
            raise ConfigError(f"{where}: the test pipeline begins with '{_name(first)}', not with a step that reads "
                              'the image (Load...)')
        self.four_channels = _name(first) == 'LoadRGBThermal'
        self.thermal_depth = first.get('depth') if self.four_channels else None
        # Each thermal picture is taken relative to its own mean: any camera's counts will do.
        self.thermal_relative = any(_name(step) == 'StandardizeThermal' for step in steps)
        self._float = bool(first.get('to_float32'))
        kept = [dict(step) for step in steps if not _name(step).startswith('Load') and _name(step) not in _SCORING]
        if any(_name(step) in _SCORING for step in steps):
            # A fixed size suits the frames of the benchmark, and would distort others.
            kept = [{**step, 'keep_ratio': True} if _name(step) == 'Resize' else step for step in kept]
        self._scope = scope_of(config, toolbox)
        with DefaultScope.overwrite_default_scope(self._scope), config_errors(config):
            importlib.import_module(f'{toolbox}.datasets.transforms')
            self._steps = Compose(kept)

    def __call__(self, image: np.ndarray) -> dict[str, Any]:
        """Prepare an image.

        Args:
            image: as the config's loader would give it: uint8 (H, W, 3) BGR, or float32 (H, W, 4) RGB and thermal.

        Returns:
            ``inputs`` and ``data_samples``.

        Raises:
            DataError: a step cannot take it, for its size or its values.
        """
        height, width = image.shape[:2]
        results: dict[str, Any] = dict(
            img=image.astype(np.float32) if self._float else image, img_id=0, img_path=None, img_shape=(height, width),
            ori_shape=(height, width), height=height, width=width, seg_fields=[])
        try:
            packed = self._steps(results)
        except cv2.error as error:
            raise DataError(f'the picture of {width}x{height} cannot be brought to the size of the model (OpenCV: '
                            f"{' '.join(str(error.err).split())}); it is too narrow or too small") from error
        if packed is None:
            raise DataError('the test pipeline of the config refuses the picture')
        return packed


def classes_of(model: Any, config: Config, toolbox: str, count: int = 0) -> tuple[list[str], Any]:
    """Names and colours of the classes: those of the checkpoint, else of the config's test data.

    Args:
        model: may carry ``dataset_meta``.
        config: of the model.
        toolbox: ``'mmdet'`` or ``'mmseg'``.
        count: number of classes of the model, if known. Names of another number are not those of the model.

    Returns:
        Names (``'class 0'``, ... where none are known), and the palette or None.
    """
    meta = {str(key).lower(): value for key, value in (getattr(model, 'dataset_meta', None) or {}).items()}
    if not meta.get('classes'):
        meta = _metainfo(_dataset(config), scope_of(config, toolbox))
    classes = meta.get('classes') or ()
    classes = [classes] if isinstance(classes, str) else [str(name) for name in classes]
    if count and len(classes) != count:
        return [f'class {i}' for i in range(count)], None
    return classes, meta.get('palette')


def _metainfo(dataset: Mapping[str, Any], scope: str) -> dict[str, Any]:
    kind = dataset.get('type')
    if isinstance(kind, str):
        scope, _, name = kind.rpartition('.') if '.' in kind else (scope, '.', kind)
        importlib.import_module(f'{scope}.registry')
        kind = DATASETS.get(f'{scope}.{name}')
    given = dataset.get('metainfo')
    meta = {**(getattr(kind, 'METAINFO', None) or {}), **(given if isinstance(given, Mapping) else {})}
    return {str(key).lower(): value for key, value in meta.items()}
