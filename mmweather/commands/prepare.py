"""`mmweather prepare`: put a data set where the configs look for it."""

from __future__ import annotations

import argparse
import os
import sys

from ._pixels import add_pixel_argument, with_pixel_limit

HELP = 'draw the mini data sets, or put a downloaded set into place'
EXAMPLE = """examples:
  mmweather prepare mini data/mini
  mmweather prepare mini data/mini --seed 1 --train 48 --test 12 --only roadscene-rain
  mmweather prepare roadscene-rain ~/downloads/NiteDR/dataset data/roadscene_rain
  mmweather prepare rice ~/downloads/RICE1 data/rice1
  mmweather prepare rice ~/downloads/RICE2 data/rice2 --lists my_splits
  mmweather prepare sen12ms-cr ~/downloads/SEN12MSCR data/sen12mscr
  mmweather prepare voc-fog VOCdevkit/VOC2012 data/my_fog --val-fraction 0.1
  mmweather prepare voc-fog coco data/my_fog --annotations coco/boxes.json --depth coco/depth
  mmweather prepare sand-dust ~/downloads/SSDIE-Net/datasets data/sand_dust
  mmweather prepare dusty ~/downloads/dusty-images-dataset data/dusty --sand-dust data/sand_dust --long-side 384"""


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
    sentinel = sets.add_parser(
        'sen12ms-cr', help='link or copy the complete triplets of a downloaded SEN12MS-CR into place')
    sentinel.add_argument('source', metavar='SRC', help='folder with the unpacked archives, in any layout in use')
    sentinel.add_argument('dir', metavar='DIR', help='new or empty folder, usually data/sen12mscr')
    sentinel.add_argument('--copy', action='store_true', help='copy the files (default: link them)')
    sentinel.add_argument('--splits', default='published', metavar='FILE.json',
                          help='lists of scenes, {"train": ["ROIs1158_spring_1", ...], "val": [...], "test": [...]} '
                          '(default: the published lists)')
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
    dusty = sets.add_parser('dusty', help='divide a folder of dusty photos into training and test ones without '
                            'look-alikes across')
    dusty.add_argument('source', metavar='SRC', help='folder of photos')
    dusty.add_argument('dir', metavar='DIR', help='new or empty folder, usually data/dusty')
    dusty.add_argument('--sand-dust', metavar='DIR', help='sand-dust set whose division holds for its own photos and '
                       'their look-alikes (default: none)')
    dusty.add_argument('--long-side', type=_positive, metavar='N',
                       help='reduce larger photos to so many pixels (default: keep the files)')
    dusty.add_argument('--test-every', type=_positive, default=20, metavar='N',
                       help='by sorted name, the first of each N photos is for testing (default: 20)')
    dusty.add_argument('--copy', action='store_true', help='copy kept files (default: link them)')
    _add_voc_fog(sets.add_parser('voc-fog', help='lay fog on a PASCAL VOC or COCO set, in the layout of VOC-FOG'))
    for parser in sets.choices.values():
        add_pixel_argument(parser)


def _add_voc_fog(fog: argparse.ArgumentParser) -> None:
    fog.add_argument('source', metavar='SRC', help='folder with images and XML or COCO annotations, or a COCO file')
    fog.add_argument('dir', metavar='DIR', help='new or empty folder, or that of an interrupted run')
    fog.add_argument('--images', metavar='DIR', help='folder of the images (default: JPEGImages or images in SRC)')
    fog.add_argument('--annotations', metavar='PATH',
                     help='folder of XML files, or a COCO file (default: Annotations or annotations in SRC)')
    fog.add_argument('--depth', metavar='DIR', help='depth maps with the stems of the images, .npy in metres or 16-bit '
                     'PNG (default: none; the middle of the picture is far)')
    fog.add_argument('--depth-scale', type=float, metavar='METRES', help='of one level (default: 1, 16-bit PNG 1/256)')
    fog.add_argument('--beta', type=float, nargs=2, metavar=('LOW', 'HIGH'),
                     help='extinction (default: 0.07 0.12; with depth 0.015 0.05 per metre)')
    fog.add_argument('--airlight', type=float, nargs=2, metavar=('LOW', 'HIGH'),
                     help='brightness of the fog (default: 0.5 0.5; with depth 0.6 0.9)')
    fog.add_argument('--seed', type=int, default=0, help='of beta and airlight (default: 0)')
    fog.add_argument('--quality', type=int, default=95, help='of foggy JPEG files (default: 95)')
    fog.add_argument('--test-every', type=_positive, default=5, metavar='N',
                     help='by sorted name, the first of each N images is for testing (default: 5)')
    fog.add_argument('--test-list', metavar='FILE', help='names of the test images, one stem a line')
    fog.add_argument('--val-fraction', type=float, default=0.0, metavar='F',
                     help='also write train/ImageSets/train.txt and val.txt, the latter with so many (default: 0)')
    fog.add_argument('--workers', type=_positive, help='processes (default: all cores)')


