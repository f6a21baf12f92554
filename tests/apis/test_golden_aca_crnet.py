"""ACA-CRNet's golden vectors, where the golden folder is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmweather.apis.golden import check_folder
from mmweather.apis.golden.compare import GoldenFolder, compare

FOLDER = Path(__file__).parents[2] / '..' / 'shared' / 'golden' / 'aca_crnet'
FILES = sorted(path.name for path in FOLDER.glob('golden_*.npz'))
# Each runs the full network in float64 or trains it.
SLOW = ('golden_rice_', 'golden_train_')
PARAMETERS = [pytest.param(name, marks=pytest.mark.slow) if name.startswith(SLOW) else name for name in FILES]


@pytest.mark.skipif(not FILES, reason='no golden vectors beside the repository (../shared/golden)')
@pytest.mark.parametrize('file', PARAMETERS)
def test_aca_crnet(file):
    from mmweather.apis.golden.aca_crnet import CHECKS
    folder = GoldenFolder(FOLDER)
    reference = folder.arrays(file)
    rows = [compare(file, name, ours, reference[name], tolerance)
            for name, ours, tolerance in CHECKS[file](folder, reference)]
    assert {row.array for row in rows} == set(reference)
    assert not [row for row in rows if not row.ok]


def test_nan_in_a_golden_array_wants_nan(tmp_path):
    import numpy as np
    (tmp_path / 'aca_crnet').mkdir()
    nan = np.array([np.nan, 1.0])
    assert compare('f', 'a', nan, nan, None).ok
    assert not compare('f', 'a', np.array([np.inf, 1.0]), nan, None).ok
    assert not compare('f', 'a', np.array([np.nan, 1.1]), nan, None).ok
    assert not compare('f', 'a', np.array([-np.inf]), np.array([np.inf]), None).ok
    np.savez(tmp_path / 'aca_crnet' / 'golden_losses.npz', l1=np.float64(0.66864240), surprise=1.0)
    rows = {}
    for row in check_folder(tmp_path / 'aca_crnet'):
        rows[row.array] = row
        if row.array == 'l1':
            break
    assert rows['l1'].ok
