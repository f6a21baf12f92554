"""Restoring files, folders and patterns: pictures and scenes."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..errors import ConfigError, DataError
from ..methods import input_of
from ..utils.images import is_image_file
from .inference.loop import Options, Task, Work, work_through
from .inference.report import Report
from .inference.restoring import Restoring
from .restore import pick_device
from .scenes.detect import is_scene, is_tiff


def as_path(value: Any) -> Path:
    """Return the path that a value names.

    Raises:
        DataError: it is something else, such as None or bytes.
    """
    if not isinstance(value, (str, os.PathLike)) or isinstance(os.fspath(value), bytes):
        raise DataError(f'an input must be a file, a folder, a pattern or an image in memory, got {value!r:.60}')
    return Path(value)


def find_images(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
                leave_out: str | os.PathLike[str] | None = None,
                accept: Callable[[Path], bool] = is_image_file) -> dict[Path, Path]:
    """The pictures that files, folders (with the folders in them) and patterns name.

    Args:
        source: one or more of them.
        leave_out: a folder whose pictures are not taken, such as that of the results inside an input folder.
        accept: tells by the name whether a file in a folder or of a pattern is taken.

    Returns:
        File -> its path below the folder it was found in, without the ending; in the order of the inputs.

    Raises:
        DataError: nothing is there, two pictures would have one result, or one has no name but its ending.
    """
    items: list[Any] = (list(source) if isinstance(source, Iterable) and not isinstance(source, (str, bytes))
                        else [source])
    without = None if leave_out is None else Path(os.path.realpath(leave_out))
    owners: dict[Path, Path] = {}
    for entry in items:
        path = as_path(entry)
        item = str(path) if isinstance(entry, os.PathLike) else entry
        if path.is_dir():
            files = {file: file.relative_to(path) for file in sorted(path.rglob('*')) if accept(file)}
        elif path.exists():
            files = {path: Path(path.name)}
        else:
            found = (Path(file) for file in sorted(glob.glob(item, recursive=True)))
            files = {file: Path(file.name) for file in found if accept(file)}
        # What is no regular file stays: its reader says what it is.
        files = {file: name for file, name in files.items() if not file.is_dir() and (
            file == path or without is None or without not in Path(os.path.realpath(file)).parents)}
        if not files:
            raise DataError(f"'{item}': no image there; give an image, a folder of images or a glob pattern")
        for file, name in files.items():
            if not name.stem.strip('.'):
                raise DataError(f"'{file}' has nothing before its ending to name the result by; rename it")
            other = owners.setdefault(name.with_suffix(''), file)
            if os.path.realpath(other) != os.path.realpath(file):
                raise DataError(f"'{other}' and '{file}' would have one result '{name.with_suffix('')}'; rename "
                                'one or restore them apart')
    return {file: name for name, file in owners.items()}


def find_partner(folder: Path, name: Path, kind: str = 'ir',
                 accept: Callable[[Path], bool] = is_image_file) -> Path:
    """The file that belongs to the picture called ``name``, a path without ending.

    Args:
        folder: where to look: at the same place below it, then in itself; or the file.
        name: path of the picture below its folder, without the ending.
        kind: name of the input; its record (:class:`mmweather.inputs.Input`) gives further stems and endings.
        accept: tells by the name whether a file is taken.

    Raises:
        DataError: there is none.
    """
    if folder.is_file():
        return folder
    record = input_of(kind)
    names = [name.name, *(name.name.replace(visible, other) for visible, other in record.stems if visible in name.name)]
    for stem in dict.fromkeys(place / word for word in names for place in (folder / name.parent, folder)):
        for file in _files_by_stem(stem.parent).get(stem.name, ()):
            if accept(file) or file.suffix in record.suffixes:
                return file
    raise DataError(f"'{name}' has no partner in '{folder}'; put an image of the same stem there")


def _files_by_stem(folder: Path) -> Mapping[str, list[Path]]:
    try:
        return _list_by_stem(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@functools.lru_cache(maxsize=16)
def _list_by_stem(folder: Path, changed: int) -> Mapping[str, list[Path]]:
    """Files of a folder by stem; ``changed`` makes a folder that has changed another one."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        found.setdefault(file.stem, []).append(file)
    return found


