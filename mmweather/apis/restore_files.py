"""Restoring files, folders and patterns: pictures and scenes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from ..errors import ConfigError, DataError, MissingToolboxError, MMWeatherError
from ..utils.images import is_image_file, read_image, write_image
from .geo.detect import is_scene, is_tiff
from .restore import contract_of, read_mode, restore_image


@dataclass
class Report:
    """What :func:`restore_files` did.

    Args:
        done: results written.
        skipped: results that were there already.
        failed: inputs that could not be restored, with the reason in one line.
    """

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def find_images(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
                leave_out: str | os.PathLike[str] | None = None) -> dict[Path, Path]:
    """The pictures that files, folders (with the folders in them) and patterns name.

    Args:
        source: one or more of them.
        leave_out: a folder whose pictures are not taken, such as that of the results inside an input folder.

    Returns:
        File -> its path below the folder it was found in, without the ending; in the order of the inputs.

    Raises:
        DataError: nothing is there, or two pictures would have one result.
    """
    items = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    without = None if leave_out is None else Path(leave_out).resolve()
    owners: dict[Path, Path] = {}
    for entry in items:
        item = os.fspath(entry)
        path = Path(item)
        if path.is_dir():
            files = {file: file.relative_to(path) for file in sorted(path.rglob('*')) if is_image_file(file)}
        elif path.exists():
            files = {path: Path(path.name)}
        else:
            found = (Path(file) for file in sorted(glob.glob(item, recursive=True)))
            files = {file: Path(file.name) for file in found if is_image_file(file)}
        files = {file: name for file, name in files.items()
                 if file.is_file() and (file == path or without is None or without not in file.resolve().parents)}
        if not files:
            raise DataError(f"'{item}': no image there; give an image, a folder of images or a glob pattern")
        for file, name in files.items():
            other = owners.setdefault(name.with_suffix(''), file)
            if other.resolve() != file.resolve():
                raise DataError(f"'{other}' and '{file}' would have one result '{name.with_suffix('')}'; rename "
                                'one or restore them apart')
    return {file: name for name, file in owners.items()}


def _partner(folder: Path, name: Path) -> Path:
    if folder.is_file():
        return folder
    for stem in dict.fromkeys((folder / name, folder / name.name)):
        for file in sorted(stem.parent.glob(f'{glob.escape(stem.name)}.*')):
            if is_image_file(file) and file.stem == stem.name:
                return file
    raise DataError(f"'{name}' has no partner in '{folder}'; put an image of the same stem there")


@dataclass(frozen=True)
class Job:
    """One input of :func:`restore_files`, with what belongs to it.

    Args:
        name: path below the folder that it was found in, without the ending.
        target: the result.
        is_scene: whether it is restored as a scene.
        partners: folders or files of the model's other inputs by name.
    """

    file: Path
    name: Path
    target: Path
    is_scene: bool
    partners: dict[str, Path]

    def partner(self, name: str) -> Path:
        """The file of another input.

        Raises:
            DataError: there is none.
        """
        return _partner(self.partners[name], self.name)


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
    first, *others = contract_of(model).inputs
    folders = {name: Path(folder) for name, folder in (partners or {}).items()}
    if set(folders) != set(others):
        example = 'ir' if set(others) <= {'ir'} else others[0]
        raise ConfigError(f"{type(model).__name__} takes {', '.join((first, *others))}; give a folder for each but the "
                          f"first, as in --{example} DIR: given {', '.join(folders) or 'none'}")
    out = Path(out_dir)
    files = find_images(source, leave_out=out)
    for folder in folders.values():
        if not folder.exists():
            raise DataError(f"'{folder}': no such file or folder")
        if folder.is_file() and len(files) > 1:
            raise DataError(f"'{folder}' is one image for {len(files)}; give a folder")
    jobs = []
    for file, name in files.items():
        scene = is_tiff(file) if scene_options else is_scene(file)
        target = out / name.parent / f"{name.name}{'.tif' if scene else '.png'}"
        if scene and len(files) == 1 and is_tiff(out) and not out.is_dir():
            target = out
        if target.exists() and target.samefile(file):
            raise DataError(f"'{file}' would be overwritten by its result; choose another folder (--out)")
        jobs.append(Job(file, name, target, scene, folders))
    if scene_options and not any(job.is_scene for job in jobs):
        raise DataError(f"'{jobs[0].file}' is no TIFF, so {', '.join(scene_options)} cannot be used")
    return jobs


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
    :func:`~mmweather.apis.geotiff.restore_geotiff`. A result is written whole or not at all and results that exist are
    left, so a rerun goes on where the last one stopped. An input that cannot be restored is reported, and the rest is
    finished.

    Args:
        model: as in :func:`restore_image`.
        source: files, folders (with the folders in them, whose structure is kept) or patterns.
        out_dir: where results go, made if needed; for one scene also the result's name, ending in ``.tif``.
        partners: folders (or one file) of the model's other inputs by name, as in ``{'ir': 'Inf/input'}``; partners
            have the same stem.
        overwrite: restore again what is there already.
        compare: write pictures and results side by side too, as ``<stem>_compare.png``.
        show_progress: whether to show bars; None shows them on a terminal.
        scene_options: ``bands``, ``nodata``, ``scale``, ``offset`` and ``vh_floor`` of
            :func:`~mmweather.apis.geotiff.restore_geotiff`. With any of them every TIFF is a scene.
        **options: ``tile``, ``overlap``, ``dtype`` and ``device`` of :func:`restore_image`.

    Raises:
        ConfigError: the model is no restorer, an option cannot work, or partners are missing or not wanted.
        DataError: nothing to restore, two inputs with one result, or a result that is its input.
        MissingToolboxError: there is a scene, and rasterio is not installed.
    """
    jobs = plan_files(model, source, out_dir, partners, scene_options)
    report = Report()
    hidden = None if show_progress is None else not show_progress
    with tqdm(total=len(jobs), desc='restore', unit='image', disable=hidden) as bar:
        for job in jobs:
            if job.target.exists() and not overwrite:
                report.skipped.append(job.target)
            else:
                try:
                    if job.is_scene:
                        from .geotiff import restore_geotiff

                        others: dict[str, Any] = {name: job.partner(name) for name in job.partners}
                        result = restore_geotiff(model, job.file, job.target, show_progress=show_progress, **others,
                                                 **(scene_options or {}), **options)
                    else:
                        result = _restore_picture(model, job, compare, hidden, options)
                    report.done.append(result)
                except (ConfigError, MissingToolboxError):
                    raise  # every other input would meet it too
                except (MMWeatherError, MemoryError, RuntimeError) as error:
                    reason = _reason(error)
                    if reason is None:
                        raise
                    report.failed[job.file] = reason
            bar.update()
    return report


