"""Sheets of pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from mmweather.utils.images import read_image, write_image

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/picture_sheet.py'


def run(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(TOOL), *map(str, words)], capture_output=True, text=True, timeout=120)


def test_rows_columns_and_what_is_left_over(tmp_path):
    files = [write_image(tmp_path / f'{grey}.png', np.full(size, grey, np.uint8))
             for grey, size in ((10, (4, 6, 3)), (90, (4, 6, 3)), (200, (8, 12, 3)))]
    assert run(tmp_path / 'sheet.png', *files, '--columns', 2).returncode == 0
    found = read_image(tmp_path / 'sheet.png')
    assert found.shape == (8, 12, 3)
    assert found[:4, :6].max() == 10 and found[:4, 6:].min() == 90
    assert np.ptp(found[4:, :6]) == 0 and found[4, 0, 0] == 200 and found[4:, 6:].min() == 255
    assert run(tmp_path / 'small.png', *files, '--width', 3).returncode == 0
    assert read_image(tmp_path / 'small.png').shape == (6, 3, 3)


def test_a_missing_picture_is_one_line(tmp_path):
    done = run(tmp_path / 'sheet.png', tmp_path / 'none.png')
    assert done.returncode == 2 and 'none.png' in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