@dataclass(frozen=True)
class Job:
    """One input of :func:`restore_files` or :class:`mmweather.Inferencer`, with what belongs to it.

    Args:
        name: path below the folder that it was found in, without the ending.
        target: the result, or None where nothing is written.
        is_scene: whether it is restored as a scene.
        partners: folders or files of the model's other inputs by name.
    """

    file: Path
    name: Path
    target: Path | None
    is_scene: bool
    partners: dict[str, Path]

    def partner(self, name: str) -> Path:
        """The file of another input.

        Raises:
            DataError: there is none.
        """
        return find_partner(self.partners[name], self.name, name)


def plan_files(
    model: nn.Module,
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    partners: Mapping[str, str | os.PathLike[str]] | None = None,
    scene_options: Mapping[str, Any] | None = None,
) -> list[Job]:
    """What :func:`restore_files` has to do, in order.

    Raises:
        ConfigError: the model is no restorer, or partners are missing or not wanted.
        DataError: nothing to restore, two inputs with one result, or a result that is its input.
    """
    return plan_jobs(Restoring(model), type(model).__name__, source, out_dir, partners, scene_options)


def plan_jobs(
    task: Task,
    model: str,
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Mapping[Path, Path],
    out_dir: str | os.PathLike[str] | None,
    partners: Mapping[str, str | os.PathLike[str]] | None = None,
    scene_options: Mapping[str, Any] | None = None,
) -> list[Job]:
    """As :func:`plan_files`, for any task; only restoring takes scenes.

    Args:
        task: what is to be done.
        model: name of the model, for messages.
        source: see :func:`restore_files`, as the rest; or what :func:`find_images` found.
        out_dir: None where nothing is written.
        partners: see ``source``.
        scene_options: see ``source``.
    """
    check_partners(task.inputs, model, partners or {})
    folders = {name: Path(folder) for name, folder in (partners or {}).items()}
    files = dict(source) if isinstance(source, Mapping) else find_images(source, leave_out=out_dir)
    for folder in folders.values():
        if not folder.exists():
            raise DataError(f"'{folder}': no such file or folder")
        if folder.is_file() and len(files) > 1:
            raise DataError(f"'{folder}' is one image for {len(files)}; give a folder")
    jobs = []
    for file, name in files.items():
        scene = task.name == 'restore' and (is_tiff(file) if scene_options else is_scene(file))
        target = None
        if out_dir is not None:
            out = Path(out_dir)
            target = out / name.parent / f'{name.name}.tif' if scene else task.target(out / name)
            if scene and len(files) == 1 and is_tiff(out) and not out.is_dir():
                target = out
            for path in (target, out / name.parent / f'{name.name}.png'):
                if path.exists() and path.samefile(file):
                    raise DataError(f"'{file}' would be overwritten by its result; choose another folder (--out)")
        elif scene:
            raise DataError(f"'{file}' is a satellite scene, which is restored into a file; give a folder (out_dir)")
        jobs.append(Job(file, name, target, scene, folders))
    if scene_options and not any(job.is_scene for job in jobs):
        raise DataError(f"'{jobs[0].file}' is no TIFF, so {', '.join(scene_options)} cannot be used")
    return jobs


def check_partners(inputs: Sequence[str], model: str, partners: Mapping[str, Any]) -> None:
    """Refuse inputs beside the first that are missing or not wanted.

    Raises:
        ConfigError: they are.
    """
    first, *others = inputs
    if set(partners) != set(others):
        example = others[0] if others else 'ir'
        raise ConfigError(f"{model} takes {', '.join((first, *others))}; give a folder for each but the "
                          f"first, as in --{example} DIR: given {', '.join(partners) or 'none'}")


