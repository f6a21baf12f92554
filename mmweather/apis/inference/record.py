"""What the results of a folder depend on, so that a rerun keeps the right ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from ...utils.atomic import remove_leftovers
from ...utils.runs import Record
from ...utils.video import is_video_file
from ..scenes.detect import is_tiff
from ..scenes.journal import identity_of
from .loop import Options, Work

RESULTS = 1
"""Bump when the same model, weights and options give other results."""
_HOW_ONLY = ('overwrite', 'batch_size', 'hidden')
_EXTRAS = ('draw', 'compare')
_REMEDY = 'choose another folder (--out), or --overwrite'


class ResultRecord(Record):
    """Record of pictures and videos that notes which pictures were written in addition.

    A run without an extra keeps results that have it, and a run with it makes those without it again: the result itself
    is the same.  In a video, extras change the frames, so it is made again for any other extras.  Scenes have none.

    Args:
        folder: of the results.
        identity: what all results of this run depend on, without the extras.
        extras: whether each of ``draw`` and ``compare`` is wanted.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], extras: Mapping[str, bool]) -> None:
        super().__init__(folder, identity)
        self.extras = dict(extras)

    def state(self, result: Path, inputs: Sequence[Path]) -> str:
        """Return how a result stands; ``'stale'`` also where extras are missing."""
        state = super().state(result, inputs)
        if state != 'same' or is_tiff(result):
            return state
        made = self._entries[self._name(result)].get('extras')
        if not isinstance(made, dict):
            return 'stale'
        if is_video_file(result):
            return 'same' if made == self.extras else 'stale'
        return 'same' if all(made.get(name) for name, wanted in self.extras.items() if wanted) else 'stale'

    def _note(self, entry: dict[str, Any]) -> None:
        super()._note({**entry, 'extras': self.extras})


def open_record(out: Path, name: str, model: nn.Module, options: Options,
                scene_options: Mapping[str, Any] | None = None) -> ResultRecord:
    """Return the record of an output folder, and remove what killed runs have left there.

    Args:
        out: folder of the results.
        name: of the model, for messages.
        model: its weights and settings count.
        options: of the run; those that do not change results do not count.
        scene_options: of :func:`~mmweather.apis.scenes.geotiff.restore_geotiff`.
    """
    if out.is_dir():
        remove_leftovers(out)
    made_by = identity_of(model, {}, {})
    config = getattr(model, 'cfg', None)
    if isinstance(config, Config):
        made_by['config'] = hashlib.sha256(repr(config.to_dict()).encode()).hexdigest()
    chosen = {key: value for key, value in asdict(options).items() if key not in (*_HOW_ONLY, *_EXTRAS)
              and not (key == 'thermal_range' and value is None)}
    identity: dict[str, Any] = {
        'model': name, **{key: made_by[key] for key in ('weights', 'settings', 'config') if key in made_by},
        'options': {**chosen, **(scene_options or {})}, 'results': RESULTS}
    return ResultRecord(out, identity, {key: bool(getattr(options, key)) for key in _EXTRAS})


def check_results(record: Record, works: Iterable[Work], overwrite: bool) -> None:
    """Find out which results are there already.

    Raises:
        DataError: some were made by another model or with other options, and ``overwrite`` is not set.
    """
    if not overwrite:
        record.check({work.target: work.inputs for work in works if work.target is not None}, _REMEDY)
