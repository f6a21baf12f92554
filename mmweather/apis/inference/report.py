"""What came out: for one picture, and for a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.runs import Record


@dataclass
class Outcome:
    """What a model made of one picture or frame.

    Args:
        source: the file, or the name of an array (``'0'``, ``'1'``, ...) or of a frame (``'clip.mp4#12'``).
        image: the picture that was given, uint8 (H, W, 3) RGB; a thermal one in grey.
        companions: what came with it, such as an infrared picture, likewise.
        restored: the restored picture, uint8 (H, W, 3) RGB, where the model restores.
        sample: mmdet's ``DetDataSample`` or mmseg's ``SegDataSample`` with the predictions, on the CPU.
        detections: for detectors, one dict a box with ``label`` (number), ``name``, ``score`` and ``box`` (x1, y1, x2,
            y2 in pixels of the picture), best first.
        labels: for segmentors, the class of each pixel, uint8 (H, W), or uint16 where there are more than 256 classes.
        picture: boxes or masks drawn over the given picture; uint8 (H, W, 3) RGB.
        files: what was written.
        note: one line on how the input was taken, which a run prints once for each kind.
        note_kind: what the note is about.
    """

    source: Path | str
    image: np.ndarray
    companions: tuple[np.ndarray, ...] = ()
    restored: np.ndarray | None = None
    sample: Any = None
    detections: list[dict[str, Any]] | None = None
    labels: np.ndarray | None = None
    picture: np.ndarray | None = None
    files: list[Path] = field(default_factory=list)
    note: str = ''
    note_kind: str = ''

    @property
    def shown(self) -> np.ndarray:
        """The picture to look at: the drawn one, else the restored one, else the given one."""
        return next(image for image in (self.picture, self.restored, self.image) if image is not None)


@dataclass
class Report:
    """What a run did. It is also the sequence of its outcomes.

    Args:
        done: results written.
        skipped: results that were there already.
        unrecorded: those of ``skipped`` of which nothing says what they were made from.
        failed: inputs that failed, with the reason in one line.
        notes: how inputs were taken, one line for each kind.
        outcomes: what the model made of each input, in order; where results are written to files, only if asked for.
    """

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path | str, str] = field(default_factory=dict)
    unrecorded: list[Path] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def skip(self, result: Path, record: Record) -> None:
        """Note a result that is kept."""
        self.skipped.append(result)
        if record.states[result] == 'unknown':
            self.unrecorded.append(result)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __getitem__(self, index: int) -> Outcome:
        return self.outcomes[index]

    def __bool__(self) -> bool:
        """True, also without outcomes."""
        return True
