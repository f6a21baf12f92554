"""Running a network on images of any size: padded, and in overlapping tiles where they are large."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from mmweather.errors import ConfigError, DataError

from .contract import InferenceContract
from .padding import crop_to, pad_to_multiple, padded_size
from .whole_image import Recorded, pooling_shared, recording, replaying, stand_in

#: Longest side of the tiles that ``tile='auto'`` makes, by the type of the device. On a CPU the full CleanNet needs
#: 3 kB a pixel of the tile beside 0.8 GiB for itself and the libraries (measured: 1.2 GiB at 384x384, 1.4 at 512x512,
#: 2.3 at 768x768), and a 3840x2160 image takes 2.3 GiB (benchmarks/memory.py).
AUTO_TILE = {'cpu': 768}
#: On other devices; their kernels keep more of the maps at a time.
AUTO_TILE_ELSEWHERE = 640

Progress = Callable[[int, int], None]


def choose_tile(tile: int | str | None, height: int, width: int, contract: InferenceContract,
                device: str = 'cpu') -> int | None:
    """The side of the tiles for an image, or None for the whole image.

    ``'auto'`` runs images whole that have no more pixels than one of its tiles.

    Raises:
        ConfigError: ``tile`` is no positive number, ``'auto'``, ``'none'`` or None.
    """
    if contract.tiling == 'never' or tile is None or tile == 'none':
        return None
    if tile == 'auto':
        side = AUTO_TILE.get(device, AUTO_TILE_ELSEWHERE)
        return None if height * width <= side**2 else side
    if isinstance(tile, bool) or not isinstance(tile, int) or tile < 1:
        raise ConfigError(f"tile={tile!r}: give the side of the tiles in pixels, 'auto', or None for whole images")
    return None if height <= tile and width <= tile else tile


def tile_starts(size: int, tile: int, overlap: int, multiple_of: int = 1) -> list[int]:
    """Where tiles of one side begin: evenly spread, at least ``overlap`` in common, the last one ending at ``size``.

    Args:
        size: padded length, a multiple of ``multiple_of``.
        tile: length of a tile, a multiple of ``multiple_of``.
        overlap: least common length of neighbours, less than ``tile``.
        multiple_of: starts are multiples of this, so that a tile sees the grid that the whole image sees.
    """
    if tile >= size:
        return [0]
    count = -(-(size - overlap) // (tile - overlap))
    starts = [round(i * (size - tile) / (count - 1) / multiple_of) * multiple_of for i in range(count)]
    return starts


def even_tile(size: int, longest: int, overlap: int, multiple_of: int) -> int:
    """The least length with which no more tiles are needed than with ``longest``: less is computed twice."""
    if longest >= size:
        return size
    count = -(-(size - overlap) // (longest - overlap))
    return padded_size(-(-(size + (count - 1) * overlap) // count), multiple_of, 1)


def _ramp(length: int, before: int, after: int) -> Tensor:
    """Blending weight along one side: rises over ``before`` pixels, falls over ``after``, one between."""
    weight = torch.ones(length)
    if before:
        weight[:before] = torch.sin((torch.arange(before) + 0.5) / before * torch.pi / 2).square()
    if after:
        weight[length - after:] *= torch.cos((torch.arange(after) + 0.5) / after * torch.pi / 2).square()
    return weight


def blending_windows(size: int, starts: list[int], tile: int, trim: int) -> list[tuple[int, Tensor]]:
    """Start and blending weight of each tile along one side; at every pixel the weights sum to one.

    ``trim`` pixels at each inner border get no weight: there a tile misses part of its neighbourhood.
    """
    windows = []
    total = torch.zeros(size)
    for i, start in enumerate(starts):
        before = starts[i - 1] + tile - start if i else 0
        after = start + tile - starts[i + 1] if i + 1 < len(starts) else 0
        inner_before, inner_after = (min(trim, (side - 1) // 2) if side else 0 for side in (before, after))
        weight = torch.zeros(tile)
        weight[inner_before:tile - inner_after] = _ramp(tile - inner_before - inner_after,
                                                        max(before - 2 * inner_before, 0),
                                                        max(after - 2 * inner_after, 0))
        windows.append((start, weight))
        total[start:start + tile] += weight
    # Where tiles are spread so that three meet, the ramps of two do not add up by themselves.
    return [(start, weight / total[start:start + tile]) for start, weight in windows]


def tile_grid(height: int, width: int, side: int, overlap: int | None, contract: InferenceContract,
              even: bool = False) -> tuple[list[int], list[list[tuple[int, Tensor]]]]:
    """How an image is covered by overlapping tiles.

    Args:
        height: of the image, not padded; likewise ``width``.
        width: see ``height``.
        side: of the tiles in pixels, rounded up to the contract's multiple.
        overlap: as for :func:`run_tiled`.
        contract: what the network needs.
        even: make the tiles as small as their number allows, so that less is computed twice.

    Returns:
        Height and width of a tile, and the :func:`blending_windows` of the rows and of the columns. They cover the
        image padded to the contract, so the last ones may go beyond it.

    Raises:
        ConfigError: ``overlap`` is negative or more than half the tile.
    """
    step = contract.multiple_of
    side = padded_size(side, step, contract.minimum)
    if overlap is None:
        overlap = min(contract.overlap, side // 2)
    if not 0 <= overlap <= side // 2:
        raise ConfigError(f'overlap={overlap} with tile={side}: the overlap must lie between 0 and half the tile')
    overlap = min(-(-overlap // step) * step, side - step)
    # A tile of a network that sees a neighbourhood only is exact away from its border. Others differ everywhere by
    # a little, and it takes a broad ramp to hide it.
    trim = overlap // 2 if contract.tiling == 'supported' else overlap // 4
    sizes = [padded_size(size, step, contract.minimum) for size in (height, width)]
    tiles = [min(side, size) for size in sizes]
    if even:
        tiles = [even_tile(size, length, overlap, step) for size, length in zip(sizes, tiles, strict=True)]
    return tiles, [
        blending_windows(size, tile_starts(size, length, min(overlap, length - 1), step), length, trim)
        for size, length in zip(sizes, tiles, strict=True)
    ]


def run_tiled(
    network: Callable[..., Tensor],
    images: tuple[Tensor, ...],
    contract: InferenceContract,
    tile: int | str | None = None,
    overlap: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Run a network on images of any size.

    Images are padded to the contract. In tiles, neighbours overlap and are blended with weights that sum to one.
    Where the contract says ``'supported'``, half of the overlap is dropped at each inner border, so the result
    equals that of the whole image if the overlap covers the receptive field. Where it says ``'shared'``, all tiles
    use what a first pass measured on a stand-in for the whole image. There and where it says ``'approximate'``, a
    quarter is dropped and a smooth ramp lies between.

    Args:
        network: takes the images, (B, C, H, W) each, and returns one tensor of the same height and width.
        images: inputs of equal height and width, on any device.
        contract: what the network needs.
        tile: side of the tiles in pixels, ``'auto'``, or None for the whole image.
        overlap: pixels that neighbours share at least, rounded up to the contract's multiple; None takes the
            contract's own, or half the tile where that is less.
        progress: called with (tiles done, tiles in all).

    Returns:
        (B, C', H, W) on the device of the network's output; in tiles float32. Memory besides it is that of one tile.

    Raises:
        ConfigError: ``tile`` or ``overlap`` cannot work.
        DataError: the images differ in size.
    """
    height, width = images[0].shape[-2:]
    if any(image.shape[-2:] != images[0].shape[-2:] for image in images):
        shapes = ', '.join(f'{image.shape[-1]}x{image.shape[-2]}' for image in images)
        raise DataError(f'the inputs differ in size ({shapes}); register and cut them to one size')
    side = choose_tile(tile, height, width, contract, images[0].device.type)
    with pooling_shared(network) if contract.tiling == 'shared' else contextlib.nullcontext():
        recorded = _measure(network, images, contract, side)
        if side is not None:
            return _run_tiles(network, images, contract, side, overlap, tile == 'auto', progress, recorded)
        padded = (pad_to_multiple(image, contract.multiple_of, contract.minimum) for image in images)
        with replaying(recorded) if recorded else contextlib.nullcontext():
            whole = crop_to(network(*padded), height, width)
    if progress:
        progress(1, 1)
    return whole


