"""How a model of mmdet, mmseg or mmagic fares in worse and worse weather, by its own test set and its own metrics."""

from __future__ import annotations

import contextlib
import copy
import gc
import hashlib
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from tqdm import tqdm

from ...config.explain import config_errors
from ...config.load import check_sections, load_config
from ...datasets.leakage import refuse_leaking_config
from ...engine.runner import build_runner
from ...errors import CheckpointError, ConfigError, MMWeatherError
from ...utils.atomic import write_bytes, write_json
from ...utils.config_file import innermost
from ...utils.files import read_json
from ...utils.runs import claim, stamp
from ...weather.severity import WEATHERS
from .table import CLEAN, Robustness

VERSION = 1
"""Raised whenever a cell of the same settings would come out otherwise."""
MANIFEST = 'robustness.json'
# What a metric of many is judged by where the user names none; by the end of its name.
_MAIN = ('bbox_mAP', 'pascal_voc/mAP', 'mAP', 'mIoU', 'psnr_y', 'PSNR', 'psnr_rgb')
# Names of loading steps whose images are RGB; mmcv's and the toolboxes' are BGR unless they say otherwise.
_RGB_LOADERS = ('LoadImages', 'LoadRGBThermal')


# Into the test pipeline ---------------------------------------------------------------------------------------


def _name(step: Any) -> str:
    kind = step.get('type', '') if isinstance(step, Mapping) else ''
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).rsplit('.', 1)[-1]


def _is_loader(step: Any, key: str) -> bool:
    """Whether a step reads the image ``key``."""
    name = _name(step)
    if name == 'LoadImages':
        return key in step.get('keys', ('img', 'gt'))
    return (name.startswith('Load') and ('Image' in name or name == 'LoadRGBThermal') and name != 'LoadCleanImage'
            and step.get('key', 'img') == key)


def _pipelines(node: Any) -> Iterator[list]:
    if isinstance(node, Mapping):
        if isinstance(node.get('pipeline'), list):
            yield node['pipeline']
        for key in ('dataset', 'datasets'):
            yield from _pipelines(node.get(key))
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _pipelines(child)


def add_weather(config: Config, weather: str, severity: int, seed: int = 0, source: str = 'img',
                prob: float = 1.0) -> Config:
    """A copy of a config whose test set gets weather, laid on right behind the loading of the image.

    Args:
        config: of any toolbox.
        weather: one of :data:`~mmweather.weather.severity.WEATHERS`.
        severity: 1 to 5.
        seed: of the weather; equal images get equal weather.
        source: the image that weather is laid on to become ``img``; ``'gt'`` makes a restorer's input of its target.
        prob: share of the images that get weather.

    Raises:
        ConfigError: the test pipeline reads no such image.
    """
    config = copy.deepcopy(config)
    found = False
    for pipeline in _pipelines(config.get('test_dataloader')):
        readers = {key: [i for i, step in enumerate(pipeline) if _is_loader(step, key)] for key in ('img', source)}
        if not all(readers.values()):
            continue
        found = True
        step = pipeline[readers[source][0]]
        order = 'rgb' if _name(step) in _RGB_LOADERS else step.get('channel_order', 'bgr')
        pipeline.insert(1 + max(places[0] for places in readers.values()), dict(
            type=f'mmweather.Add{weather.capitalize()}', severity=severity, seed=seed, prob=prob, color_order=order,
            source=source))
    if not found:
        raise ConfigError(f"test_dataloader: no step of its pipeline reads a colour image '{source}' (as "
                          'LoadImageFromFile or LoadImages do), which weather could be laid on')
    return config


# Measuring ----------------------------------------------------------------------------------------------------


class _Bar(Hook):
    """Shows the batches of one test and keeps its metrics, which mmagic's loop tells hooks only."""

    def __init__(self, title: str, progress: bool | None) -> None:
        self.title, self.disable = title, None if progress is None else not progress
        self.bar: tqdm | None = None
        self.metrics: dict[str, Any] = {}

    def after_test_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.metrics.update(metrics or {})

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loader = runner.test_dataloader
        total = sum(map(len, loader)) if isinstance(loader, list) else len(loader)
        self.bar = self.bar or tqdm(total=total, desc=self.title, unit='batch', leave=False, disable=self.disable)
        self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _measure(config: Config, title: str, progress: bool | None) -> dict[str, float]:
    bar = _Bar(title, progress)
    try:
        with config_errors(config):
            runner = build_runner(config)
            runner.register_hook(bar, priority='LOW')
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints a page for each test
                runner.test()
    except MMWeatherError as error:
        # A worker of the loader sends its whole traceback; the last line is the message.
        lines = str(error).splitlines()
        if len(lines) < 2:
            raise
        raise type(error)(lines[-1].split(': ', 1)[-1]) from error
    finally:
        bar.close()
    numbers = {}
    for name, value in bar.metrics.items():
        with contextlib.suppress(TypeError, ValueError):  # tables and texts
            numbers[name] = float(value)
    return numbers


def _test_only(config: Config) -> None:
    """Drop what a test does not need: training data may be absent, and nobody looks at the pictures of 20 tests."""
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr',
                'val_dataloader', 'val_cfg', 'val_evaluator'):
        config[key] = None
    hooks = [hook for hook in config.get('custom_hooks') or [] if not _draws(hook)]
    config.custom_hooks = hooks
    for name, hook in (config.get('default_hooks') or {}).items():
        if hook is not None and _draws(hook):
            config.default_hooks[name] = None


def _draws(hook: Any) -> bool:
    return _name(hook).endswith(('VisualizationHook', 'SavePicturesHook'))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while part := file.read(1 << 24):
            digest.update(part)
    return digest.hexdigest()


