"""What the page does, without the page: models kept ready, files checked, answers in plain arrays and text."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..apis.inference.report import Outcome
from ..apis.inferencer import Inferencer
from ..apis.restore import device_of
from ..errors import ConfigError, DataError, MMWeatherError
from ..methods import input_of
from ..utils.images import image_size, read_image
from .choices import Choice

PREVIEW_SIDE = 1600
"""Longer side in pixels of the pictures on the page; the file to download has them all."""

_TASKS = {'restore': 'Restores pictures.', 'detect': 'Finds and boxes objects.', 'segment': 'Names every pixel.'}


@dataclass(frozen=True)
class Limits:
    """What an upload may be at most.

    Args:
        megabytes: size of the file.
        megapixels: width times height.
    """

    megabytes: float = 50
    megapixels: float = 40


@dataclass(frozen=True)
class Row:
    """A line of the list below the picture.

    Args:
        cells: a box's name, score and corners, or a class and its share of the picture.
        colour: RGB of the class in the picture, where the picture does not name it.
    """

    cells: tuple[str, ...]
    colour: tuple[int, ...] | None = None


@dataclass
class Answer:
    """What the page shows.

    Args:
        before: the picture given, small enough for a page; uint8 (H, W, 3) RGB.
        after: the restored one, or the given one with boxes or masks where the model draws them, of the same size.
        picture: ``after`` in full size.
        restored: the restored picture alone where ``picture`` has something drawn on it.
        summary: one line: size, seconds, device.
        rows: what was found; empty for restorers.
        record: boxes as they are written to files, or None.
    """

    before: np.ndarray
    after: np.ndarray
    picture: np.ndarray
    restored: np.ndarray | None
    summary: str
    rows: list[Row] = field(default_factory=list)
    record: dict[str, Any] | None = None


class Engine:
    """Models of the page, of which the last two used are kept, and one run at a time.

    Args:
        choices: the models offered.
        device: see :class:`mmweather.Inferencer`.
        dtype: likewise, of its calls.
        limits: what an upload may be at most.
    """

    def __init__(self, choices: Sequence[Choice], device: str | None = None, dtype: str = 'fp32',
                 limits: Limits | None = None) -> None:
        self.choices = {choice.label: choice for choice in choices}
        self.limits = limits or Limits()
        self._device, self._dtype = device, dtype
        self._ready: dict[str, Inferencer] = {}
        self._loading, self._looking, self._running = threading.Lock(), threading.Lock(), threading.Lock()

    def load(self, label: str) -> Inferencer:
        """The model of that label.

        Raises:
            MMWeatherError: it is not offered, cannot be built, or takes what a page cannot give.
        """
        if label not in self.choices:
            raise ConfigError(f"no model is called '{label}' here")
        with self._loading:
            inferencer = self._ready.pop(label, None)
            if inferencer is None:
                choice = self.choices[label]
                inferencer = Inferencer(choice.model, choice.checkpoint, self._device)
                kinds = [input_of(name) for name in inferencer.inputs]
                other = [item.name for item in kinds if item.mode == 'bands'] + [item.name for item in kinds[2:]]
                if other:
                    raise ConfigError(f"'{label}' takes {', '.join(other)}, which a page cannot show; use the commands")
                while len(self._ready) > 1:
                    self._ready.pop(next(iter(self._ready)))
            self._ready[label] = inferencer
            return inferencer

    def describe(self, label: str) -> str:
        """What the model does and takes, in a line or two.

        Raises:
            MMWeatherError: see :meth:`load`.
        """
        inferencer = self.load(label)
        words = [_TASKS[inferencer.task]]
        if len(inferencer.inputs) > 1:
            words.append(f"Takes two images of one size: {' and '.join(self.inputs(label)).lower()}.")
        if inferencer.classes:
            shown = ', '.join(inferencer.classes[:12])
            words.append(f"Classes: {shown}{' and more' if len(inferencer.classes) > 12 else ''}.")
        if inferencer.entry is not None:
            words.append(f'Status: {inferencer.entry.status}.')
        return ' '.join(words)

    def inputs(self, label: str) -> list[str]:
        """Titles of the pictures that the model takes, the first and perhaps a second.

        Raises:
            MMWeatherError: see :meth:`load`.
        """
        return [input_of(name).label for name in self.load(label).inputs]

    def check(self, path: str | Path) -> tuple[int, int]:
        """Height and width of an upload.

        Raises:
            DataError: it is too large or no picture.
        """
        path = Path(path)
        with _file_names(path):
            megabytes = path.stat().st_size / 1e6
            if megabytes > self.limits.megabytes:
                raise DataError(f"'{path}' has {megabytes:.3g} MB; at most {self.limits.megabytes:g} MB are taken here")
            try:
                height, width = image_size(path)
            except DataError as error:
                if not isinstance(error.__context__, Image.DecompressionBombError):
                    raise
                # Pillow opens nothing that large; its text holds the number of pixels.
                pixels = re.search(r'[0-9]+', str(error.__context__))
                shown = f'{int(pixels[0]) / 1e6:.0f} megapixels' if pixels else 'too many pixels'
                raise DataError(f"'{path}' has {shown}; at most {self.limits.megapixels:g} megapixels are taken here: "
                                'scale it down, or use the command `mmweather`') from None
            if height * width > self.limits.megapixels * 1e6:
                raise DataError(f"'{path}' has {width} x {height} pixels; at most {self.limits.megapixels:g} "
                                'megapixels are taken here: scale it down, or use the command `mmweather`')
        return height, width

    def preview(self, path: str | Path) -> np.ndarray:
        """An upload, small enough for a page: uint8 (H, W, 3) RGB.

        Raises:
            DataError: it is too large, no picture or damaged.
        """
        self.check(path)
        with _file_names(Path(path)), self._looking:
            return shrink(read_image(path))

    def run(self, label: str, paths: Sequence[str | Path | None], score_thr: float = 0.3) -> Answer:
        """Do one picture.

        Args:
            label: the model.
            paths: the uploads, in the order of :meth:`inputs`; more than it takes are passed over.
            score_thr: least score of a box that is listed and drawn.

        Raises:
            MMWeatherError: an upload is missing, too large or no picture, or the model cannot do it.
        """
        inferencer = self.load(label)
        files: dict[str, Path] = {}
        for index, name in enumerate(inferencer.inputs):
            path = paths[index] if index < len(paths) else None
            if not path:
                raise DataError(f'{input_of(name).label}: choose a file first')
            self.check(path)
            files[name] = Path(path)
        with _file_names(*files.values()), self._running:
            started = time.perf_counter()
            report = inferencer(files, dtype=self._dtype, score_thr=score_thr, show_progress=False)
            seconds = time.perf_counter() - started
            if not len(report):
                raise DataError(next(iter(report.failed.values()), 'nothing came out'))
        outcome = report[0]
        height, width = outcome.image.shape[:2]
        return Answer(
            before=shrink(outcome.image),
            after=shrink(outcome.shown),
            picture=outcome.shown,
            restored=outcome.restored if outcome.picture is not None else None,
            summary='; '.join((f'{width} x {height} pixels, {seconds:.1f} s on {device_of(inferencer.model)}',
                               *report.notes.values())),
            rows=_rows(outcome, inferencer),
            record=_record(outcome, Path(paths[0] or '').name))


def shrink(picture: np.ndarray, side: int = PREVIEW_SIDE) -> np.ndarray:
    """A picture whose longer side is at most ``side`` pixels."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return picture
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, reducing_gap=3))


def _rows(outcome: Outcome, inferencer: Inferencer) -> list[Row]:
    if outcome.detections is not None:
        return [Row((found['name'], f"{found['score']:.2f}", ', '.join(f'{value:.0f}' for value in found['box'])))
                for found in outcome.detections]
    if outcome.labels is None:
        return []
    classes, palette = inferencer.classes, inferencer.palette
    labels, counts = np.unique(outcome.labels, return_counts=True)
    return [Row((classes[label] if label < len(classes) else f'class {label}',
                 f'{counts[place] / outcome.labels.size:.1%}'), palette[label] if label < len(palette) else None)
            for place in np.argsort(-counts, kind='stable') for label in [int(labels[place])]]


def _record(outcome: Outcome, name: str) -> dict[str, Any] | None:
    if outcome.detections is None:
        return None
    height, width = outcome.image.shape[:2]
    return dict(image=name, width=width, height=height, boxes=outcome.detections)


class _file_names:
    """Errors name files as the user does, not by where the server keeps them."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, MMWeatherError):
            text = str(error)
            for path in self.paths:
                text = text.replace(str(path), path.name)
            raise type(error)(text) from None
