"""Inputs that are no picture files: arrays, cameras, videos."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...errors import ConfigError, DataError
from ...methods import input_of
from ...utils.atomic import write_json
from ...utils.images import is_image_file
from ...utils.runs import Record
from ...utils.text import plural
from ...utils.video import VideoWriter, is_video_file, open_video
from ..restore import in_memory
from ..restore_files import as_path, check_partners, find_partner
from .detecting import boxes_record
from .loop import Images, Options, Task, Work, work_through
from .report import Outcome, Report
from .restoring import comparison

_CAMERA = re.compile(r'camera:(\d+)')


def camera_index(inputs: Any) -> int | None:
    """The number of a camera (``0`` or ``'camera:0'``), or None where the input is something else."""
    if isinstance(inputs, int) and not isinstance(inputs, bool):
        return inputs
    found = _CAMERA.fullmatch(inputs) if isinstance(inputs, str) else None
    return int(found[1]) if found else None


def is_picture_or_video(path: Path) -> bool:
    """Whether a file's name ends like that of something that can be an input."""
    return is_image_file(path) or is_video_file(path)


# Arrays -----------------------------------------------------------------------------------------------------------


def arrays_in(inputs: Any) -> list[Any] | None:
    """Inputs in memory as a list, or None where ``inputs`` names files alone."""
    def is_image(item: Any) -> bool:
        return isinstance(item, Mapping) or in_memory(item) is not None

    if is_image(inputs):
        return [inputs]
    if isinstance(inputs, (list, tuple)) and any(map(is_image, inputs)):
        return list(inputs)
    return None


def array_works(items: Sequence[Any], task: Task, model: str, partners: Mapping[str, Any],
                out_dir: Path | None) -> list[Work]:
    """Arrays (and picture files among them) as work.

    Args:
        items: arrays, files, or mappings with all inputs by name.
        task: what is done.
        model: name of the model, for messages.
        partners: the other inputs by name: one, or a list as long as ``items``.
        out_dir: folder of the results, or None.

    Raises:
        ConfigError: partners are missing or not wanted.
        DataError: there are not as many partners.
    """
    first = task.inputs[0]
    columns: dict[str, list[Any]] = {}
    for name, given in partners.items():
        columns[name] = list(given) if isinstance(given, (list, tuple)) else [given]
        if len(columns[name]) != len(items):
            raise DataError(f"{len(columns[name])} '{name}' given for {plural(len(items), 'image')}; give as many")
    works = []
    for index, item in enumerate(items):
        row = dict(item) if isinstance(item, Mapping) else {first: item}
        row.update({name: column[index] for name, column in columns.items()})
        if first not in row:
            raise DataError(f"'{first}' is missing in input {index}: given {', '.join(row) or 'nothing'}")
        check_partners(task.inputs, model, {name: value for name, value in row.items() if name != first})
        stem = None if out_dir is None else out_dir / f'{index:06d}'
        works.append(Work(str(index), _reader(task, row), stem))
    return works


def _reader(task: Task, row: Mapping[str, Any]) -> Callable[[], Images]:
    def read() -> Images:
        return {
            name: task.read(name, as_path(value)) if array is None else task.take(name, array)
            for name, value in row.items() for array in (in_memory(value), )
        }

    return read


# Cameras ----------------------------------------------------------------------------------------------------------


def camera_works(index: int, task: Task, model: str, partners: Mapping[str, Any], out_dir: Path | None,
                 max_frames: int | None) -> Iterator[Work]:
    """Frames of a camera as work, until it ends or ``max_frames`` are done; results are numbered files.

    Raises:
        ConfigError: the model takes more than one picture.
        DataError: the camera cannot be opened.
    """
    if len(task.inputs) > 1 or partners:
        raise ConfigError(f"{model} takes {', '.join(task.inputs)}; a camera gives one picture")
    camera = cv2.VideoCapture(index)
    try:
        if not camera.isOpened():
            raise DataError(f'camera {index} cannot be opened; check its number and that no other program uses it')
        number = 0
        while max_frames is None or number < max_frames:
            there, frame = camera.read()
            if not there:
                return
            image = np.ascontiguousarray(np.asarray(frame)[..., ::-1])
            stem = None if out_dir is None else out_dir / f'camera{index}_{number:06d}'
            yield Work(f'camera:{index}#{number}', _reader(task, {task.inputs[0]: image}), stem)
            number += 1
    finally:
        camera.release()


