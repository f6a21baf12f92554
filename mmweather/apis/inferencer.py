"""One call from pictures, videos or a camera to clear pictures, boxes or masks."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from ..errors import CheckpointError, ConfigError, MissingToolboxError, MMWeatherError
from ..methods import inputs as known_inputs
from ..utils.video import is_video_file
from .hub import entry_of, get_model
from .inference.loop import Options, Task, work_through
from .inference.record import check_results, open_record
from .inference.report import Outcome, Report
from .inference.restoring import Restoring
from .inference.thermal_scale import checked_range
from .restore import pick_device
from .restore_files import find_images, folder_of, plan_jobs, works_of


def task_of(model: nn.Module, config: Config | None = None) -> Task:
    """What a model does: a detector of mmdet detects, a segmentor of mmseg segments, others restore.

    Raises:
        ConfigError: the model is none of these, or its config, which detectors and segmentors need, is not known.
    """
    kinds = []
    # A toolbox that is not imported made no model.
    if 'mmdet' in sys.modules:
        from mmdet.models.detectors.base import BaseDetector

        kinds.append((BaseDetector, 'detecting', 'Detecting'))
    if 'mmseg' in sys.modules:
        from mmseg.models.segmentors.base import BaseSegmentor

        kinds.append((BaseSegmentor, 'segmenting', 'Segmenting'))
    for kind, module, name in kinds:
        if isinstance(model, kind):
            config = config if config is not None else getattr(model, 'cfg', None)
            if not isinstance(config, Config):
                raise ConfigError(f'{type(model).__name__} is given without its config, which holds the test pipeline; '
                                  'give the config and the checkpoint, or set model.cfg')
            return getattr(importlib.import_module(f'mmweather.apis.inference.{module}'), name)(model, config)
    return Restoring(model)


def _with_weights(model: str | os.PathLike[str] | Config, checkpoint: str | os.PathLike[str] | None,
                  device: torch.device) -> nn.Module:
    if checkpoint is not None:
        return get_model(model, checkpoint, device)
    try:
        return get_model(model, 'shipped', device)
    except CheckpointError:
        built = get_model(model, None, device)
        if built.state_dict():
            raise
        return built  # nothing in it is trained


class Inferencer:
    """A model, ready for pictures of any kind.

    Args:
        model: alias or name from ``mmweather list``, the path of a config or a config (of this package, mmdet or
            mmseg), or a module: a network with an ``inference_contract``, a restorer, or a detector or segmentor that
            carries its config as ``cfg``, as :func:`mmweather.get_model` and the toolboxes' ``init_*`` leave it.
        checkpoint: file with the weights. None takes those that come with the package; modules keep their own.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ``'mps'``; None takes the best there is. A module is moved too.

    Attributes:
        model: the module.
        task: ``'restore'``, ``'detect'`` or ``'segment'``.
        inputs: names of what the model takes (:class:`mmweather.inputs.Input`): ``img`` and, for some, others.
        classes: names of the classes; empty for restorers.
        palette: RGB of each class in the pictures of segmentors; else empty.
        entry: what the model index says, or None.

    Raises:
        CheckpointError: the checkpoint does not fit, or no weights are shipped and none are given.
        ConfigError: the model cannot be found, built or used, or there is no such device.
        MissingToolboxError: the model needs a toolbox that is not installed.

    Example:
        >>> clear = mmweather.Inferencer('nitedr-clean')
        >>> clear('rainy/', out_dir='dry', compare=True)      # files
        >>> picture = clear(array)[0].restored                # arrays
    """

    def __init__(self, model: str | os.PathLike[str] | Config | nn.Module,
                 checkpoint: str | os.PathLike[str] | None = None, device: str | torch.device | None = None) -> None:
        where = pick_device(device)
        self.entry = None
        if isinstance(model, nn.Module):
            if checkpoint is not None:
                raise ConfigError('a module has its weights; give a name or a config together with a checkpoint')
            self.model = model.to(where).eval()
        elif not isinstance(model, (str, os.PathLike, Config)):
            raise ConfigError(f'model: give a name, a config or a module, got {model!r:.60}')
        else:
            self.entry = entry_of(model)
            self.model = _with_weights(model, checkpoint, where)
        self._name = self.entry.name if self.entry is not None else type(self.model).__name__
        self._task = task_of(self.model)
        self.task: str = self._task.name
        self.inputs: tuple[str, ...] = self._task.inputs
        self.classes: tuple[str, ...] = tuple(getattr(self._task, 'classes', ()))
        self.palette: tuple[tuple[int, ...], ...] = tuple(getattr(self._task, 'palette', ()))

    def __call__(self, inputs: Any, out_dir: str | os.PathLike[str] | None = None, *, keep: bool | None = None,
                 **options: Any) -> Report:
        """Do all inputs.

        Results are written whole or not at all; where they are there already the input is skipped, so a rerun goes on.
        An input that fails is noted, and the rest is finished.

        Args:
            inputs: a picture, video or scene file, a folder (with the folders in it), a pattern, a list of these; an
                array, uint8 (H, W, 3) RGB or (H, W), a PIL image, a uint8 tensor (3, H, W), a mapping of such or of
                files by the names of ``inputs``, or a list of these; a camera, ``0`` or ``'camera:0'``. Satellite
                scenes (GeoTIFF) are for restorers and need ``out_dir``; see
                :func:`~mmweather.apis.scenes.geotiff.restore_geotiff`.
            out_dir: folder for the results, or None: nothing is written. Restorers write ``<stem>.png``; detectors
                ``<stem>.json``, ``<stem>.png`` with boxes, and ``<stem>_restored.png`` if they restore; segmentors
                ``<stem>.png`` in colour and ``<stem>_labels.png``, grey, whose values are the class numbers, with
                ``legend.png`` and ``legend.json`` beside. Arrays are numbered and always
                written anew. A video becomes ``<stem>.mp4``.
            keep: keep the outcomes in the report; None keeps them where nothing is written, but not those of a camera
                or a video.
            **options: of :meth:`stream`.

        Returns:
            What was done, skipped and failed; its items are the outcomes.

        Raises:
            ConfigError: an option cannot work, or inputs of the model are missing.
            DataError: there is no input, or two inputs have one result.
            MissingToolboxError: scenes need rasterio, videos PyAV.
        """
        report = Report()
        for outcome in self.stream(inputs, out_dir, report=report, **options):
            moving = isinstance(outcome.source, str) and '#' in outcome.source
            if keep or (keep is None and out_dir is None and not moving):
                report.outcomes.append(outcome)
        return report

    def stream(self, inputs: Any, out_dir: str | os.PathLike[str] | None = None, *,
               tile: int | str | None = 'auto', overlap: int | None = None, dtype: str | None = 'fp32',
               score_thr: float = 0.3, batch_size: int = 1, draw: bool = True, compare: bool = False,
               overwrite: bool = False, show_progress: bool | None = None,
               thermal_range: tuple[float, float] | None = None, max_frames: int | None = None,
               scene_options: Mapping[str, Any] | None = None, report: Report | None = None,
               **further: Any) -> Iterator[Outcome]:
        """Do one input after the other and yield what came out, in order; see :meth:`__call__`.

        Args:
            inputs: see :meth:`__call__`.
            out_dir: see :meth:`__call__`.
            tile: for restorers: side of tiles in pixels, ``'auto'``, or None for whole pictures.
            overlap: pixels that tiles share; None takes the network's own.
            dtype: ``'fp32'``, ``'bf16'`` or ``'fp16'`` (GPU).
            score_thr: least score of a box that is listed and drawn.
            batch_size: pictures of one size in a row that go through the network together.
            draw: draw boxes and masks.
            compare: also write the given picture and the result side by side; a video's frames become so.
                Results without it are made again; pictures with it are kept in a run without.
            overwrite: do again what is there already.
            thermal_range: coldest and hottest count of the thermal pictures, which are stretched to what the model was
                trained on; None finds out from bit depth and counts (``notes`` of the report say what).
            show_progress: whether to show bars; None shows them on a terminal.
            max_frames: stop a camera or a video after so many frames.
            scene_options: see :func:`~mmweather.apis.restore_files.restore_files`.
            report: notes what was done, skipped and failed.
            **further: further inputs of the model by name (``ir``, ``thermal``, ``sar``, those of plug-ins): a folder
                with the same stems, or a file for one image; for arrays an array or a list.

        Yields:
            An outcome for each picture and frame; none for scenes, and for what is skipped or fails.

        Raises:
            ConfigError: a keyword is neither an option nor an input; see also :meth:`__call__`.
        """
        from .inference import sources

        if not isinstance(out_dir, (str, os.PathLike, type(None))):
            raise ConfigError(f'out_dir: give a folder or None, got {out_dir!r:.60}')
        report = Report() if report is None else report
        limits = checked_range(thermal_range)
        if limits is not None and 'thermal' not in self.inputs:
            raise ConfigError(f'thermal_range: {self._name} takes no thermal pictures; leave the range out')
        options = Options(tile, overlap, dtype, score_thr, draw, compare, overwrite, batch_size,
                          None if show_progress is None else not show_progress, limits)
        names = {*known_inputs(), *self.inputs} - {self.inputs[0]}
        unknown = sorted(set(further) - names)
        if unknown:
            raise ConfigError(f"unknown option '{unknown[0]}'; further inputs are {', '.join(sorted(names))}")
        partners = {name: value for name, value in further.items() if value is not None}
        out, model, task = None if out_dir is None else Path(out_dir), type(self.model).__name__, self._task
        camera, arrays = sources.camera_index(inputs), sources.arrays_in(inputs)
        if camera is not None:
            frames = sources.camera_works(camera, task, model, partners, out, max_frames)
            yield from work_through(frames, task, options, report, max_frames, 'frame')
            return
        if arrays is not None:
            works = sources.array_works(arrays, task, model, partners, out)
            yield from work_through(works, task, options, report, len(works))
            return
        found = find_images(inputs, leave_out=out, accept=sources.is_picture_or_video)
        videos = {file: name for file, name in found.items() if is_video_file(file)}
        pictures = {file: name for file, name in found.items() if file not in videos}
        jobs = plan_jobs(task, model, pictures, out, partners, scene_options) if pictures else []
        works = works_of(jobs, task, options, scene_options)
        moving = [sources.Video(file, None if out is None else out / name, task, model, partners)
                  for file, name in videos.items()]
        record = None
        if out is not None:
            record = open_record(folder_of(out, jobs), self._name, self.model, options, {
                **(scene_options or {}), **({'max_frames': max_frames} if moving and max_frames else {})})
            check_results(record, [*works, *(video.work for video in moving)], overwrite)
        if works:
            yield from work_through(works, task, options, report, len(works), record=record)
        for video in moving:
            file = video.file
            target = video.work.target
            if record is not None and target is not None and record.keeps(target):
                report.skip(target, record)
                continue
            try:
                yield from video.run(options, report, max_frames, record)
            except (ConfigError, MissingToolboxError):
                raise
            except MMWeatherError as error:
                report.failed[file] = str(error)
            else:
                report.done += [] if video.target is None else [video.target]
