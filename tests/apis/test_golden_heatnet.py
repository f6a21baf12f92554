"""HeatNet's golden vectors, where the golden folder is at hand."""

from __future__ import annotations

import pytest
from golden_rows import ABSENT, GOLDEN, assert_golden

from mmweather.apis.golden.heatnet import CHECKS

FOLDER = GOLDEN / 'heatnet'
# A training step takes half a minute: that of six critics is left to `mmweather golden`.
FILES = [pytest.param(name, marks=[pytest.mark.slow] if 'train_steps' in name else [])
         for name in sorted(CHECKS) if name != 'golden_train_steps_c6.npz']


@pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)
@pytest.mark.parametrize('file', FILES)
def test_heatnet(file):
    assert_golden('heatnet', file, CHECKS)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=ABSENT)
def test_every_golden_file_has_a_check():
    assert {path.name for path in FOLDER.glob('golden_*.npz')} == set(CHECKS)