def _measure(network: Callable[..., Tensor], images: tuple[Tensor, ...], contract: InferenceContract,
             side: int | None) -> Recorded | None:
    """What the network's layers measure on the whole image; None where each pass shall measure what it sees."""
    if contract.tiling != 'shared':
        return None
    if side is None and (contract.measured == 'sample' or max(images[0].shape[-2:]) <= contract.measured_side):
        return None
    recorded = Recorded()
    with recording(recorded):
        network(*(stand_in(image, contract) for image in images))
    return recorded


def _run_tiles(network: Callable[..., Tensor], images: tuple[Tensor, ...], contract: InferenceContract, side: int,
               overlap: int | None, even: bool, progress: Progress | None, recorded: Recorded | None) -> Tensor:
    height, width = images[0].shape[-2:]
    tiles, grids = tile_grid(height, width, side, overlap, contract, even)
    output: Tensor | None = None
    done, total = 0, len(grids[0]) * len(grids[1])
    for top, rows in grids[0]:
        for left, columns in grids[1]:
            with replaying(recorded) if recorded else contextlib.nullcontext():
                result = network(*(_cut(image, top, left, tiles, contract) for image in images)).float()
            if output is None:
                output = result.new_zeros((*result.shape[:2], height, width))
            target = output[..., top:top + tiles[0], left:left + tiles[1]]
            weight = (rows[:, None] * columns)[:target.shape[-2], :target.shape[-1]].to(result)
            target.addcmul_(result[..., :target.shape[-2], :target.shape[-1]], weight)
            done += 1
            if progress:
                progress(done, total)
    assert output is not None
    return output


def _cut(image: Tensor, top: int, left: int, tiles: list[int], contract: InferenceContract) -> Tensor:
    """One tile; the padding beyond the image mirrors it as padding the whole would."""
    part = image[..., top:top + tiles[0], left:left + tiles[1]]
    if list(part.shape[-2:]) == tiles:
        return part
    return crop_to(pad_to_multiple(part, contract.multiple_of, max(tiles)), *tiles)
