"""`mmweather prepare`: put a data set where the configs look for it."""

from __future__ import annotations

import argparse
import os

HELP = 'draw the mini data sets, or put a downloaded set into place'
EXAMPLE = """examples:
  mmweather prepare mini data/mini
  mmweather prepare mini data/mini --seed 1 --train 48 --test 12 --only roadscene-rain
  mmweather prepare roadscene-rain ~/downloads/NiteDR/dataset data/roadscene_rain
  mmweather prepare rice ~/downloads/RICE1 data/rice1
  mmweather prepare rice ~/downloads/RICE2 data/rice2 --lists my_splits"""


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
    real = sets.add_parser(
        'roadscene-rain', help='check a downloaded RoadScene-rain and link or copy it into place')
    real.add_argument('source', metavar='SRC', help='folder that holds train and test')
    real.add_argument('dir', metavar='DIR', help='new or empty folder, usually data/roadscene_rain')
    real.add_argument('--copy', action='store_true', help='copy the files (default: link them)')
    rice = sets.add_parser('rice', help='check a downloaded RICE1 or RICE2, link or copy it into place, and split it')
    rice.add_argument('source', metavar='SRC', help='folder that holds cloud and label')
    rice.add_argument('dir', metavar='DIR', help='new or empty folder, usually data/rice1 or data/rice2')
    rice.add_argument('--copy', action='store_true', help='copy the files (default: link them)')
    rice.add_argument('--lists', metavar='DIR', help='folder with train.txt, test.txt and perhaps val.txt to split by')
    rice.add_argument('--test-every', type=_positive, default=5, metavar='N',
                      help='one image out of so many is for testing (default: 5)')
    rice.add_argument('--val-every', type=_positive, default=8, metavar='N',
                      help='one of the rest out of so many is for validation (default: 8)')
    rice.add_argument('--split-seed', type=int, metavar='N', help='shuffle before dividing (default: sorted order)')


def run(args: argparse.Namespace) -> int:
    """Do it."""
    if args.dataset == 'mini':
        from ..synthesis.mini import make_mini
        root = make_mini(args.dir, seed=args.seed, train=args.train, test=args.test, size=tuple(args.size),
                         only=args.only, workers=args.workers or os.cpu_count() or 1)
        print(f'written: {root}')
        return 0
    if args.dataset == 'rice':
        from ..datasets.rice import install_rice
        counts = install_rice(args.source, args.dir, copy=args.copy, lists=args.lists, test_every=args.test_every,
                              val_every=args.val_every, seed=args.split_seed)
        print(f"{args.dir}: {counts['train']} training, {counts['val']} validation and {counts['test']} test images "
              f'({args.dir}/splits)')
        return 0
    from ..datasets.roadscene_rain import install_roadscene_rain
    counts = install_roadscene_rain(args.source, args.dir, copy=args.copy)
    print(f"{args.dir}: {counts['train']} training and {counts['test']} test triples")
    return 0
