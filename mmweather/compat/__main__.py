"""``python -m mmweather.compat SCRIPT [ARGUMENT ...]``: run a script with the fixes in place."""

from __future__ import annotations

import sys

from ..errors import one_line_errors
from . import apply
from .scripts import run_script

# Here, not in main: a process that multiprocessing spawns imports this module again and then needs the fixes too.
apply()


def main(arguments: list[str]) -> None:
    """Run the script named first with the arguments that follow."""
    if not arguments or arguments[0] in ('-h', '--help'):
        print('usage: python -m mmweather.compat SCRIPT [ARGUMENT ...]', file=sys.stdout if arguments else sys.stderr)
        raise SystemExit(0 if arguments else 2)
    with one_line_errors():
        run_script(arguments[0], arguments[1:])


if __name__ == '__main__':
    main(sys.argv[1:])
