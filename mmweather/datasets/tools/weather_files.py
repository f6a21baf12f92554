"""Weather on demand laid on files: several processes, whole files or none, going on where a run was cut short."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ...errors import DataError, MMWeatherError
from ...utils.atomic import write_bytes, write_json
from ...utils.images import encode_image, is_image_file, read_image, read_note
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


def _depth_of(file: Path, name: Path, settings: WeatherSettings) -> np.ndarray | None:
    if settings.depth is None:
        return None
    for stem in dict.fromkeys((name, Path(name.name))):
        for ending in ('.npy', '.png', '.tif', '.tiff'):
            path = Path(settings.depth, stem.parent, stem.name + ending)
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
        return f"'{target}' cannot be written ({error.strerror}); choose another folder"
    return None


def _is_done(job: Job) -> bool:
    # BMP and PPM hold no note; there the manifest of the folder must do.
    return job[2].is_file() and read_note(job[2]) in ('', json.dumps(job[3].record()))


def _start_worker() -> None:
    # The parent handles an interrupt; a thread a core is what the processes are for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _work(jobs: Sequence[Job], processes: int) -> Iterator[str | None]:
    if min(processes, len(jobs)) <= 1:
        yield from map(_lay, jobs)
        return
    # spawn: a forked child could inherit locked threads of a numerical library.
    pool = ProcessPoolExecutor(min(processes, len(jobs)), multiprocessing.get_context('spawn'), _start_worker)
    try:
        yield from pool.map(_lay, jobs)
    except BrokenProcessPool:
        raise DataError(f'one of {processes} processes was killed, perhaps for want of memory; run again with fewer '
                        '(--jobs 1)') from None
    finally:
        pool.shutdown(cancel_futures=True)


def _claim(root: Path, record: Mapping[str, Any], overwrite: bool) -> None:
    """Make sure that ``root`` is empty or holds results of the same settings, and write how they are made."""
    path = root / MANIFEST
    if path.is_file() and not overwrite:
        try:
            found = json.loads(path.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise DataError(f"'{path}' cannot be read ({error}); delete the folder or choose another") from error
        kept = found if isinstance(found, dict) else {}
        changed = [key for key in {**record, **kept} if kept.get(key) != record.get(key)]
        if changed:
            told = ', '.join(f'{key} {kept.get(key)} instead of {record.get(key)}' for key in changed[:3])
            raise DataError(f"'{root}' holds pictures made otherwise ({told}); choose another folder, or --overwrite")
        return
    if root.exists() and not path.is_file() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"'{root}' exists and is not an empty folder; choose another or remove it")
    try:
        write_json(path, record)
    except OSError as error:
        raise DataError(f"cannot write to '{root}' ({error.strerror}); choose another folder") from error


def lay_weather(files: Mapping[Path, Path],
                out: str | Path,
                settings: WeatherSettings,
                processes: int = 1,
                overwrite: bool = False,
                progress: bool | None = None) -> WeatherReport:
    """Lay weather on pictures; results keep their names and endings, and the folders they lie in.

    A result is whole or absent, and results that exist are left, so a rerun goes on where the last one stopped.  The
    folder records how it was made in :data:`MANIFEST`, each picture in its metadata; a folder made otherwise is
    refused.  A picture that cannot be read is reported, and the rest is finished.  The pictures depend on the inputs
    and the settings alone, not on the number of processes.

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
        _claim(out, settings.record(), overwrite)
    elif out.exists() and not overwrite and read_note(out) != json.dumps(settings.record()):
        raise DataError(f"'{out}' exists and was made otherwise; choose another name, or --overwrite")
    todo = [job for job in jobs if overwrite or not _is_done(job)]
    targets = {job[2] for job in todo}
    report = WeatherReport(skipped=[job[2] for job in jobs if job[2] not in targets])
    with tqdm(total=len(jobs), initial=len(report.skipped), desc=settings.weather, unit='image',
              disable=None if progress is None else not progress) as bar:
        for job, fault in zip(todo, _work(todo, processes), strict=True):
            if fault is None:
                report.done.append(job[2])
            else:
                report.failed[job[0]] = fault
            bar.update()
    return report
