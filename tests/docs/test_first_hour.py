"""A new user's first hour: the blocks of docs/get-started.md, in their order, in an empty folder."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import urllib.request

import pytest
from page_blocks import ROOT, Block, blocks_of, environment, python, run_block

PAGE = ROOT / 'docs' / 'get-started.md'
BLOCKS = blocks_of(PAGE)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('first_hour')


def serve(block: Block) -> None:
    """Start the page's server, fetch the page that it names, end it as Ctrl-C does."""
    missing = block.missing_weights()
    if missing:
        pytest.skip(f"the weights of '{missing}' are not in the package")
    pytest.importorskip('gradio')
    program, *words = shlex.split(block.code)
    assert program == 'mmweather'
    # The page's own port may be taken here.
    process = subprocess.Popen(python('-m', 'mmweather.cli', *words, '--port', '0'), env=environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = ''
        for line in process.stdout:
            said += line
            if address := re.search(r'http://127\.0\.0\.1:\d+', line):
                break
        assert address, said
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address.group(), timeout=120) as answer:
            assert b'mmweather' in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize('block', BLOCKS, ids=lambda block: block.title.lower().replace(' ', '-'))
def test_the_page_does_what_it_says(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if block.verb == 'serve':
        serve(block)
    else:
        run_block(block)


def test_every_block_says_whether_it_is_run():
    assert not [block.title for block in BLOCKS if block.verb not in ('run', 'serve', 'not run')]
    assert not [block.title for block in BLOCKS if block.verb == 'not run' and not block.options.get('reason')]


def test_a_block_that_uses_a_model_needs_its_weights():
    for block in BLOCKS:
        if block.verb in ('run', 'serve'):
            used = re.findall(r"--model (\S+)|export (\S+)|info (\S+)|Inferencer\('(\S+)'\)", block.code)
            names = {name for groups in used for name in groups if name}
            assert names <= set(block.options.get('needs', '').split()), block.title


def test_the_hour_has_every_step_of_the_promise():
    words = {words[1] for block in BLOCKS if block.language == 'bash' and block.verb in ('run', 'serve')
             for line in block.code.splitlines() if len(words := line.split()) > 1 and words[0] == 'mmweather'}
    assert {'list', 'info', 'prepare', 'restore', 'detect', 'segment', 'synth', 'export', 'web'} <= words
