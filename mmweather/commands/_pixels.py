"""The option ``--max-pixels`` of the commands that read pictures."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

from ..utils.pixels import MAX_PIXELS, limit_pixels, parse_pixels, pixel_limit


def add_pixel_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-pixels``."""
    parser.add_argument('--max-pixels', type=_pixels, metavar='N|none', default=argparse.SUPPRESS,
                        help='refuse images of more pixels than this (MMWEATHER_MAX_PIXELS, else '
                             f'{MAX_PIXELS / 1e6:g} million); GeoTIFF scenes are exempt')


def _pixels(text: str) -> int | None:
    try:
        return parse_pixels(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def with_pixel_limit(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Make ``run`` of a command apply ``--max-pixels``."""
    @functools.wraps(run)
    def limited(args: argparse.Namespace) -> int:
        if not hasattr(args, 'max_pixels'):
            pixel_limit()  # a mistake in the environment stops here, not at each picture
            return run(args)
        with limit_pixels(args.max_pixels):
            return run(args)

    return limited
