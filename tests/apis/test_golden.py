"""Every golden vector, where the golden folder is at hand; and the checker itself, always."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden_rows import ABSENT, assert_golden, golden_files

from mmweather.apis.golden import check_folder, fill_array, fill_input
from mmweather.apis.golden.compare import GoldenFolder, compare
from mmweather.errors import DataError

FILLED = [-0.014736475, 0.098285317, -0.414011478, 0.387080699]
INPUT = [0.58603001, 0.12032604, 0.95298851]
FILES = golden_files('nitedr')


@pytest.mark.skipif(not FILES, reason=ABSENT)
@pytest.mark.parametrize('file', FILES)
def test_nitedr(file):
    from mmweather.apis.golden.nitedr import CHECKS
    assert_golden('nitedr', file, CHECKS)


def test_fill_is_the_frozen_stream():
    # Computed once with the golden folder's own script.
    np.testing.assert_allclose(fill_array('output.weight', (1, 1, 2, 2)).ravel(), FILLED, rtol=1e-7)
    assert fill_array('norm.num_batches_tracked', ()) == 1
    assert (fill_array('bn.running_var', (50, )) > 0.99).all()
    x = fill_input('nitedr/cleannet/64x64', (1, 3, 2, 2))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.ravel()[:3], INPUT, rtol=1e-7)


def write(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / 'golden_augment.npz', **arrays)
    return folder


def test_wrong_and_uncovered_arrays_fail(tmp_path):
    image = np.arange(72, dtype=np.float32).reshape(4, 6, 3)
    folder = write(tmp_path / 'nitedr', mode0=image, mode1=image, surprise=image,
                   **{f'mode{i}': np.rot90(image, i // 2) for i in (2, 4, 6)},
                   **{f'mode{i}': np.flipud(np.rot90(image, i // 2)) for i in (3, 5, 7)},
                   pad_to_9=np.pad(image, ((0, 5), (0, 3), (0, 0)), 'symmetric')[:9, :9])
    rows = {row.array: row for row in check_folder(folder)}
    assert rows['mode0'].ok and rows['mode7'].ok
    assert not rows['mode1'].ok
    assert not rows['surprise'].ok and rows['surprise'].note == 'not covered'


def test_shapes_nan_and_strings():
    one = np.ones((2, 2), np.float32)
    assert not compare('f', 'a', one[0], one, None).ok
    assert not compare('f', 'a', one * np.nan, one, None).ok
    assert not compare('f', 'a', one + 1e-3, one, None).ok
    assert compare('f', 'a', one + 1e-6, one, None).ok
    assert not compare('f', 'a', np.array(['x']), np.array(['y']), None).ok


def test_folder_without_vectors(tmp_path):
    with pytest.raises(DataError, match='no golden_'):
        GoldenFolder(tmp_path)


def test_array_files_cannot_run_code(tmp_path):
    folder = write(tmp_path / 'nitedr', mode0=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match='allow_pickle'):
        list(check_folder(folder))


def test_missing_layout_is_named(tmp_path):
    folder = GoldenFolder(write(tmp_path / 'nitedr', mode0=np.zeros(1)))
    with pytest.raises(DataError, match='layout_cleannet.json'):
        folder.layout('cleannet')
    (folder.path / 'layout_cleannet.json').write_text(json.dumps({'a.weight': [2, 2]}))
    assert folder.state('cleannet')['a.weight'].shape == (2, 2)


def test_nan_is_equal_to_nan_alone():
    wanted = np.array([1.0, np.nan])
    assert compare('f', 'a', wanted, wanted, None).ok
    assert not compare('f', 'a', np.array([1.1, np.nan]), wanted, None).ok
    assert not compare('f', 'a', np.array([np.nan, 1.0]), wanted, None).ok
    assert not compare('f', 'a', np.array([1.0, np.inf]), wanted, None).ok
    assert not compare('f', 'a', np.array([np.inf]), np.array([-np.inf]), None).ok
