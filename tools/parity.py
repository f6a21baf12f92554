"""Compare our networks, losses and steps with golden vectors of the published code.

    python tools/parity.py                      # the committed vectors
    python tools/parity.py DIR [DIR ...]        # folders of one method each, or folders that hold several
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmweather.errors import DataError, one_line_errors

PARITY = Path(__file__).resolve().parents[1] / 'tests' / 'parity'
_LINE = '{:34} {:38} {:>18} {:>13} {:>13} {:>10} {}'
_HEADER = ('file', 'array', 'shape', 'max abs diff', 'max rel diff', 'tolerance', 'ok')


def folders_of(places: Sequence[Path]) -> list[Path]:
    """Folders with ``golden_*.npz``: the given ones, or those one level below.

    Raises:
        DataError: a place holds none.
    """
    found: list[Path] = []
    for place in places:
        inside = [place] if any(place.glob('golden_*.npz')) else sorted(
            {file.parent for file in place.glob('*/golden_*.npz')})
        if not inside:
            raise DataError(f"'{place}': no golden_*.npz here or one folder down; pass a folder of golden vectors")
        found += inside
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 0 if all rows are ok, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dirs', nargs='*', type=Path, metavar='DIR', default=[PARITY / 'vectors'],
                        help='folder of one method, or a folder that holds several')
    parser.add_argument('--failures', action='store_true', help='print failed rows only')
    args = parser.parse_args(argv)
    if not PARITY.is_dir():
        raise DataError(f"'{PARITY}': the checks are not in an installed package; run tools/parity.py of a clone")
    folders = folders_of(args.dirs)
    sys.path.insert(0, str(PARITY))
    from parity_compare import check_folder

    good = total = 0
    print(_LINE.format(*_HEADER))
    for folder in folders:
        for row in check_folder(folder):
            total += 1
            good += row.ok
            if row.ok and args.failures:
                continue
            shape = 'x'.join(map(str, row.shape)) or 'scalar'
            verdict = 'ok' if row.ok else f'FAILED {row.note}'.rstrip()
            print(_LINE.format(row.file, row.array, shape, f'{row.absolute:.3e}', f'{row.relative:.3e}',
                               f'{row.tolerance:.1e}', verdict), flush=True)
    print(f'{good} of {total} arrays ok')
    return 0 if good == total else 1


if __name__ == '__main__':
    with one_line_errors():
        sys.exit(main())
