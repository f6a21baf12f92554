"""The reading of pages: blocks with their marks, commands; a failing command or a broken promise is reported."""

from __future__ import annotations

import pytest
from page_blocks import Block, blocks_of, commands_of, run_block, run_command

PAGE = """# Title

## First

<!-- run; needs a b; makes out/*.png x.json -->
```bash
mmweather list 'a*' \\
  --weights   # said
```

```text
not read
```

## Second

<!-- not run: needs the network -->
```bash
pip install x
```

```python
x = 1
```
"""


def test_blocks_carry_title_language_and_mark(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(PAGE)
    first, second, third = blocks_of(page)
    assert (first.title, first.language, first.verb) == ('First 1', 'bash', 'run')
    assert first.options == {'needs': 'a b', 'makes': 'out/*.png x.json'}
    assert commands_of(first.code) == [['mmweather', 'list', 'a*', '--weights']]
    assert (second.title, second.verb, second.options) == ('Second 1', 'not run', {'reason': 'needs the network'})
    assert (third.title, third.language, third.verb) == ('Second 2', 'python', '')
    assert first.missing_weights() == 'a'


@pytest.mark.parametrize('words', [['mmweather', 'list', 'nothing*'], ['mmweather', 'restor'], ['false']], ids=' '.join)
def test_a_command_that_fails_is_told(words, capsys):
    with pytest.raises(AssertionError, match='status'):
        run_command(words)


def test_a_promise_that_is_not_kept_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_block(Block('a', 'bash', 'mkdir here\n', 'run', {'makes': 'here'}))
    with pytest.raises(AssertionError, match='there was not made'):
        run_block(Block('a', 'python', 'x = 1\n', 'run', {'makes': 'here there'}))


def test_a_block_that_is_not_run_or_lacks_weights_is_skipped_with_the_reason():
    with pytest.raises(pytest.skip.Exception, match='needs the network'):
        run_block(Block('a', 'bash', 'false\n', 'not run', {'reason': 'needs the network'}))
    with pytest.raises(pytest.skip.Exception, match="the weights of 'nobody' are not in the package"):
        run_block(Block('a', 'bash', 'false\n', 'run', {'needs': 'nobody'}))
