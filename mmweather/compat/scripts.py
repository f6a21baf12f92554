"""Run the toolboxes' own scripts with the fixes in place."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError, MissingToolboxError

TOOLBOXES = {
    'mmdet': "pip install 'mmweather[detect]'",
    'mmseg': "pip install 'mmweather[segment]'",
    'mmagic': "pip install 'mmweather[restore]'",
}


def tools_folder(toolbox: str) -> Path:
    """The folder of the toolbox's own tools: in its wheel, or in its repository if it is installed from there.

    Raises:
        MissingToolboxError: the toolbox is not installed.
        DataError: it is installed without its tools.
    """
    spec = importlib.util.find_spec(toolbox)
    if spec is None or spec.origin is None:
        raise MissingToolboxError(f"'{toolbox}' is not installed: {TOOLBOXES.get(toolbox, f'pip install {toolbox}')}")
    package = Path(spec.origin).parent
    for folder in (package / '.mim' / 'tools', package.parent / 'tools'):
        if folder.is_dir():
            return folder
    raise DataError(f'{package}: its folder tools is missing; install the wheel of {toolbox} again')


def find_tool(toolbox: str, tool: str) -> Path:
    """The script of a tool, as in ``find_tool('mmdet', 'test')`` or ``('mmdet', 'analysis_tools/get_flops')``.

    Raises:
        MissingToolboxError: the toolbox is not installed.
        DataError: it has no such tool; the message lists those it has.
    """
    folder = tools_folder(toolbox)
    script = folder / f'{tool.removesuffix(".py")}.py'
    if not script.is_file():
        known = ', '.join(sorted(file.relative_to(folder).with_suffix('').as_posix() for file in folder.rglob('*.py')))
        raise DataError(f"{toolbox} has no tool '{tool}'; it has: {known}")
    return script


def run_script(script: str | os.PathLike[str], arguments: Sequence[str]) -> None:
    """Run a Python script as ``__main__``, with the fixes applied and mmweather's names known to the registries.

    Args:
        script: the file.
        arguments: what it finds in ``sys.argv[1:]``.

    Raises:
        DataError: there is no such file.
    """
    path = Path(script)
    if not path.is_file():
        raise DataError(f'{path}: no such script; check the path')
    import mmweather.registry  # noqa: F401  applies the fixes too
    with _as_main(path, arguments):
        runpy.run_path(str(path), run_name='__main__')
    if 'torch.distributed' in sys.modules:
        from .cpu_dist import leave_group
        leave_group()


@contextlib.contextmanager
def _as_main(script: Path, arguments: Sequence[str]) -> Iterator[None]:
    """Let ``sys.argv`` and ``sys.path`` be as if ``script`` had been started by itself."""
    argv, path = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent.resolve()))
    try:
        yield
    finally:
        sys.argv = argv
        sys.path[:] = path
