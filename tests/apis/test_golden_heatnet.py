"""HeatNet's golden vectors, where the golden folder is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmweather.apis.golden.compare import GoldenFolder, compare
from mmweather.apis.golden.heatnet import CHECKS

FOLDER = Path(__file__).parents[2] / '..' / 'shared' / 'golden' / 'heatnet'
# The training steps take minutes on one core: `mmweather golden` runs them.
QUICK = sorted(name for name in CHECKS if 'train_steps' not in name)


@pytest.mark.skipif(not FOLDER.is_dir(), reason='no golden vectors beside the repository (../shared/golden)')
@pytest.mark.parametrize('file', QUICK)
def test_heatnet(file):
    folder = GoldenFolder(FOLDER)
    reference = folder.arrays(file)
    rows = [compare(file, name, ours, reference[name], tolerance)
            for name, ours, tolerance in CHECKS[file](folder, reference)]
    assert {row.array for row in rows} == set(reference)
    assert not [row for row in rows if not row.ok]


@pytest.mark.skipif(not FOLDER.is_dir(), reason='no golden vectors beside the repository (../shared/golden)')
def test_every_golden_file_has_a_check():
    assert {path.name for path in FOLDER.glob('golden_*.npz')} == set(CHECKS)
