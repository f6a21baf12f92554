"""Words of messages."""

from __future__ import annotations

import pytest

from mmweather.utils.text import closest, cut, did_you_mean, nearest, one_line, plural, printable, reason, shorten


@pytest.mark.parametrize(('count', 'words', 'expected'), [
    (0, ('image', ), '0 images'), (1, ('image', ), '1 image'), (2, ('image', ), '2 images'),
    (3, ('box', ), '3 boxes'), (2, ('category', ), '2 categories'), (2, ('key', ), '2 keys'),
    (2, ('class', ), '2 classes'),
    (1, ('file is', 'files are'), '1 file is'), (3, ('file is', 'files are'), '3 files are'),
])
def test_a_noun_agrees_with_its_number(count, words, expected):
    assert plural(count, *words) == expected


def test_names_keep_their_order_and_sets_are_sorted():
    assert shorten(['c', 'a']) == 'c, a'
    assert shorten({'c', 'a'}) == 'a, c'
    assert shorten(range(7)) == '0, 1, 2, 3, 4 and 2 more'
    assert shorten((name for name in 'abc'), 1) == 'a and 2 more'
    assert shorten([]) == ''


def test_a_long_value_is_cut():
    assert cut('x' * 60) == 'x' * 60
    assert cut([1, 2, 3], 4) == '[1, ...'


def test_a_near_miss_is_suggested_whatever_its_case():
    assert nearest('resstore', ['restore', 'train']) == 'restore'
    assert nearest('RESTORE', ['Restore']) == 'Restore'
    assert nearest('x', ['restore']) is None
    assert did_you_mean('resstore', ['restore']) == "; did you mean 'restore'?"
    assert did_you_mean('x', ['restore'], '; check it') == '; check it'
    assert closest('model-a', ['model-b', 'model-c', 'other'], 3) == ['model-c', 'model-b']
    assert did_you_mean('model-a', ['model-b', 'other', 'model-c'], count=2) == (
        "; did you mean 'model-c' or 'model-b'?")


def test_text_cannot_steer_a_terminal():
    assert printable('Ünïcode 雨 \udcff\x00\n') == 'Ünïcode 雨 \\udcff\\x00\\n'
    assert one_line(' a\n\tb \x1b[2J') == 'a b \\x1b[2J'
    assert one_line(ValueError()) == 'ValueError'


def test_a_reason_is_what_the_system_says():
    assert reason(FileNotFoundError(2, 'No such file or directory', 'x.png')) == 'No such file or directory'
    assert reason(ValueError('two\nlines')) == 'two lines'