def _data_digest(config: Config, out: Path) -> str:
    """Of names, sizes and times of the test set's files; what the run itself writes is left out."""
    digest = hashlib.sha256()
    loaders = config.test_dataloader
    for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        for one in innermost(loader.get('dataset') or {}):
            root, prefix = Path(one.get('data_root') or ''), one.get('data_prefix') or {}
            parts = [*(prefix.values() if isinstance(prefix, Mapping) else [prefix]), one.get('ann_file')]
            for path in [root / part for part in parts if part and isinstance(part, str)] or [root]:
                files = [file for file in sorted(path.rglob('*')) if out not in file.parents and not file.is_dir()
                         ] if path.is_dir() else [path]
                digest.update(repr(list(zip(map(str, files), stamp(*files), strict=True))).encode())
    return digest.hexdigest()


def _read_cell(path: Path) -> dict[str, float] | None:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def main_metric(metrics: Mapping[str, float], wanted: str | None = None) -> str:
    """The metric to judge by: the one that is named, by its whole name or its end, or a usual one.

    Raises:
        ConfigError: there is no such metric.
    """
    for name in (wanted, ) if wanted else _MAIN:
        for key in metrics:
            if key == name or (key.endswith(name) and not key[-len(name) - 1].isalnum()):
                return key
    if wanted or not metrics:
        raise ConfigError(f"the test evaluator gives no metric '{wanted or 'of numbers'}'; it gives "
                          f'{", ".join(metrics) or "none"}')
    return next(iter(metrics))


def measure_robustness(config: str | Path,
                       checkpoint: str | Path,
                       out: str | Path,
                       weathers: Sequence[str] = WEATHERS[:-1],
                       severities: Sequence[int] = (1, 2, 3, 4, 5),
                       metric: str | None = None,
                       seed: int = 0,
                       source: str = 'img',
                       options: Mapping[str, Any] | None = None,
                       progress: bool | None = None) -> Robustness:
    """Test a model without weather and in each weather and severity, and write table and curve.

    Each cell is the test of the config as ``tools/test.py`` runs it, with ``mmweather.AddFog`` and the like put behind
    the loading of the image.  ``out`` gets ``cells/<weather>-<severity>.json`` (a rerun measures what is missing),
    ``robustness.csv`` and ``robustness.png``.  Changed images or annotations need another folder.

    Args:
        config: a config file of mmdet, mmseg, mmagic or this package.
        checkpoint: its weights.
        out: a new or empty folder, or that of an earlier run of the same model.
        weathers: of :data:`~mmweather.weather.severity.WEATHERS`.
        severities: each from 1 to 5.
        metric: name of the metric to judge by, or its end; None takes a usual one.
        seed: of the weather.
        source: see :func:`add_weather`.
        options: as ``--cfg-options``.
        progress: whether to show bars; None shows them on a terminal.

    Raises:
        ConfigError: the config, a weather, a severity or the metric cannot be used.
        CheckpointError: the checkpoint is missing or another network's.
        DataError: ``out`` holds something else, or an image cannot take weather.
    """
    unknown = [name for name in weathers if name not in WEATHERS]
    if unknown or not weathers or not severities or not set(severities) <= set(range(1, 6)) or seed < 0:
        raise ConfigError(f'weathers must be of {", ".join(WEATHERS)}, severities 1 to 5 and the seed at least 0; got '
                          f'{list(weathers)}, {list(severities)} and {seed}')
    root, checkpoint = Path(out), Path(checkpoint)
    plain = load_config(config, options)
    check_sections(plain, 'test')
    if not checkpoint.is_file():
        raise CheckpointError(f"checkpoint: no such file: '{checkpoint}'")
    plans = {(weather, severity): add_weather(plain, weather, severity, seed, source)
             for weather in dict.fromkeys(weathers) for severity in sorted(set(severities))}
    clean = plain if source == 'img' else add_weather(plain, weathers[0], 1, seed, source, prob=0)
    with config_errors(plain):
        refuse_leaking_config(plain)
    claim(root, MANIFEST, {'version': VERSION, 'config': hashlib.sha256(plain.pretty_text.encode()).hexdigest(),
                  'checkpoint': _digest(checkpoint), 'seed': seed, 'source': source,
                  'data': _data_digest(plain, root)},
          'choose another folder (--out)')
    results: dict[str, dict[str, float]] = {}
    hidden = None if progress is None else not progress
    with tqdm(total=1 + len(plans), desc='robustness', unit='test', disable=hidden) as bar:
        for cell, plan in {(CLEAN, 0): clean, **plans}.items():
            name = CLEAN if cell[0] == CLEAN else f'{cell[0]}-{cell[1]}'
            path = root / 'cells' / f'{name}.json'
            found = _read_cell(path)
            if found is None:
                _test_only(plan)
                plan.load_from, plan.resume, plan.launcher = str(checkpoint), False, 'none'
                plan.work_dir, plan.log_level = str(root / 'logs' / name), 'ERROR'
                # MMEngine keeps loggers by this name; those of an earlier call write elsewhere.
                plan.experiment_name = f'{Path(config).stem}_{name}_{time.time_ns()}'
                found = _measure(plan, name, progress)
                gc.collect()  # the runner hangs in cycles, and the loader's workers with it
                write_json(path, found)
            if name == CLEAN:
                main_metric(found, metric)  # a misspelt one ends the run here
            results[name] = found
            bar.update()
    clean_cell = results.pop(CLEAN)
    outcome = Robustness(main_metric(clean_cell, metric), clean_cell,
                         {cell: results[f'{cell[0]}-{cell[1]}'] for cell in plans})
    write_bytes(root / 'robustness.csv', outcome.csv().encode())
    write_bytes(root / 'robustness.png', outcome.picture())
    return outcome