# Videos -----------------------------------------------------------------------------------------------------------


class Video:
    """One video on its way through a task.

    The result has the frames drawn or restored, the frame rate and the sound of the video; detectors also write a list
    of boxes. It is written whole or not at all.

    Args:
        file: the video.
        stem: the result without its ending, or None.
        task: what is done.
        model: name of the model, for messages.
        partners: folders (or videos) of the other inputs by name, with videos of the same stem.

    Raises:
        ConfigError: partners are missing or not wanted.
        DataError: the result would be the video itself.
    """

    def __init__(self, file: Path, stem: Path | None, task: Task, model: str, partners: Mapping[str, Any]) -> None:
        check_partners(task.inputs, model, partners)
        for item in map(input_of, task.inputs):
            if item.mode == 'counts':
                raise ConfigError(f'{model} takes {item.name} images with their counts, which videos do not keep')
        self.file, self.stem, self.task = file, stem, task
        self.partners = {name: Path(folder) for name, folder in partners.items()}
        self.target = None if stem is None else stem.with_name(f'{stem.name}.mp4')
        if self.target is not None and self.target.exists() and self.target.samefile(file):
            raise DataError(f"'{file}' would be overwritten by its result; choose another folder (--out)")

    @property
    def work(self) -> Work:
        """The video as one work, for the record of results."""
        files = [self.file]
        for name, folder in self.partners.items():
            with suppress(DataError):  # reported when the video is read
                files.append(find_partner(folder, Path(self.file.stem), name, is_video_file))
        return Work(self.file, dict, self.stem, self.target, inputs=tuple(files))

    def run(self, options: Options, report: Report, max_frames: int | None = None,
            record: Record | None = None) -> Iterator[Outcome]:
        """Go through the frames; a fault of one is a fault of the video.

        Raises:
            DataError: the video is damaged, or videos that belong together differ in size or length.
            MissingToolboxError: PyAV is not installed.
        """
        with ExitStack() as stack:
            readers = {self.task.inputs[0]: stack.enter_context(open_video(self.file))}
            for name, folder in self.partners.items():
                partner = find_partner(folder, Path(self.file.stem), name, is_video_file)
                readers[name] = stack.enter_context(open_video(partner))
            first = readers[self.task.inputs[0]]
            writer = None if self.target is None else stack.enter_context(VideoWriter(self.target, like=first))
            boxes = []
            total = first.frames if max_frames is None else min(max_frames, first.frames or max_frames)
            works = self._works(readers, max_frames)
            for outcome in work_through(works, self.task, options, report, total, 'frame', strict=True):
                if outcome.detections is not None:
                    boxes.append(boxes_record(outcome))
                if writer is not None:
                    writer.write(comparison(outcome) if options.compare else outcome.shown)
                yield outcome
            if record is not None and self.target is not None:
                record.begin(self.target, self.work.inputs)
            # The video comes last, when the block ends: its being there means that all is done.
            if self.stem is not None and boxes:
                write_json(self.stem.with_name(f'{self.stem.name}.json'), boxes)
        if record is not None and self.target is not None:
            record.done(self.target, self.work.inputs)

    def _works(self, readers: Mapping[str, Any], max_frames: int | None) -> Iterator[Work]:
        frames = {name: iter(reader) for name, reader in readers.items()}
        number = 0
        while max_frames is None or number < max_frames:
            row = {name: next(stream, None) for name, stream in frames.items()}
            ended = [name for name, frame in row.items() if frame is None]
            if len(ended) == len(row):
                return
            if ended:
                raise DataError(f"'{self.file}' and its partner differ in length: '{ended[0]}' ends after {number} "
                                'frames')
            yield Work(f'{self.file.name}#{number}', _reader(self.task, {
                name: _grey(frame) if input_of(name).mode == 'grey3' else frame for name, frame in row.items()}))
            number += 1


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
