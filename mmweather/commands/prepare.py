"""`mmweather prepare`: put a data set where the configs look for it."""

from __future__ import annotations

import argparse
import os

HELP = 'draw the mini data sets, or put a downloaded set into place'
EXAMPLE = """examples:
  mmweather prepare mini data/mini
  mmweather prepare mini data/mini --seed 1 --train 48 --test 12 --only roadscene-rain
  mmweather prepare roadscene-rain ~/downloads/NiteDR/dataset data/roadscene_rain
  mmweather prepare sand-dust ~/downloads/SSDIE-Net/datasets data/sand_dust"""


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be at least 1, got {value}')
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand a data set."""
    sets = parser.add_subparsers(dest='dataset', metavar='DATASET', required=True)
    mini = sets.add_parser(
        'mini', help='draw small sets in the layouts of the real ones, from a seed, without a download')
    mini.add_argument('dir', metavar='DIR', help='new or empty folder, or one of an interrupted run')
    mini.add_argument('--seed', type=int, default=0, help='of all pictures (default: 0)')
    mini.add_argument('--train', type=_positive, default=24, help='training pictures (default: 24)')
    mini.add_argument('--test', type=_positive, default=8, help='test pictures (default: 8)')
    mini.add_argument('--size', type=_positive, nargs=2, default=(160, 224), metavar=('HEIGHT', 'WIDTH'),
                      help='sizes vary about this one (default: 160 224)')
    mini.add_argument('--only', action='append', default=[], metavar='SET',
                      help='only this set, as in roadscene-rain (may be repeated; default: all)')
    mini.add_argument('--workers', type=_positive, help='processes (default: all cores)')
    for name, title, folder in (('roadscene-rain', 'RoadScene-rain', 'data/roadscene_rain'),
                                ('sand-dust', 'sand-dust set of SSDIE-Net', 'data/sand_dust')):
        real = sets.add_parser(name, help=f'check a downloaded {title} and link or copy it into place')
        real.add_argument('source', metavar='SRC', help='folder that holds train and test')
        real.add_argument('dir', metavar='DIR', help=f'new or empty folder, usually {folder}')
        real.add_argument('--copy', action='store_true', help='copy the files (default: link them)')


def run(args: argparse.Namespace) -> int:
    """Do it."""
    if args.dataset == 'mini':
        from ..synthesis.mini import make_mini
        root = make_mini(args.dir, seed=args.seed, train=args.train, test=args.test, size=tuple(args.size),
                         only=args.only, workers=args.workers or os.cpu_count() or 1)
        print(f'written: {root}')
        return 0
    if args.dataset == 'sand-dust':
        from ..datasets.sand_dust import install_sand_dust
        counts = install_sand_dust(args.source, args.dir, copy=args.copy)
        print(f"{args.dir}: {counts['clean']} clean images with depth, {counts['dust']} dusty photos, "
              f"{counts['test']} test photos")
        return 0
    from ..datasets.roadscene_rain import install_roadscene_rain
    counts = install_roadscene_rain(args.source, args.dir, copy=args.copy)
    print(f"{args.dir}: {counts['train']} training and {counts['test']} test triples")
    return 0
