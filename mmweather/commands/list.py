"""``mmweather list``: the models that the package ships."""

from __future__ import annotations

import argparse

HELP = 'list the models that the package ships'
EXAMPLE = """
mmweather list
mmweather list 'nitedr*'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('pattern', nargs='?', help="shell pattern of the name, quoted, e.g. 'nitedr*'")


def run(args: argparse.Namespace) -> int:
    """Print one line a model: name, method and status; 1 where no name matches."""
    from ..apis.model_index import list_models, load_index

    entries = load_index()
    names = list_models(args.pattern)
    if not names:
        print(f"no model matches '{args.pattern}'; {len(entries)} are there: mmweather list")
        return 1
    rows = [(name, entries[name].collection, entries[name].status) for name in names]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, collection, status in rows:
        print(f'{name:<{widths[0]}}  {collection:<{widths[1]}}  {status}')
    return 0
