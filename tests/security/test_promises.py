"""Every promise of docs/security.md names a test that exists, and every attack file stands in the table."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'security.md'


def named() -> set[str]:
    return set(re.findall(r'`(tests/[\w/]+\.py)`', PAGE.read_text(encoding='utf-8')))


def test_each_named_file_holds_tests():
    assert named()
    for name in named():
        assert re.search(r'^def test_', (ROOT / name).read_text(encoding='utf-8'), re.MULTILINE), name


def test_each_attack_is_in_the_table():
    attacks = {path.relative_to(ROOT).as_posix() for folder in ('security', 'reliability')
               for path in (ROOT / 'tests' / folder).glob('test_*.py')}
    assert attacks - named() == {'tests/security/test_promises.py'}
