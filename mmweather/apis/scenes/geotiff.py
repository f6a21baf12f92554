"""Restoring whole satellite scenes: GeoTIFFs of any size, in windows, with bounded memory.

A scene is read, restored and written window by window. Windows overlap and are blended with the weights of
:mod:`mmweather.models.ops.tiling`; besides one window only the seams are held. The result is a cloud-optimised
GeoTIFF with the coordinates, bands, tags and nodata of the scene. A run that was killed goes on where it stopped, and
its result is the same bit for bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ...errors import ConfigError
from ...models.ops.contract import InferenceContract
from ...models.ops.padding import padded_size
from ...models.ops.tiling import choose_tile, tile_grid
from ..restore import bands_of, check_finite, contract_of, device_of, pick_device, predict
from .blend import Axis, Blender
from .journal import Journal, identity_of
from .output import BLOCK, Part, check_space, check_target, disk_need, free_space, gigabytes
from .scene import Piece, Scene, crs_name, import_rasterio, open_scene

#: Side of the windows that ``tile='auto'`` makes, by the contract's word on tiling. Networks that look at all of a
#: window are trained on patches of about this size, and what attention costs for a pixel grows with the window.
AUTO_TILE = {'supported': 512, 'shared': 256, 'approximate': 256}
#: GDAL's cache of blocks in bytes, at least and at most.
CACHE = (64 << 20, 1 << 30)


@dataclass
class Plan:
    """How a scene is restored; see :func:`plan_geotiff`.

    Args:
        scene: name, size, bands and type of the scene, for people.
        rows: windows of the height.
        columns: windows of the width.
        tile: height and width of a window in pixels.
        cache: bytes of GDAL's cache.
        buffers: bytes of the arrays of one window and of the seams.
        need: bytes on the disk at most, while it runs.
        result: bytes of the result at most.
        overviews: factors of the result's overviews.
        free: bytes that are free on the disk of the result.
    """

    scene: str
    rows: Axis
    columns: Axis
    tile: tuple[int, int]
    cache: int
    buffers: int
    need: int
    result: int
    overviews: tuple[int, ...]
    free: int = 0

    def __str__(self) -> str:
        share = ' and '.join(f'{axis.seam()} {name}' for axis, name in ((self.rows, 'rows'), (self.columns, 'columns')))
        levels = ' '.join(map(str, self.overviews)) or 'none'
        return '\n'.join((
            self.scene,
            f'windows: {len(self.rows) * len(self.columns)} ({len(self.rows)} x {len(self.columns)}) of '
            f'{self.tile[1]}x{self.tile[0]} pixels, sharing up to {share}',
            f'memory: {(self.buffers + self.cache) / 2**30:.2f} GiB for windows, seams and cache, besides the '
            'libraries and what the network needs for one window',
            f'disk: up to {gigabytes(self.need)} while it runs, result up to {gigabytes(self.result)}; '
            f"{gigabytes(self.free)} free{'' if self.free >= self.need else ', too little'}",
            f'result: cloud-optimised GeoTIFF, deflate, blocks of {BLOCK}, overviews {levels}',
        ))


def make_plan(scene: Scene, contract: InferenceContract, tile: int | str | None = 'auto', overlap: int | None = None,
              device: str = 'cpu') -> Plan:
    """Lay windows over an open scene; see :func:`restore_geotiff` for the arguments.

    Raises:
        ConfigError: ``tile`` or ``overlap`` cannot work.
    """
    height, width = scene.data.shape
    side = choose_tile(AUTO_TILE.get(contract.tiling) if tile == 'auto' else tile, height, width, contract, device)
    if side is None:
        tiles = [padded_size(size, contract.multiple_of, contract.minimum) for size in (height, width)]
        grids = [[(0, torch.ones(size))] for size in tiles]
    else:
        tiles, grids = tile_grid(height, width, side, overlap, contract, even=tile == 'auto')
    rows, columns = Axis(grids[0], height), Axis(grids[1], width)
    bands, itemsize = len(scene.bands), np.dtype(scene.values.dtype).itemsize
    pixels = min(tiles[0], height) * min(tiles[1], width)
    # Numbers, mask, input, its copy on the way, output, weighted output; radar likewise.
    buffers = pixels * (bands * (2 * itemsize + 2 + 5 * 4) + (2 * 4 * 5 if scene.sar else 0))
    buffers += 4 * bands * (2 * rows.seam() * width + columns.seam() * tiles[0])
    # Blocks of a row of windows, of all bands read and written, lest a block be decoded for every window.
    read = width * (tiles[0] + 2 * max(scene.data.block_shapes[0][0], 256)) * (
        scene.data.count * itemsize + (8 if scene.sar else 0))
    cache = int(np.clip(read, *CACHE))
    need, result, _ = disk_need(scene)
    overviews, factor = [], 2
    while max(height, width) * 2 > BLOCK * factor:
        overviews.append(factor)
        factor *= 2
    values = scene.values
    text = (f"'{scene.path}': {width}x{height}, {bands} band{'s' if bands > 1 else ''} {values.dtype}, "
            f"{crs_name(scene.data)}, nodata {values.nodata if values.nodata is None else format(values.nodata, 'g')}, "
            f"scale {values.scale:g}, offset {values.offset:g}{', with radar' if scene.sar else ''}")
    return Plan(text, rows, columns, (tiles[0], tiles[1]), cache, buffers, need, result, tuple(overviews))


@contextlib.contextmanager
def _open(model: nn.Module, scene: str | Path, out: str | Path, sar: str | Path | None,
          **options: Any) -> Iterator[tuple[Scene, Path]]:
    inputs = contract_of(model).inputs
    if inputs not in (('img', ), ('img', 'sar')):
        raise ConfigError(f"{type(model).__name__} takes {', '.join(inputs)}; scenes need a model of img, or of img "
                          'and sar')
    if (sar is None) == ('sar' in inputs):
        raise ConfigError(f'{type(model).__name__} ' + (
            'takes radar; give a raster of VV and VH in dB on the same grid (--sar)' if sar is None
            else 'takes no radar; leave --sar out'))
    target = Path(out)
    check_target(target, Path(scene), None if sar is None else Path(sar))
    with open_scene(scene, bands_of(model), sar, **options) as opened:
        yield opened, target


def plan_geotiff(model: nn.Module, scene: str | Path, out: str | Path, sar: str | Path | None = None,
                 tile: int | str | None = 'auto', overlap: int | None = None, **options: Any) -> Plan:
    """What :func:`restore_geotiff` would do: windows, memory, disk. No pixel is read, nothing written.

    Raises:
        ConfigError: an option cannot work.
        DataError: as there, for what shows without reading pixels.
    """
    with _open(model, scene, out, sar, **options) as (opened, target):
        plan = make_plan(opened, contract_of(model), tile, overlap, device_of(model).type)
        plan.free = free_space(Journal(target, {}))
        return plan


def restore_geotiff(
    model: nn.Module,
    scene: str | Path,
    out: str | Path,
    sar: str | Path | None = None,
    bands: str | Sequence[int | str] | None = None,
    nodata: float | None = None,
    scale: float | None = None,
    offset: float | None = None,
    vh_floor: float | None = None,
    tile: int | str | None = 'auto',
    overlap: int | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    show_progress: bool | None = None,
    save_every: float = 30.0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Restore a GeoTIFF of any size into a cloud-optimised GeoTIFF on the same grid.

    Numbers become (number + offset) / scale, clipped to [0, 1], and come back the same way, rounded for whole-number
    types. What is nodata in a band, NaN, or outside of the file's mask stays as it is; the network sees the band's mean
    there. Work goes to the folder ``.NAME.restoring`` beside the result, which is removed at the end. After a kill the
    same call goes on there; where weights, options or inputs have changed it begins anew and says so.

    Args:
        model: of the input ``img``, or ``img`` and ``sar``; see :func:`~mmweather.apis.restore.restore_image`. It is
            put into evaluation mode.
        scene: uint8, uint16, int16 or float32. Models of 13 bands take Sentinel-2 Level-1C: B1 ... B8, B8A ... B12.
        out: the result, ending in ``.tif``.
        sar: VV and VH of Sentinel-1 in dB, on the grid of the scene.
        bands: the bands to restore, such as ``'4,3,2'``; the result has these alone. None takes all.
        nodata: number that means no data; None takes the file's.
        scale: number that is full brightness. None takes the file's own, 10000 for Sentinel-2 or 255 for uint8.
        offset: added before scaling: -1000 for Sentinel-2 of processing baseline 04.00 and later.
        vh_floor: dB of VH that becomes 0: -32.5 by default, -35 for ACA-CRNet's published weights.
        tile: side of the windows in pixels, ``'auto'``, or None for the whole scene at once.
        overlap: pixels that windows share; None takes the network's own.
        dtype: None (float32), ``'bf16'`` or ``'fp16'``.
        device: where the model is moved and run; None leaves it where it is.
        show_progress: whether to show a bar; None shows it on a terminal.
        save_every: seconds between saved states.
        progress: called with (windows done, windows in all).

    Returns:
        The path of the result.

    Raises:
        ConfigError: an option cannot work, or the model takes other inputs.
        DataError: a file is missing, damaged or unfit, the output is not finite, or it cannot be written.
        MissingToolboxError: rasterio is not installed.
    """
    if device is not None:
        model = model.to(pick_device(device))
    model.eval()
    where = device_of(model)
    values = dict(bands=bands, nodata=nodata, scale=scale, offset=offset, vh_floor=vh_floor)
    with _open(model, scene, out, sar, **values) as (opened, target):
        plan = make_plan(opened, contract_of(model), tile, overlap, where.type)
        chosen = opened.values
        identity = identity_of(model, {'scene': opened.path, 'sar': opened.sar_path}, {
            'bands': opened.bands, 'values': [chosen.scale, chosen.offset, chosen.nodata], 'vh_floor': opened.vh_floor,
            'rows': plan.rows.starts, 'columns': plan.columns.starts, 'tile': plan.tile, 'dtype': dtype or 'fp32',
            'device': where.type})
        journal = Journal(target, identity)
        check_space(journal, plan.need)
        with journal.locked(), import_rasterio().Env(GDAL_CACHEMAX=plan.cache):
            run = _Run(model, opened, plan, journal, dtype, save_every)
            try:
                run.go(None if show_progress is None else not show_progress, progress)
            except Exception:
                if not run.blender.index:
                    journal.remove()  # nothing is lost
                raise
            finally:
                run.part.close()
    return target


