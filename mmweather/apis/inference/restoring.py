"""Restoring as a task: see :class:`~mmweather.apis.inference.loop.Task`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn
from tqdm import tqdm

from ...errors import ConfigError
from ...methods import input_of
from ...utils.arrays import side_by_side
from ...utils.images import read_image, write_image
from ..restore import as_array, bands_of, contract_of, restore_batch
from .loop import Images, Options
from .report import Outcome


class Restoring:
    """Clear pictures from a restorer.

    Args:
        model: as for :func:`~mmweather.apis.restore.restore_image`.

    Raises:
        ConfigError: the model is no restorer.
    """

    name = 'restore'
    out_of_memory_hint = 'use smaller tiles (--tile 256)'

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.inputs = contract_of(model).inputs

    def read(self, name: str, file: Path) -> np.ndarray:
        """Read a picture.

        Raises:
            ConfigError: the model restores scenes of other bands alone, or takes what is no image.
        """
        self._check_bands()
        return read_image(file, input_of(name).image_mode)

    def take(self, name: str, array: np.ndarray) -> np.ndarray:
        """Check an array; see :meth:`read`."""
        self._check_bands()
        return as_array(name, array)

    def _check_bands(self) -> None:
        bands = bands_of(self.model)
        rasters = [item.label.lower() for item in map(input_of, self.inputs) if item.mode == 'bands']
        if bands != 3 or rasters:
            raise ConfigError(f"{type(self.model).__name__} restores satellite scenes of {bands} bands"
                              f"{''.join(f' with {label}' for label in rasters)}, not pictures; give GeoTIFFs")

    def run(self, batch: Sequence[Images], options: Options) -> list[Outcome]:
        """Restore pictures of one size."""
        with _TileBar(options.hidden) as tiles:
            results = restore_batch(self.model, batch, options.tile, options.overlap, options.dtype, progress=tiles)
        first, *others = self.inputs
        return [Outcome('', images[first], tuple(images[name] for name in others), restored=result)
                for images, result in zip(batch, results, strict=True)]

    def target(self, stem: Path) -> Path:
        """The restored picture."""
        return stem.with_name(f'{stem.name}.png')

    def write(self, outcome: Outcome, stem: Path, options: Options) -> list[Path]:
        """``<stem>.png``, and with ``compare`` ``<stem>_compare.png``."""
        files = []
        if options.compare:
            files.append(write_image(stem.with_name(f'{stem.name}_compare.png'), comparison(outcome)))
        return [*files, write_image(self.target(stem), outcome.restored)]


def comparison(outcome: Outcome) -> np.ndarray:
    """Return the given image (and its auxiliary inputs) with the result at its right."""
    return side_by_side((outcome.image, *outcome.companions, outcome.shown))


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
