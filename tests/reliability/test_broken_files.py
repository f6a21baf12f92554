"""A sample of every kind of broken file ends in one line, or the command does its work."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/security'))
pytest.importorskip('mmagic')
pytest.importorskip('rasterio')
pytest.importorskip('av')
import broken_kinds  # noqa: E402

TOOL = runpy.run_path(str(ROOT / 'tools/analysis_tools/broken_files.py'))
# Checkpoints: test_forged_checkpoints.py has them all.  Detection builds its network for every picture.
SAMPLE = {'pictures': 9, 'names': 7, 'file kinds': 3, 'GeoTIFF': 6, 'videos': 4, 'COCO': 6, 'VOC': 5, 'lists': 5,
          'configs': 7}


def result(status, err='', out=''):
    return dict(status=status, err=err, out=out)


def test_how_a_command_ended_is_judged():
    judged = [(result(0), 'done'), (result(2, 'error: x\n'), 'one line'), (result(1, 'failed: x\n'), 'one line'),
              (result(2), 'traceback'), (result(2, 'error: x\nerror: y\n'), 'traceback'), (result(3), 'traceback'),
              (result(1, 'Traceback (most'), 'traceback'), (result(70, 'internal error: x'), 'traceback'),
              (result(-14), 'hang'), (result(-24), 'hang'), (result(-11), 'killed'),
              (result(2, 'error: out of memory'), 'killed'), (result(1, 'failed: \x1b]0;t'), 'terminal')]
    assert [TOOL['end_of'](one) for one, _ in judged] == [end for _, end in judged]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not hasattr(os, 'fork'), reason='each command is forked')
def test_a_sample_of_broken_files_ends_well(tmp_path):
    assert {*SAMPLE, 'checkpoints'} == set(broken_kinds.GROUPS)
    runs = TOOL['run_all'](tmp_path, list(SAMPLE), 40, SAMPLE, leave_out=('detect', ))
    bad = {f'{case.group}, {case.kind}, {name}': (result['status'], result['err'][-300:])
           for case, name, result in runs if TOOL['end_of'](result) in TOOL['BAD']}
    assert not bad
    ends = {TOOL['end_of'](result) for _, _, result in runs}
    assert ends == {'one line', 'done'} and len(runs) > 60
