"""`mmweather check`: look at every file of a data set."""

from __future__ import annotations

import argparse

from ._pixels import add_pixel_argument, with_pixel_limit

HELP = 'find unreadable, unpaired, mismatched and leaked images'
EXAMPLE = """examples:
  mmweather check data/roadscene_rain
  mmweather check data/roadscene_rain --quarantine data/roadscene_rain/quarantine.json
  mmweather check configs/nitedr/cleannet_roadscene-rain.py"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument('target', metavar='CONFIG|FOLDER',
                        help='a config (its training, validation and test data) or a folder')
    parser.add_argument('--quarantine', metavar='PATH',
                        help='write the files to skip as JSON, for the argument quarantine of the data set')
    add_pixel_argument(parser)
    parser.add_argument('--workers', type=int, help='threads (default: all cores)')


@with_pixel_limit
def run(args: argparse.Namespace) -> int:
    """Print the table; 0 without findings, else 1."""
    from ..datasets.tools.check import check
    report = check(args.target, workers=args.workers)
    print(report.table())
    if args.quarantine:
        print(f'written: {report.write_quarantine(args.quarantine)}')
    return 1 if report.findings else 0
