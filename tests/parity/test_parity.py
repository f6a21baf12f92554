"""Every committed golden vector; `tools/parity.py DIR` checks any other folder of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from parity_compare import COMMITTED, METHODS, GoldenFolder, check_file

# More than five seconds of one core.
SLOW = (
    'aca_crnet/golden_rice_', 'aca_crnet/golden_train_steps', 'heatnet/golden_train_steps', 'nitedr/golden_lr',
    'ssdie_net/golden_pretrain_step', 'ssdie_net/golden_ptc_gen', 'ssdie_net/golden_train_step',
)
# What two threads add up in another order, and a selection, a label or a ReLU could then decide otherwise.
ORDER_SENSITIVE = (
    'aca_crnet/golden_ac_attention', 'aca_crnet/golden_sen12_48', 'heatnet/golden_pspnet_late_eval',
    'nitedr/golden_cleannet', 'nitedr/golden_pipeline', 'nitedr/golden_train_tiny', 'ssdie_net/golden_msff',
    'togethernet/golden_loss', 'togethernet/golden_outputs', 'togethernet/golden_postproc',
)


def cases(root: Path) -> list[object]:
    found = []
    for method in METHODS:
        for file in sorted(path.name for path in (root / method).glob('golden_*.npz')):
            name = f'{method}/{file}'
            marks = [pytest.mark.slow] if name.startswith(SLOW) else []
            for threads in (1, 2) if name.startswith(ORDER_SENSITIVE) else (1, ):
                found.append(pytest.param(method, file, threads, marks=marks, id=f'{name[:-4]}-{threads}'))
    return found


@pytest.fixture
def set_threads() -> Iterator[object]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def assert_parity(root: Path, method: str, file: str) -> None:
    rows = list(check_file(GoldenFolder(root / method), method, file))
    assert rows and not [row for row in rows if not row.ok]


@pytest.mark.parametrize('method, file, threads', cases(COMMITTED))
def test_committed_vectors(method, file, threads, set_threads):
    set_threads(threads)
    assert_parity(COMMITTED, method, file)


def test_every_method_has_vectors_of_every_check():
    from parity_compare import checks_of
    for method in METHODS:
        missing = set(checks_of(method)) - set(GoldenFolder(COMMITTED / method).files())
        assert missing == ({'golden_sen12mscr_real.npz'} if method == 'aca_crnet' else set())
