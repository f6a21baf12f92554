"""Blocks of code in a page, with what the comment above each says about running it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmweather import cli
from mmweather.apis.hub import load_index

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r'(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$',
                    re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        title: the heading that it stands under, and its number there.
        language: as written behind the fence.
        code: the text.
        verb: ``'run'``, ``'serve'``, ``'not run'``, or ``''`` without a comment.
        options: ``needs`` (aliases), ``makes`` (paths or patterns), ``writes`` (a file), or the reason not to run it.
    """

    title: str
    language: str
    code: str
    verb: str
    options: dict[str, str]

    def missing_weights(self) -> str:
        """The first model that the block needs and whose weights do not come with the package, or ''."""
        shipped = {entry.alias for entry in load_index(ROOT).values() if entry.weights_file}
        return next((name for name in self.options.get('needs', '').split() if name not in shipped), '')


def blocks_of(page: Path) -> list[Block]:
    """The blocks of bash and Python of a page, in their order; other blocks are only to be read."""
    text, found = page.read_text(encoding='utf-8'), []
    for match in _BLOCK.finditer(text):
        if match['language'] not in ('bash', 'python'):
            continue
        headings = re.findall(r'^#+ (.*)$', text[:match.start()], flags=re.MULTILINE)
        verb, *words = re.split(r'[;:] ', match['mark'] or '')
        options = {'reason': words[0]} if verb == 'not run' and words else dict(word.split(' ', 1) for word in words)
        under = sum(block.title.startswith(headings[-1]) for block in found)
        found.append(Block(f'{headings[-1]} {under + 1}', match['language'], match['code'], verb, options))
    return found


def commands_of(code: str) -> list[list[str]]:
    """The commands of a block of bash that uses no more of bash than words, quotes, comments and continued lines."""
    lines = re.sub(r'\\\n\s*', ' ', code).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run_command(words: list[str]) -> None:
    """Run one command as the page's reader would, our own ones within this process: loading PyTorch takes long.

    Raises:
        AssertionError: its status is not 0.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(os.chdir, os.getcwd())
        if words[0] == 'mmweather':
            try:
                status = cli.main(words[1:])
            except SystemExit as stop:
                status = stop.code
        elif words[:2] in (['python', 'tools/train.py'], ['python', 'tools/test.py']):
            from mmweather.engine import runner

            task = Path(words[1]).stem
            parser = getattr(runner, f'{task}_parser')()
            getattr(runner, task)(parser.parse_args(words[2:]))
            status = 0
        else:
            status = subprocess.run(words, timeout=180).returncode
    assert not status, f'{shlex.join(words)}: status {status}'


def run_block(block: Block) -> None:
    """Run a block in the current folder, and look for what it promises."""
    if block.verb == 'not run':
        pytest.skip(block.options['reason'])
    missing = block.missing_weights()
    if missing:
        pytest.skip(f"the weights of '{missing}' are not in the package")
    if 'writes' in block.options:
        # `mmweather::` leads to the installed package, which may be another checkout.
        Path(block.options['writes']).write_text(block.code.replace("'mmweather::", f"'{ROOT}/configs/"))
    elif block.language == 'python':
        exec(compile(block.code, block.title, 'exec'), {})
    else:
        for words in commands_of(block.code):
            run_command(words)
    for promised in block.options.get('makes', '').split():
        assert list(Path().glob(promised)), f'{promised} was not made'


def environment() -> dict[str, str]:
    """For processes that are to find this checkout."""
    return {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': '1'}


def python(*words: str) -> list[str]:
    """A command that runs this interpreter."""
    return [sys.executable, '-W', 'ignore', *words]