def restore_files(
    model: nn.Module,
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    partners: Mapping[str, str | os.PathLike[str]] | None = None,
    overwrite: bool = False,
    compare: bool = False,
    show_progress: bool | None = None,
    scene_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Report:
    """Restore files, folders and patterns: pictures into PNG files, scenes into GeoTIFFs, of the same names.

    TIFFs that are georeferenced, or that no picture reader takes, are scenes and go through
    :func:`~mmweather.apis.scenes.geotiff.restore_geotiff`. A result is written whole or not at all, and existing
    results are kept, so a rerun continues where the last one stopped. An input that cannot be restored is reported, and
    the rest is finished.

    Args:
        model: as in :func:`~mmweather.apis.restore.restore_image`.
        source: files, folders (with the folders in them, whose structure is kept) or patterns.
        out_dir: where results go, made if needed; for one scene also the result's name, ending in ``.tif``.
        partners: folders (or one file) of the model's other inputs by name, as in ``{'ir': 'Inf/input'}``; partners
            have the same stem.
        overwrite: restore again what is there already.
        compare: write pictures and results side by side too, as ``<stem>_compare.png``.
        show_progress: whether to show bars; None shows them on a terminal.
        scene_options: ``bands``, ``nodata``, ``scale``, ``offset`` and ``vh_floor`` of
            :func:`~mmweather.apis.scenes.geotiff.restore_geotiff`. With any of them every TIFF is a scene.
        **options: ``tile``, ``overlap``, ``dtype`` and ``device`` of :func:`restore_image`, and ``batch_size``:
            pictures of one size that go through the network together.

    Raises:
        ConfigError: the model is no restorer, an option cannot work, or partners are missing or not wanted.
        DataError: nothing to restore, two inputs with one result, or a result that is its input.
        MissingToolboxError: there is a scene, and rasterio is not installed.
    """
    jobs = plan_files(model, source, out_dir, partners, scene_options)
    if options.get('device') is not None:
        model = model.to(pick_device(options['device']))
    from .inference.record import check_results, open_record

    task, report = Restoring(model), Report()
    chosen = Options(overwrite=overwrite, compare=compare, hidden=None if show_progress is None else not show_progress,
                     **{name: value for name, value in options.items() if name != 'device'})
    works = works_of(jobs, task, chosen, scene_options)
    record = open_record(folder_of(Path(out_dir), jobs), type(model).__name__, model, chosen, scene_options)
    check_results(record, works, overwrite)
    for _ in work_through(works, task, chosen, report, len(jobs), record=record):
        pass
    return report


def folder_of(out: Path, jobs: Sequence[Job]) -> Path:
    """The folder of the results; ``out`` is the result itself where it is that of a single scene."""
    return out.parent if len(jobs) == 1 and jobs[0].target == out else out


def works_of(jobs: Iterable[Job], task: Task, options: Options,
             scene_options: Mapping[str, Any] | None = None) -> list[Work]:
    """The jobs for :func:`~mmweather.apis.inference.loop.work_through`.

    Args:
        jobs: from :func:`plan_jobs`.
        task: what reads the pictures.
        options: of the run.
        scene_options: as in :func:`restore_files`.
    """
    return [_work(job, task, options, scene_options or {}) for job in jobs]


def _work(job: Job, task: Task, options: Options, scene_options: Mapping[str, Any]) -> Work:
    first = task.inputs[0]

    def read() -> dict[str, np.ndarray]:
        images = {first: task.read(first, job.file)}
        for name in job.partners:
            images[name] = task.read(name, job.partner(name))
        return images

    def scene(target: Path) -> Path:
        from .scenes.geotiff import restore_geotiff

        radar = job.partner('sar') if 'sar' in job.partners else None  # other inputs are refused there
        shown = None if options.hidden is None else not options.hidden
        return restore_geotiff(task.model, job.file, target, tile=options.tile, overlap=options.overlap,
                               dtype=options.dtype, show_progress=shown, sar=radar, **scene_options)

    stem = None if job.target is None else job.target.with_name(job.name.name)
    alone = functools.partial(scene, job.target) if job.is_scene and job.target is not None else None
    return Work(job.file, read, stem, job.target, alone, (job.file, *_partners_of(job)))


def _partners_of(job: Job) -> list[Path]:
    found = []
    for name in job.partners:
        with contextlib.suppress(DataError):  # reported when the picture is read
            found.append(job.partner(name))
    return found
