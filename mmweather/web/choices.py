"""Which models the page offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..apis.hub import entry_of, load_index
from ..errors import ConfigError, DataError


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen.

    Args:
        label: what the page calls it.
        model: alias, name or path of a config.
        checkpoint: file with its weights; None for those that come with the package.
    """

    label: str
    model: str
    checkpoint: str | None = None


def choices_from(models: Sequence[str] = (), checkpoints: Sequence[str] = ()) -> list[Choice]:
    """The models given, each with its checkpoint; without any, all whose weights come with the package.

    Args:
        models: aliases, names or paths of configs.
        checkpoints: files with weights, in the order of ``models``; none for the weights of the package.

    Raises:
        ConfigError: a model is unknown, there are not as many checkpoints as models, or nothing is left to offer.
        DataError: a checkpoint is no file.
    """
    if checkpoints and len(checkpoints) != len(models):
        raise ConfigError(f'{len(models)} --model and {len(checkpoints)} --checkpoint: give one checkpoint for each '
                          'model, or none for the weights that come with the package')
    for given in checkpoints:
        if not Path(given).is_file():
            raise DataError(f"'{given}': no such checkpoint; check the path")
    if not models:
        found = [Choice(f'{entry.alias} · {entry.collection}' if entry.alias else entry.name, entry.alias or entry.name)
                 for entry in load_index().values() if entry.weights_file]
        if not found:
            raise ConfigError('no model comes with weights here; give one: --model NAME --checkpoint FILE')
        return sorted(found, key=lambda choice: choice.label)
    files: list[str | None] = list(checkpoints) if checkpoints else [None] * len(models)
    found = []
    for model, file in zip(models, files, strict=True):
        entry = entry_of(model)
        label = Path(model).stem if entry is None else entry.alias or entry.name
        found.append(Choice(label if file is None else f'{label} · {Path(file).name}', model, file))
    if len({choice.label for choice in found}) < len(found):
        raise ConfigError('two models of the page have one name: ' + ', '.join(choice.label for choice in found))
    return found
