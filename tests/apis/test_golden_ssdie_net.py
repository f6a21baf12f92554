"""Every golden vector of SSDIE-Net, where the golden folder is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmweather.apis.golden.compare import GoldenFolder, compare

GOLDEN = Path(__file__).parents[2] / '..' / 'shared' / 'golden' / 'ssdie_net'
FILES = sorted(path.name for path in GOLDEN.glob('golden_*.npz'))
SLOW = ('golden_pretrain_step.npz', 'golden_ptc_gen.npz', 'golden_train_step.npz', 'golden_train_step_msff.npz')


@pytest.mark.skipif(not FILES, reason='no golden vectors beside the repository (../shared/golden)')
@pytest.mark.parametrize('file', [pytest.param(f, marks=[pytest.mark.slow] if f in SLOW else []) for f in FILES])
def test_ssdie_net(file):
    from mmweather.apis.golden.ssdie_net import CHECKS
    folder = GoldenFolder(GOLDEN)
    reference = folder.arrays(file)
    rows = [compare(file, name, ours, reference[name], tolerance)
            for name, ours, tolerance in CHECKS[file](folder, reference)]
    assert {row.array for row in rows} == set(reference)
    assert not [row for row in rows if not row.ok]


def test_nan_is_equal_to_nan_alone():
    wanted = np.array([1.0, np.nan])
    assert compare('f', 'a', wanted, wanted, None).ok
    assert not compare('f', 'a', np.array([1.1, np.nan]), wanted, None).ok
    assert not compare('f', 'a', np.array([np.nan, 1.0]), wanted, None).ok
    assert not compare('f', 'a', np.array([1.0, np.inf]), wanted, None).ok
    assert not compare('f', 'a', np.array([np.inf]), np.array([-np.inf]), None).ok
