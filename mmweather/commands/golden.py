"""`mmweather golden DIR`: compare with golden vectors."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'compare every network, loss and step with golden vectors of the published code'
EXAMPLE = 'mmweather golden golden/nitedr'

_HEADER = ('file', 'array', 'shape', 'max abs diff', 'max rel diff', 'tolerance', 'ok')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('dir', type=Path, help='golden folder of one method, or the folder that holds several')
    parser.add_argument('--failures', action='store_true', help='print failed rows only')


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 where all rows are ok, else 1."""
    from mmweather.apis.golden import check_folder
    from mmweather.errors import DataError

    if not args.dir.is_dir():
        raise DataError(f'{args.dir}: no such folder; give a golden folder')
    folders = [args.dir] if any(args.dir.glob('golden_*.npz')) else sorted(
        {file.parent for file in args.dir.glob('*/golden_*.npz')})
    if not folders:
        raise DataError(f'{args.dir}: no golden_*.npz here or one folder down; give a golden folder')
    good = total = 0
    print('{:34} {:38} {:>18} {:>13} {:>13} {:>10} {}'.format(*_HEADER))
    for folder in folders:
        for row in check_folder(folder):
            total += 1
            good += row.ok
            if args.failures and row.ok:
                continue
            shape = 'x'.join(map(str, row.shape)) or 'scalar'
            verdict = 'ok' if row.ok else f'FAILED {row.note}'.rstrip()
            print(f'{row.file:34} {row.array:38} {shape:>18} {row.absolute:13.3e} {row.relative:13.3e} '
                  f'{row.tolerance:10.1e} {verdict}', flush=True)
    print(f'{good} of {total} arrays ok')
    return 0 if good == total else 1
