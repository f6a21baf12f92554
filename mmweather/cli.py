"""The command ``mmweather``.

A subcommand is a module of :mod:`mmweather.commands`; only the one that is asked for is imported.  A mistake of the
user ends in one line on stderr and status 2, a signal in status 128 + its number; see
:func:`~mmweather.errors.one_line_errors`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

from .errors import ConfigError, missing_toolbox, one_line_errors
from .utils.text import did_you_mean
from .version import __version__

# Subcommand -> module of mmweather.commands, in the order in which the help shows them.
COMMANDS: dict[str, str] = {
    'list': 'list',
    'info': 'info',
    'prepare': 'prepare',
    'check': 'check',
    'restore': 'restore',
    'detect': 'detect',
    'segment': 'segment',
    'synth': 'synth',
    'robustness': 'robustness',
    'web': 'web',
    'export': 'export',
    'run': 'run',
    'convert': 'convert',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments after ``mmweather``; those of the process if None.

    Returns:
        The exit status: 0 for success, or what the subcommand returns.

    Raises:
        SystemExit: status 2 for a mistake of the user, 128 + number for a signal, 70 for an internal error, 0 after
            ``--help`` and ``--version``.
    """
    with one_line_errors():
        return _dispatch(list(sys.argv[1:] if argv is None else argv))


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ('-h', '--help', 'help'):
        print(_overview())
        return 0
    if words[0] in ('-V', '--version'):
        print(f'mmweather {__version__}')
        return 0
    name, *rest = words
    if name not in COMMANDS:
        raise ConfigError(f"unknown command '{name}'{did_you_mean(name, COMMANDS, cutoff=0.5)} (mmweather --help lists "
                          'the commands)')
    try:
        command = _load(name)
        return command.run(_parser(name, command).parse_args(rest))
    except ModuleNotFoundError as error:
        if (error.name or '').split('.')[0] == 'mmweather':
            raise
        raise missing_toolbox(f"'mmweather {name}'", error) from error


def _load(name: str) -> ModuleType:
    return importlib.import_module(f'mmweather.commands.{COMMANDS[name]}')


def _parser(name: str, command: ModuleType) -> argparse.ArgumentParser:
    example = '\n'.join(f'  {line.strip()}' for line in command.EXAMPLE.strip().splitlines())
    parser = argparse.ArgumentParser(
        prog=f'mmweather {name}',
        description=command.HELP,
        epilog=f'example:\n{example}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    return parser


def _overview() -> str:
    """The text of ``mmweather --help``; command modules are light, so their help lines are read from them."""
    width = max(map(len, COMMANDS))
    lines = ['usage: mmweather COMMAND ...', '', 'commands:']
    lines += [f'  {name:<{width}}  {_load(name).HELP}' for name in COMMANDS if _is_there(name)]
    lines += ['', '`mmweather COMMAND --help` shows the arguments and an example; `mmweather --version` the version.']
    return '\n'.join(lines)


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(f'mmweather.commands.{COMMANDS[name]}') is not None


if __name__ == '__main__':
    raise SystemExit(main())
