"""What the results of a folder depend on, so that a rerun keeps the right ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from ...utils.atomic import remove_leftovers
from ...utils.runs import Record
from ..scenes.journal import identity_of
from .loop import Options, Work

RESULTS = 1
"""Bump when the same model, weights and options give other results."""
_HOW_ONLY = ('overwrite', 'batch_size', 'hidden')
_REMEDY = 'choose another folder (--out), or --overwrite'


def open_record(out: Path, name: str, model: nn.Module, options: Options,
                scene_options: Mapping[str, Any] | None = None) -> Record:
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
    chosen = {key: value for key, value in asdict(options).items() if key not in _HOW_ONLY}
    return Record(out, {'model': name, **{key: made_by[key] for key in ('weights', 'settings', 'config')
                                          if key in made_by},
                        'options': {**chosen, **(scene_options or {})}, 'results': RESULTS})


def check_results(record: Record, works: Iterable[Work], overwrite: bool) -> None:
    """Find out which results are there already.

    Raises:
        DataError: some were made by another model or with other options, and ``overwrite`` is not set.
    """
    if not overwrite:
        record.check({work.target: work.inputs for work in works if work.target is not None}, _REMEDY)