class _Run:
    """One scene on its way through the network."""

    def __init__(self, model: nn.Module, scene: Scene, plan: Plan, journal: Journal, dtype: str | None,
                 save_every: float) -> None:
        self.model, self.scene, self.journal = model, scene, journal
        self.dtype, self.save_every = dtype, save_every
        self.device = device_of(model)
        self.blender = Blender(plan.rows, plan.columns, len(scene.bands))
        self.part = Part(journal, scene)
        self.means: dict[str, np.ndarray] = {}

    def go(self, hidden: bool | None, progress: Callable[[int, int], None] | None) -> None:
        """From wherever the journal is to the result."""
        total = len(self.blender)
        self.begin(hidden)
        saved = time.monotonic()
        with tqdm(total=total, initial=self.blender.index, desc=self.scene.path.name, unit='window', leave=False,
                  disable=hidden) as bar:
            while self.blender.index < total:
                top, left, height, width = self.blender.window(self.blender.index)
                piece = self.scene.read(top, left, height, width)
                cell = self.blender.add(self.restore(piece))
                rows, columns = (slice(0, length) for length in cell.shape[1:])
                numbers = self.scene.values.from_unit(cell, piece.stored[:, rows, columns],
                                                      piece.missing[:, rows, columns])
                if piece.alpha is not None:
                    numbers = np.concatenate((numbers, piece.alpha[:, rows, columns]))
                self.part.write(numbers, top, left)
                if time.monotonic() - saved >= self.save_every or self.blender.index == total:
                    self.save()
                    saved = time.monotonic()
                bar.update()
                if progress:
                    progress(self.blender.index, total)
            bar.set_description(f'{self.scene.path.name}: overviews and compression')
            self.part.finish()

    def begin(self, hidden: bool | None) -> None:
        """Take up the saved state, or look the scene through and lay out the result."""
        state, reason = self.journal.load()
        if state is not None:
            self.scene.fill, self.scene.sar_fill = (state.pop(name) for name in ('fill', 'sar_fill'))
            self.means = {'fill': self.scene.fill, 'sar_fill': self.scene.sar_fill}
            self.blender.restore(state)
            tqdm.write(f"'{self.journal.target}': going on after {self.blender.index} of {len(self.blender)} windows")
            return
        if reason:
            tqdm.write(f"'{self.journal.target}': an earlier run that was not finished is dropped ({reason})")
        self.journal.clear()
        with tqdm(desc=f'{self.scene.path.name}: check', unit='piece', leave=False, disable=hidden) as bar:

            def report(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            self.means = self.scene.survey(report)
        self.part.create()
        self.save()

    def save(self) -> None:
        """The state as it is now, after the pixels it speaks of."""
        self.part.flush()
        self.journal.save({**self.blender.state(), **self.means})

    def restore(self, piece: Piece) -> np.ndarray:
        """A window through the network, float32 (C, H, W) in [0, 1]."""
        if piece.missing.all():
            return np.zeros(piece.image.shape, np.float32)
        tensors = {'img': torch.from_numpy(piece.image)[None].to(self.device)}
        if piece.sar is not None:
            tensors['sar'] = torch.from_numpy(piece.sar)[None].to(self.device)
        output = predict(self.model, tensors, dtype=self.dtype)[0].float()
        if output.shape != piece.image.shape:
            raise ConfigError(f'{type(self.model).__name__} made {tuple(output.shape)} of {piece.image.shape}; scenes '
                              'need a model that keeps bands and size')
        check_finite(output)
        return output.clamp(0, 1).cpu().numpy()