def _restore_picture(model: nn.Module, job: Job, compare: bool, hidden: bool | None, options: dict[str, Any]) -> Path:
    images = {contract_of(model).inputs[0]: read_image(job.file)}
    for key in job.partners:
        images[key] = read_image(job.partner(key), read_mode(key))
    with _TileBar(hidden) as tiles:
        result = restore_image(model, images, progress=tiles, **options)
    if compare:
        write_image(job.target.with_name(f'{job.name.name}_compare.png'),
                    np.concatenate((*images.values(), result), axis=1))
    # Last, since its being there means that the picture is done.
    return write_image(job.target, result)


def _reason(error: Exception) -> str | None:
    """One line for what one picture can cause; None for faults of the program."""
    if isinstance(error, MMWeatherError):
        return str(error)
    text = str(error).lower()
    if isinstance(error, MemoryError) or 'out of memory' in text or 'allocate memory' in text:
        return 'out of memory; use smaller tiles (--tile 256)'
    return None


class _TileBar:
    """A second bar for pictures of several tiles, made when the first report comes."""

    def __init__(self, hidden: bool | None) -> None:
        self.hidden = hidden
        self.bar: tqdm | None = None

    def __enter__(self) -> _TileBar:
        return self

    def __call__(self, done: int, total: int) -> None:
        if total > 1 and self.bar is None:
            self.bar = tqdm(total=total, unit='tile', leave=False, position=1, disable=self.hidden)
        if self.bar is not None:
            self.bar.update(done - self.bar.n)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
