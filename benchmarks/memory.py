"""Peak memory and time of restoring one large image.

    python benchmarks/memory.py --size 3840x2160 --tile auto --max-tiles 2
    python benchmarks/memory.py --size 3840x2160 --tile auto --small
    python benchmarks/memory.py --size 512x512 --tile none

The image is random, the weights are seeded. The tiles of an image have one size and the output is allocated before
the first one, so the peak after two tiles is that of the whole; the time of the whole is then extrapolated. The peak
is that of the process on a CPU (resident set, libraries included) and that of PyTorch's allocator on a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from _common import peak_memory

from mmweather.apis.restore import restore_image
from mmweather.errors import one_line_errors
from mmweather.models.nitedr.cleannet import CleanNet
from mmweather.utils.arrays import tensor_to_uint8

SMALL = dict(dim=16, num_blocks=(1, 1, 1, 1))


class _EnoughTiles(Exception):
    pass


def size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT``."""
    width, _, height = text.lower().partition('x')
    return int(width), int(height)


def tile_option(text: str) -> int | str | None:
    """A number, ``auto`` or ``none``."""
    return {'auto': 'auto', 'none': None}[text] if text in ('auto', 'none') else int(text)


def main() -> None:
    """Measure once and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=size, default=(3840, 2160), metavar='WxH', help='of the image (3840x2160)')
    parser.add_argument('--tile', type=tile_option, default='auto', help='side of the tiles, auto or none (auto)')
    parser.add_argument('--overlap', type=int, help="of the tiles (the network's own)")
    parser.add_argument('--max-tiles', type=int, default=0, help='stop after this many tiles (0: all)')
    parser.add_argument('--small', action='store_true', help='CleanNet of width 16 with one block a level')
    parser.add_argument('--dtype', choices=('bf16', 'fp16'), help='autocast (none)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help="of PyTorch (PyTorch's own choice)")
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    network = CleanNet(**(SMALL if args.small else {})).eval().to(args.device)
    image = np.random.default_rng(args.seed).integers(0, 256, (args.size[1], args.size[0], 3), np.uint8)
    on_gpu = torch.device(args.device).type == 'cuda'
    progress = [0, 0]
    start = time.perf_counter()

    def report(done: int, total: int) -> None:
        progress[:] = done, total
        print(f'\r{done} of {total} tiles, {time.perf_counter() - start:.1f} s', end='', file=sys.stderr, flush=True)
        if done == args.max_tiles < total:
            raise _EnoughTiles

    with one_line_errors():
        try:
            restore_image(network, image, args.tile, args.overlap, args.dtype, progress=report)
        except _EnoughTiles:
            # The last step, which this run does not reach: the result as 8-bit array.
            tensor_to_uint8(torch.zeros(3, *image.shape[:2])).numpy()
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    done, total = progress
    peak = peak_memory()
    if on_gpu:
        peak = torch.cuda.max_memory_allocated()
    print(file=sys.stderr)
    estimate = '' if done == total else f', whole about {seconds / done * total:.0f} s'
    print(f'{args.size[0]}x{args.size[1]} tile={args.tile} small={args.small} dtype={args.dtype} {args.device} '
          f'threads={torch.get_num_threads()}: peak {peak / 2**30:.2f} GiB, {done} of {total} tiles, '
          f'{seconds:.1f} s{estimate}')


if __name__ == '__main__':
    main()
