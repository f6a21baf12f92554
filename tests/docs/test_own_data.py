"""The worked example of docs/own-data.md, in its order, in an empty folder; and its tables."""

from __future__ import annotations

import re

import pytest
from page_blocks import ROOT, blocks_of, run_block

PAGE = ROOT / 'docs' / 'own-data.md'
BLOCKS = blocks_of(PAGE)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('own_data')


@pytest.mark.slow
@pytest.mark.parametrize('block', BLOCKS, ids=lambda block: block.title.lower().replace(' ', '-'))
def test_the_page_does_what_it_says(block, folder, monkeypatch):
    pytest.importorskip('mmagic')
    monkeypatch.chdir(folder)
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    run_block(block)


def test_every_block_is_run():
    assert [block.verb for block in BLOCKS] == ['run'] * 4


def test_the_configs_to_inherit_from_are_there():
    named = re.findall(r'`(\w+/[\w.-]+\.py)` \|$', PAGE.read_text(encoding='utf-8'), flags=re.MULTILINE)
    assert len(named) == 6
    assert not [name for name in named if not (ROOT / 'configs' / name).is_file()]
