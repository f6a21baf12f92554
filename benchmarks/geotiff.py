"""Peak memory and time of restoring a whole scene, and whether the result is what it should be.

    python benchmarks/geotiff.py --size 4096 --threads 1
    python benchmarks/geotiff.py --size 10980 --plan

The scene is drawn: 13 bands of smooth fields with clouds, uint16, nodata along one border, and radar in dB that misses
a border. The network is a small ACA-CRNet with seeded random weights, so the pixels of the result mean nothing; the
windows, files and memory are those of any network of its size. The peak is the resident set of the process, libraries
included; on Linux without that of drawing.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

from mmweather.apis.scenes.geotiff import plan_geotiff, restore_geotiff
from mmweather.errors import one_line_errors
from mmweather.models.aca_crnet.restorer import CloudRemover

STRIP = 512
STATUS = Path('/proc/self/status')
#: Columns without data.
BORDER = 300


def profile(size: int, count: int, dtype: str, **more: object) -> dict:
    """Of a scene in UTM 32 north with pixels of 10 m."""
    transform = rasterio.transform.from_origin(399960, 5300040, 10, 10)
    return dict(driver='GTiff', width=size, height=size, count=count, dtype=dtype, crs='EPSG:32632',
                transform=transform, tiled=True, blockxsize=512, blockysize=512, compress='deflate', **more)


def fields(top: int, rows: int, size: int, bands: int, seed: int) -> np.ndarray:
    """Waves and some noise, (bands, rows, size) in about [0, 1]; strips fit together."""
    random = np.random.default_rng((seed, top))
    y, x = np.arange(top, top + rows, dtype=np.float32)[:, None], np.arange(size, dtype=np.float32)
    ground = 0.5 + 0.25 * np.sin(x / 37 + y / 91) + 0.25 * np.sin(x / 211 - y / 173)
    tones = np.linspace(0.1, 0.4, bands, dtype=np.float32)[:, None, None]
    cloud = np.clip(np.sin(x / 300) * np.sin(y / 400) * 2 - 0.6, 0, 1)
    return tones * ground + 0.7 * cloud + random.integers(0, 16, (bands, rows, size), np.uint8) * np.float32(1e-3)


def draw(folder: Path, size: int, seed: int, sparse: bool) -> tuple[Path, Path]:
    """Write scene and radar; with ``sparse`` the heads of the files alone."""
    scene, radar = folder / 'scene.tif', folder / 'radar.tif'
    more = dict(sparse_ok=True) if sparse else {}
    with rasterio.open(scene, 'w', **profile(size, 13, 'uint16', nodata=0, **more)) as optical, \
            rasterio.open(radar, 'w', **profile(size, 2, 'float32', **more)) as sar:
        for top in range(0, 0 if sparse else size, STRIP):
            rows = min(STRIP, size - top)
            window = Window(0, top, size, rows)
            numbers = np.rint(fields(top, rows, size, 13, seed) * 10000).clip(1, 12000).astype(np.uint16)
            numbers[:, :, :min(BORDER, size // 4)] = 0
            optical.write(numbers, window=window)
            decibel = np.rint(fields(top, rows, size, 2, seed + 1) * 200) / 10 - 24
            decibel[:, :, -min(BORDER, size // 4):] = np.nan
            sar.write(decibel.astype(np.float32), window=window)
    return scene, radar


def check(scene: Path, result: Path) -> list[str]:
    """What is wrong with the result; nothing is best."""
    wrong = []
    with rasterio.open(scene) as before, rasterio.open(result) as after:
        for name in ('crs', 'transform', 'shape', 'count', 'dtypes', 'nodata', 'descriptions'):
            if getattr(before, name) != getattr(after, name):
                wrong.append(name)
        if after.tags(ns='IMAGE_STRUCTURE').get('LAYOUT') != 'COG' or not after.profile['tiled']:
            wrong.append('layout')
        if max(before.shape) > 512 and not all(after.overviews(i) for i in after.indexes):
            wrong.append('overviews')
        for top in range(0, before.height, STRIP):
            window = Window(0, top, before.width, min(STRIP, before.height - top))
            if not np.array_equal(before.read(window=window) == 0, after.read(window=window) == 0):
                wrong.append(f'nodata at row {top}')
    return wrong


def peak() -> float:
    """GiB of the resident set at most, since the last :func:`forget_peak`."""
    if STATUS.exists():
        return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if 'VmHWM' in line) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / 2**30


def forget_peak() -> None:
    """Begin to measure the peak anew, where the system can."""
    if STATUS.exists():
        STATUS.with_name('clear_refs').write_text('5')


def main() -> None:
    """Measure once and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=2048, help='side of the scene in pixels (2048)')
    parser.add_argument('--width', type=int, default=16, help='channels of the network (16)')
    parser.add_argument('--blocks', type=int, default=4, help='residual blocks (4)')
    parser.add_argument('--down', type=int, choices=(2, 4), default=4, help='how much smaller attention sees it (4)')
    parser.add_argument('--tile', type=int, help='side of the windows (auto)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help="of PyTorch (PyTorch's own choice)")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', help='where the files go, about 6 GB for 10980 (a temporary folder)')
    parser.add_argument('--plan', action='store_true', help='print the plan only')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    network = dict(type='mmweather.ACACRNet', in_channels=15, out_channels=13, width=args.width,
                   num_blocks=args.blocks, down_factor=args.down)
    model = CloudRemover(network, value_range='sentinel').to(args.device)
    with one_line_errors(), tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        begin = time.perf_counter()
        scene, radar = draw(folder, args.size, args.seed, args.plan)
        drawn, before = time.perf_counter() - begin, peak()
        forget_peak()
        result = folder / 'result.tif'
        options = dict(sar=radar, tile=args.tile or 'auto')
        print(str(plan_geotiff(model, scene, result, **options)).replace(f'{folder}/', ''), flush=True)
        if args.plan:
            return
        begin, used = time.perf_counter(), time.process_time()
        restore_geotiff(model, scene, result, show_progress=True, **options)
        seconds, used, highest = time.perf_counter() - begin, time.process_time() - used, peak()
        wrong = check(scene, result)
        print(f'\n| {args.size}x{args.size}x13 + radar, width {args.width}, {args.blocks} blocks | |\n|---|---|\n'
              f'| peak of drawing, {drawn:.0f} s | {before:.2f} GiB |\n| peak of restoring | {highest:.2f} GiB |\n'
              f'| wall | {seconds:.0f} s |\n| cpu | {used:.0f} s |\n| threads | {torch.get_num_threads()} |\n'
              f'| scene, result | {scene.stat().st_size / 1e6:.0f} MB, {result.stat().st_size / 1e6:.0f} MB |\n'
              f"| result | {', '.join(wrong) or 'valid: cloud-optimised, overviews, same grid, bands and nodata'} |")
        if wrong:
            raise SystemExit(1)


if __name__ == '__main__':
    main()
