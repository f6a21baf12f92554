"""The loop over inputs: batches of one size, one bad input does not stop the rest, results are written or kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn
from tqdm import tqdm

from ...errors import ConfigError, MissingToolboxError, MMWeatherError
from ...utils.runs import Record
from ..restore import check_sizes
from .report import Outcome, Report

Images = dict[str, np.ndarray]


@dataclass(frozen=True)
class Options:
    """How a task is done.

    Args:
        tile: for restorers, see :func:`~mmweather.apis.restore.restore_image`; likewise ``overlap``.
        overlap: see ``tile``.
        dtype: ``'fp32'`` or None, ``'bf16'``, ``'fp16'``.
        score_thr: least score of a box that is listed and drawn.
        draw: draw boxes and masks.
        compare: also write the given picture and the result side by side.
        overwrite: do again what is there already.
        batch_size: pictures of one size that go through the network together.
        hidden: no progress bars; None shows them on a terminal.
        thermal_range: coldest and hottest count of the thermal pictures; None finds out.
    """

    tile: int | str | None = 'auto'
    overlap: int | None = None
    dtype: str | None = None
    score_thr: float = 0.3
    draw: bool = True
    compare: bool = False
    overwrite: bool = False
    batch_size: int = 1
    hidden: bool | None = None
    thermal_range: tuple[float, float] | None = None


class Task(Protocol):
    """What is done with a model: restoring, detecting, segmenting."""

    name: str
    model: nn.Module
    inputs: tuple[str, ...]
    out_of_memory_hint: str

    def read(self, name: str, file: Path) -> np.ndarray:
        """Read a file of the input of that name."""

    def take(self, name: str, array: np.ndarray) -> np.ndarray:
        """Check an array of the input of that name."""

    def run(self, batch: Sequence[Images], options: Options) -> list[Outcome]:
        """Outcomes of inputs of one size, without ``source``."""

    def target(self, stem: Path) -> Path:
        """The file that is written last; its being there means that the result is complete."""

    def write(self, outcome: Outcome, stem: Path, options: Options) -> list[Path]:
        """Write an outcome; files begin with ``stem``."""


@dataclass(frozen=True)
class Work:
    """One input.

    Args:
        label: the file, or the name of what is no file.
        read: gives the arrays by the names of the model's inputs.
        stem: where the result goes, without an ending; None writes nothing.
        target: the file whose being there means that it is done; None does it anyway.
        alone: does the work in place of the task and returns what it wrote.
        inputs: the files that the result is made from.
    """

    label: Path | str
    read: Callable[[], Images]
    stem: Path | None = None
    target: Path | None = None
    alone: Callable[[], Path] | None = None
    inputs: tuple[Path, ...] = ()


def work_through(works: Iterable[Work], task: Task, options: Options, report: Report, total: int | None = None,
                 unit: str = 'image', strict: bool = False, record: Record | None = None) -> Iterator[Outcome]:
    """Do the work and yield what came out, in order.

    Args:
        works: the inputs.
        task: what is done.
        options: how.
        report: what happened is noted here, but not the outcomes.
        total: number of inputs, for the bar.
        unit: what an input is called there.
        strict: let the error of an input through in place of going on.
        record: says which results are kept, and notes what the others are made from.

    Raises:
        ConfigError: an option cannot work: every input would meet it.
        MissingToolboxError: likewise, a package is not installed.
    """
    if isinstance(options.batch_size, bool) or not isinstance(options.batch_size, int) or options.batch_size < 1:
        raise ConfigError(f'batch_size={options.batch_size!r}: give a number of at least 1')
    with tqdm(total=total, desc=task.name, unit=unit, disable=options.hidden) as bar:
        batch = _Batch(task, options, report, strict, bar, record)
        for work in works:
            if record is not None and work.target is not None and record.keeps(work.target):
                report.skip(work.target, record)
                bar.update()
            elif work.alone is not None:
                yield from batch.flush()
                with batch.guarded(work), batch.recorded(work):
                    report.done.append(work.alone())
                bar.update()
            else:
                yield from batch.add(work)
        yield from batch.flush()


class _Guard:
    """Notes why an input failed; faults of the program and mistakes that every input would meet go through."""

    def __init__(self, batch: _Batch, work: Work) -> None:
        self.batch, self.work = batch, work

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None or self.batch.strict or isinstance(error, (ConfigError, MissingToolboxError)):
            return False
        reason = reason_of(error, self.batch.task.out_of_memory_hint)
        if reason is not None:
            self.batch.report.failed[self.work.label] = reason
        return reason is not None


class _Batch:
    """Inputs of one size that wait for the network."""

    def __init__(self, task: Task, options: Options, report: Report, strict: bool, bar: tqdm,
                 record: Record | None) -> None:
        self.task, self.options, self.report, self.strict, self.bar = task, options, report, strict, bar
        self.record = record
        self.waiting: list[tuple[Work, Images]] = []
        self.shapes: Mapping[str, tuple[int, ...]] = {}

    def guarded(self, work: Work) -> _Guard:
        return _Guard(self, work)

    @contextlib.contextmanager
    def recorded(self, work: Work) -> Iterator[None]:
        """Note what the result that is written in this block is made from."""
        if self.record is None or work.target is None:
            yield
            return
        self.record.begin(work.target, work.inputs)
        yield
        self.record.done(work.target, work.inputs)

    def add(self, work: Work) -> Iterator[Outcome]:
        images: Images | None = None
        with self.guarded(work):
            images = work.read()
            check_sizes(images)
        if images is None or work.label in self.report.failed:
            self.bar.update()
            return
        shapes = {name: array.shape for name, array in images.items()}
        if shapes != self.shapes:
            yield from self.flush()
        self.waiting.append((work, images))
        self.shapes = shapes
        if len(self.waiting) == self.options.batch_size:
            yield from self.flush()

    def flush(self) -> Iterator[Outcome]:
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        outcomes: list[Outcome | None] = []
        if len(waiting) > 1:
            try:
                outcomes = list(self.task.run([images for _, images in waiting], self.options))
            except (ConfigError, MissingToolboxError):
                raise
            except Exception as error:
                if reason_of(error, '') is None:
                    raise
        # One of them was to blame, or they were too many at once.
        outcomes = outcomes or [self._single(work, images) for work, images in waiting]
        for (work, _), outcome in zip(waiting, outcomes, strict=True):
            if outcome is not None:
                outcome.source = work.label
                if outcome.note and outcome.note_kind not in self.report.notes:
                    self.report.notes[outcome.note_kind] = outcome.note
                with self.guarded(work):
                    if work.stem is not None:
                        with self.recorded(work):
                            outcome.files = self.task.write(outcome, work.stem, self.options)
                        self.report.done.append(outcome.files[-1])
                if work.label not in self.report.failed:
                    yield outcome
            self.bar.update()

    def _single(self, work: Work, images: Images) -> Outcome | None:
        outcome = None
        with self.guarded(work):
            outcome, = self.task.run([images], self.options)
        return outcome


def reason_of(error: BaseException, out_of_memory_hint: str) -> str | None:
    """One line for what one input can cause; None for faults of the program."""
    if isinstance(error, MMWeatherError):
        return str(error)
    if not isinstance(error, (MemoryError, RuntimeError)):
        return None
    text = str(error).lower()
    if isinstance(error, MemoryError) or 'out of memory' in text or 'allocate memory' in text:
        return f'out of memory; {out_of_memory_hint}'
    return None
