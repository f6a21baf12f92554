"""Every golden vector of SSDIE-Net, where the golden folder is at hand."""

from __future__ import annotations

import pytest
from golden_rows import ABSENT, assert_golden, golden_files

FILES = golden_files('ssdie_net')
SLOW = ('golden_pretrain_step.npz', 'golden_ptc_gen.npz', 'golden_train_step.npz', 'golden_train_step_msff.npz')


@pytest.mark.skipif(not FILES, reason=ABSENT)
@pytest.mark.parametrize('file', [pytest.param(f, marks=[pytest.mark.slow] if f in SLOW else []) for f in FILES])
def test_ssdie_net(file):
    from mmweather.apis.golden.ssdie_net import CHECKS
    assert_golden('ssdie_net', file, CHECKS)
