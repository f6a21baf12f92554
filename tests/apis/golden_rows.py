"""What every method's golden test asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmweather.apis.golden.compare import GoldenFolder, compare

GOLDEN = Path(__file__).parents[2] / '..' / 'shared' / 'golden'
ABSENT = 'no golden vectors beside the repository (../shared/golden)'


def golden_files(method: str) -> list[str]:
    """Names of the method's golden files; none where the folder is not at hand."""
    return sorted(path.name for path in (GOLDEN / method).glob('golden_*.npz'))


def assert_golden(method: str, file: str, checks: Mapping[str, Any]) -> None:
    """Every array of the file is covered by the checks and within its tolerance."""
    folder = GoldenFolder(GOLDEN / method)
    reference = folder.arrays(file)
    rows = [compare(file, name, ours, reference[name], tolerance)
            for name, ours, tolerance in checks[file](folder, reference)]
    assert {row.array for row in rows} == set(reference)
    assert not [row for row in rows if not row.ok]
