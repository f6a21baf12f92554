"""Weather on demand laid on files: several processes, whole files or none, going on where a run was cut short."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ...errors import DataError, MMWeatherError, cannot_write
from ...utils.atomic import write_bytes
from ...utils.images import encode_image, is_image_file, read_image, read_note
from ...utils.runs import Record, claim, is_newer, map_jobs
from ...weather.apply import MIDDLE, apply_weather
from ...weather.severity import describe
from .fog_set import read_depth

MANIFEST = 'synth.json'
"""File of a folder of results that records how they were made."""
VERSION = 1
"""Raised whenever the pictures made from the same settings change."""


@dataclass(frozen=True)
class WeatherSettings:
    """What is laid, and how.

    Args:
        weather: see :func:`~mmweather.weather.apply.apply_weather`.
        severity: 1 to 5.
        seed: not negative.
        depth: folder of depth maps of the pictures' names (``.npy``, ``.png``, ``.tif``), or None.
        depth_scale: metres of one level; None: 1 for floating values, 1/256 for 16-bit PNG.
        quality: of JPEG and WebP, 1 to 100.

    Raises:
        DataError: a value is out of range.
    """

    weather: str
    severity: int = 3
    seed: int = 0
    depth: str | None = None
    depth_scale: float | None = None
    quality: int = 95

    def __post_init__(self) -> None:
        try:
            describe(self.weather, self.severity)
        except ValueError as error:
            raise DataError(str(error)) from None
        if self.seed < 0 or not 1 <= self.quality <= 100 or (self.depth_scale is not None and not self.depth_scale > 0):
            raise DataError('seed must be at least 0, quality 1 to 100 and depth scale positive; got '
                            f'{self.seed}, {self.quality} and {self.depth_scale}')
        if self.depth is not None and not Path(self.depth).is_dir():
            raise DataError(f"'{self.depth}' is no folder; give a folder of depth maps, or do without --depth")

    def record(self) -> dict[str, Any]:
        """Everything that the pictures depend on, with the physical parameters."""
        depth = f'stand-in, {MIDDLE:g} m in the middle' if self.depth is None else 'measured'
        scale = {} if self.depth_scale is None else {'depth_scale': self.depth_scale}
        return {'mmweather': VERSION, 'weather': self.weather, 'severity': self.severity,
                **describe(self.weather, self.severity), 'seed': self.seed, 'depth': depth, **scale}


@dataclass
class WeatherReport:
    """What :func:`lay_weather` did: results written, results that were there already, and inputs with their fault."""

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


Job = tuple[Path, Path, Path, WeatherSettings]


def _depth_maps(name: Path, settings: WeatherSettings) -> list[Path]:
    """Where the depth map of an image can be, the first one that exists counts."""
    if settings.depth is None:
        return []
    return [Path(settings.depth, stem.parent, stem.name + ending) for stem in dict.fromkeys((name, Path(name.name)))
            for ending in ('.npy', '.png', '.tif', '.tiff')]


def _depth_of(file: Path, name: Path, settings: WeatherSettings) -> np.ndarray | None:
    if settings.depth is None:
        return None
    for path in _depth_maps(name, settings):
        if path.is_file():
            return read_depth(path, settings.depth_scale)
    raise DataError(f"'{file}' has no depth map in '{settings.depth}' (.npy, .png, .tif); add it, or leave --depth")


def _lay(job: Job) -> str | None:
    """Write one picture; the reason in one line where it cannot be done."""
    file, name, target, settings = job
    try:
        image = read_image(file)
        depth = _depth_of(file, name, settings)
        if depth is not None and depth.shape != image.shape[:2]:
            raise DataError(f"'{file}' is {image.shape[1]}x{image.shape[0]}, its depth map {depth.shape[1]}x"
                            f'{depth.shape[0]} (width x height); bring them to one size')
        result = apply_weather(image, settings.weather, settings.severity, settings.seed, depth)
        write_bytes(target, encode_image(result, target.suffix, settings.quality, json.dumps(settings.record())))
    except MMWeatherError as error:
        return str(error)
    except MemoryError:
        return 'out of memory; use fewer processes (--jobs 1) or a smaller picture'
    except OSError as error:
        return str(cannot_write(target, error))
    return None


def _inputs(job: Job) -> list[Path]:
    file, name, _, settings = job
    return [file, *(path for path in _depth_maps(name, settings) if path.is_file())]


def _is_done(job: Job, state: str) -> bool:
    # BMP and PPM hold no note; there the manifest of the folder must do.
    return state in ('same', 'unknown') and read_note(job[2]) in ('', json.dumps(job[3].record()))


def _one_thread() -> None:
    cv2.setNumThreads(1)  # the processes use the cores


def lay_weather(files: Mapping[Path, Path],
                out: str | Path,
                settings: WeatherSettings,
                processes: int = 1,
                overwrite: bool = False,
                progress: bool | None = None) -> WeatherReport:
    """Lay weather on pictures; results keep their names and endings, and the folders they lie in.

    A result is whole or absent, and results that exist are left, so a rerun goes on where the last one stopped.  The
    folder records how it was made in :data:`MANIFEST`, each picture in its metadata; a folder made otherwise is
    refused, a picture whose input has changed is made again.  A picture that cannot be read is reported, and the rest
    is finished.  The pictures depend on the inputs and the settings alone, not on the number of processes.

    Args:
        files: file -> its path below the folder it was found in, without the ending
            (:func:`~mmweather.apis.restore_files.find_images`).
        out: a folder, new or of an earlier run; for one file also the result's name, ending as pictures do.
        settings: of the weather.
        processes: with more than one, a script must guard its main part (``if __name__ == '__main__'``).
        overwrite: make again what is there.
        progress: whether to show a bar; None shows it on a terminal.

    Raises:
        DataError: ``out`` cannot be used, or a result would be its input.
    """
    out = Path(out)
    one = len(files) == 1 and is_image_file(out) and not out.is_dir()
    jobs: list[Job] = []
    for file, name in files.items():
        target = out if one else out / name.parent / file.name
        if target.exists() and target.samefile(file):
            raise DataError(f"'{file}' would be overwritten by its result; choose another folder")
        jobs.append((file, name, target, settings))
    if not one:
        claim(out, MANIFEST, settings.record(), 'choose another folder, or --overwrite', loose=(), overwrite=overwrite,
              exact=True)
    elif out.exists() and not overwrite and read_note(out) != json.dumps(settings.record()):
        raise DataError(f"'{out}' exists and was made otherwise; choose another name, or --overwrite")
    inputs = {job[2]: _inputs(job) for job in jobs}
    record = None if one else Record(out, {**settings.record(), 'quality': settings.quality})
    if record is None:  # no hidden file beside a file of the user's choice: the times tell
        states = {out: 'missing' if not out.exists() else 'stale' if is_newer(inputs[out], out) else 'unknown'}
    else:
        states = {} if overwrite else record.check(inputs, 'choose another folder, or --overwrite')
    todo = [job for job in jobs if overwrite or not _is_done(job, states[job[2]])]
    targets = {job[2] for job in todo}
    report = WeatherReport(skipped=[job[2] for job in jobs if job[2] not in targets])
    with tqdm(total=len(jobs), initial=len(report.skipped), desc=settings.weather, unit='image',
              disable=None if progress is None else not progress) as bar:
        for job in todo:
            # A run that is killed must not leave the old result for the new one.
            if record is not None and job[2].exists():
                record.begin(job[2], inputs[job[2]])
        for job, fault in zip(todo, map_jobs(_lay, todo, processes, _one_thread), strict=True):
            if fault is None:
                if record is not None:
                    record.done(job[2], inputs[job[2]])
                report.done.append(job[2])
            else:
                report.failed[job[0]] = fault
            bar.update()
    return report
