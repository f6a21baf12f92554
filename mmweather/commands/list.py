"""``mmweather list``: the models that the package ships."""

from __future__ import annotations

import argparse

HELP = 'list the models that the package ships'
EXAMPLE = """
mmweather list
mmweather list 'nitedr*'
mmweather list --weights
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('pattern', nargs='?', help="shell pattern of the name or alias, quoted, e.g. 'nitedr*'")
    parser.add_argument('--weights', action='store_true', help='only models whose weights come with the package')


def run(args: argparse.Namespace) -> int:
    """Print one line a model: name, method, status, alias and where its weights are; 1 where no name matches."""
    from ..apis.hub import list_models, load_index

    entries = load_index()
    names = [name for name in list_models(args.pattern) if entries[name].weights_file or not args.weights]
    if not names:
        what = f"no model matches '{args.pattern}'" if args.pattern else 'no model'
        print(f"{what}{' and has weights in the package' if args.weights else ''}; {len(entries)} are there: "
              'mmweather list')
        return 1
    rows = []
    for name in names:
        entry = entries[name]
        weights = 'weights' if entry.weights_file else 'weights to download' if '://' in (entry.weights or '') else ''
        rows.append((name, entry.collection, entry.status, entry.alias or '', weights))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for *fields, weights in rows:
        line = '  '.join(f'{field:<{width}}' for field, width in zip(fields, widths, strict=True))
        print(f'{line}  {weights}'.rstrip())
        real_photos = entries[fields[0]].real_photos
        if real_photos and args.weights:
            print(f'    on real photos: {real_photos}')
    return 0
