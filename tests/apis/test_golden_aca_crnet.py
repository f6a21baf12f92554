"""ACA-CRNet's golden vectors, where the golden folder is at hand."""

from __future__ import annotations

import numpy as np
import pytest
from golden_rows import ABSENT, assert_golden, golden_files

from mmweather.apis.golden import check_folder

FILES = golden_files('aca_crnet')
# Each runs the full network in float64 or trains it.
SLOW = ('golden_rice_', 'golden_train_')
PARAMETERS = [pytest.param(name, marks=pytest.mark.slow) if name.startswith(SLOW) else name for name in FILES]


@pytest.mark.skipif(not FILES, reason=ABSENT)
@pytest.mark.parametrize('file', PARAMETERS)
def test_aca_crnet(file):
    from mmweather.apis.golden.aca_crnet import CHECKS
    assert_golden('aca_crnet', file, CHECKS)


def test_an_array_is_checked_by_its_own_row(tmp_path):
    (tmp_path / 'aca_crnet').mkdir()
    np.savez(tmp_path / 'aca_crnet' / 'golden_losses.npz', l1=np.float64(0.66864240), surprise=1.0)
    rows = {}
    for row in check_folder(tmp_path / 'aca_crnet'):
        rows[row.array] = row
        if row.array == 'l1':
            break
    assert rows['l1'].ok