def _voc_fog(args: argparse.Namespace) -> int:
    from ..datasets.tools.fog_set import FogSettings, make_fog_set
    from ..datasets.tools.fog_sources import find_sources, read_list
    from ..utils.text import printable, shorten
    settings = FogSettings(args.beta and tuple(args.beta), args.airlight and tuple(args.airlight), args.seed,
                           args.depth, args.depth_scale, args.quality)
    sources, alone = find_sources(args.source, args.images, args.annotations,
                                  report=lambda line: print(printable(line), file=sys.stderr))
    if alone:
        print(printable(f"left out, because an image or its annotation is missing: {len(alone)} "
                        f"({shorten(alone)})"))
    done = make_fog_set(sources, args.dir, settings, args.test_every, args.test_list and read_list(args.test_list),
                        args.val_fraction, args.workers or os.cpu_count() or 1)
    if done['dropped']:
        print(f"left out of training, because a test image has the same pixels: {', '.join(done['dropped'])}")
    print(f"{args.dir}: {done['train']} training and {done['test']} test pairs")
    return 0


@with_pixel_limit
def run(args: argparse.Namespace) -> int:
    """Do it."""
    if args.dataset == 'mini':
        from ..mini.write import make_mini
        root = make_mini(args.dir, seed=args.seed, train=args.train, test=args.test, size=tuple(args.size),
                         only=args.only, workers=args.workers or os.cpu_count() or 1)
        print(f'written: {root}')
        return 0
    if args.dataset == 'sen12ms-cr':
        from ..datasets.tools.sen12mscr_install import INCOMPLETE_FILE, install_sen12mscr
        counts = install_sen12mscr(args.source, args.dir, copy=args.copy, splits=args.splits)
        print(f"{args.dir}: {counts['train']} training, {counts['val']} validation and {counts['test']} test triplets")
        if counts['incomplete']:
            print(f"left out: {counts['incomplete']} incomplete patches, listed in {INCOMPLETE_FILE}")
        if counts['unlisted']:
            print(f"left out: {counts['unlisted']} patches of scenes that are in no list")
        return 0
    if args.dataset == 'rice':
        from ..datasets.rice import install_rice
        counts = install_rice(args.source, args.dir, copy=args.copy, lists=args.lists, test_every=args.test_every,
                              val_every=args.val_every, seed=args.split_seed)
        print(f"{args.dir}: {counts['train']} training, {counts['val']} validation and {counts['test']} test images "
              f'({args.dir}/splits)')
        return 0
    if args.dataset == 'voc-fog':
        return _voc_fog(args)
    if args.dataset == 'sand-dust':
        from ..datasets.sand_dust import install_sand_dust
        counts = install_sand_dust(args.source, args.dir, copy=args.copy)
        print(f"{args.dir}: {counts['clean']} clean images with depth, {counts['dust']} dusty photos, "
              f"{counts['test']} test photos")
        return 0
    if args.dataset == 'dusty':
        from ..datasets.dusty import install_dusty
        counts = install_dusty(args.source, args.dir, args.sand_dust, args.long_side, args.test_every, args.copy)
        print(f"{args.dir}: {counts['train']} training and {counts['test']} test photos, {counts['left out']} left "
              'out because they look like training and test photos')
        return 0
    from ..datasets.roadscene_rain import install_roadscene_rain
    counts = install_roadscene_rain(args.source, args.dir, copy=args.copy)
    print(f"{args.dir}: {counts['train']} training and {counts['test']} test triples")
    return 0
