"""The comparison of arrays, thinning, recorded selections and the table of `tools/parity.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import parity_nitedr
import pytest
import torch
from parity_choices import FILE, near_ties, recorded_choices
from parity_compare import COMMITTED, METHODS, WHOLE, GoldenFolder, Relative, check_folder, compare, thinned
from parity_fill import fill_array, fill_input
from thin import thin_folder

from mmweather.errors import DataError
from mmweather.models.nitedr.layers import TopKChannelAttention

ROOT = Path(__file__).parents[2]
FILLED = [-0.014736475, 0.098285317, -0.414011478, 0.387080699]
INPUT = [0.58603001, 0.12032604, 0.95298851]

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


def run_tool(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-W', 'ignore', 'tools/parity.py', *map(str, words)], cwd=ROOT, text=True,
                          capture_output=True, timeout=280)


def test_the_table_of_two_folders_and_its_status(tmp_path):
    image = np.arange(72, dtype=np.float32).reshape(4, 6, 3)
    bad = write(tmp_path / 'nitedr', mode0=image, surprise=image)
    done = run_tool(bad, '--failures')
    assert done.returncode == 1 and 'FAILED not covered' in done.stdout, done.stderr
    assert 'mode1 ' in done.stdout and 'FAILED not in the file' in done.stdout
    (tmp_path / 'several').mkdir()
    for method in ('nitedr', 'togethernet'):
        (tmp_path / 'several' / method).mkdir()
    for file in ('nitedr/golden_augment.npz', 'nitedr/golden_colour.npz', 'togethernet/golden_pipeline.npz'):
        (tmp_path / 'several' / file).write_bytes((COMMITTED / file).read_bytes())
    done = run_tool(tmp_path / 'several')
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == '36 of 36 arrays ok', done.stdout + done.stderr


def test_a_folder_without_vectors_is_one_line(tmp_path):
    done = run_tool(tmp_path)
    assert done.returncode == 2 and done.stderr.startswith('error: ') and done.stderr.count('\n') == 1


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


def test_relative_tolerances_hold_each_entry_to_its_own_size():
    wanted = np.array([1e3, 1e-3])
    assert compare('f', 'a', wanted + [0, 1e-3], wanted, 1e-4).ok
    assert not compare('f', 'a', wanted + [0, 1e-3], wanted, Relative(1e-4)).ok
    assert compare('f', 'a', wanted * (1 + 5e-5), wanted, Relative(1e-4)).ok
    assert compare('f', 'a', wanted + [0, 1e-3], wanted, Relative(1e-4, floor=10)).ok
    small = wanted / 1e6
    assert compare('f', 'a', small + 1e-8, small, 1e-4).ok and not compare('f', 'a', small + 1e-6, small,
                                                                          Relative(1e-4, None)).ok


# Thinned arrays ----------------------------------------------------------------------------------------------


@pytest.fixture
def thin(tmp_path):
    """A full array, its folder and its thinned folder."""
    full = np.random.default_rng(0).standard_normal((3, 40, 60)).astype(np.float32)
    write(tmp_path / 'nitedr', mode0=full, mode1=full[0, :5, :5], mode2=np.arange(9000).reshape(3, 3000))
    thin_folder(tmp_path / 'nitedr', tmp_path / 'thin')
    return full, GoldenFolder(tmp_path / 'thin').arrays('golden_augment.npz')


def test_a_thinned_array_accepts_the_full_one_and_small_ones_and_integers_stay(thin):
    full, arrays = thin
    assert compare('f', 'mode0', full, arrays['mode0'], 1e-7).ok
    assert np.array_equal(arrays['mode1'], full[0, :5, :5]) and np.array_equal(arrays['mode2'].ravel(), range(9000))
    known = ~arrays['mode0'].mask
    assert 3000 > known.sum() > 1000 and np.abs(full).argmax() in np.flatnonzero(known)
    # Every row, column and channel is in the sample.
    assert all(known.any(axis).all() for axis in ((1, 2), (0, 2), (0, 1)))


@pytest.mark.parametrize('spoil', [lambda x: x + 1e-3, lambda x: x[:, ::-1], lambda x: x.transpose(0, 2, 1),
                                   lambda x: x * 1.001, lambda x: np.where(np.abs(x) > 3.5, 0, x)])
def test_a_thinned_array_refuses_others(thin, spoil):
    full, arrays = thin
    assert not compare('f', 'mode0', spoil(full), arrays['mode0'], 2e-5).ok


def test_the_means_see_what_the_sample_does_not(thin):
    full, arrays = thin
    assert not compare('f', 'mode0', np.where(arrays['mode0'].mask, full + 1e-3, full), arrays['mode0'], 2e-5).ok


def test_an_unknown_value_never_counts_as_equal(thin):
    full, arrays = thin
    assert not compare('f', 'mode0', np.where(arrays['mode0'].mask, full, np.nan), arrays['mode0'], 2e-5).ok
    assert thinned(full, 3000)['@thin'][4:].tolist() == [3, 40, 60]


def test_the_committed_vectors_are_small():
    files = [path for path in COMMITTED.rglob('*') if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    assert {path.parent.name for path in files} == set(METHODS)


@pytest.mark.skipif(not WHOLE.is_dir(), reason='the whole golden vectors are not beside the repository')
def test_thinning_again_gives_the_same_bytes(tmp_path):
    for method in METHODS:
        thin_folder(WHOLE / method, tmp_path / method)
        made = {path.name: path.read_bytes() for path in (tmp_path / method).iterdir()}
        assert made == {path.name: path.read_bytes() for path in (COMMITTED / method).iterdir()}, method


# Near-ties ---------------------------------------------------------------------------------------------------


def test_recorded_choices_turn_a_near_tie_and_nothing_else():
    torch.manual_seed(0)
    attention = TopKChannelAttention(8, 1, False).double().eval()
    seen = []
    x = torch.randn(2, 8, 6, 6, dtype=torch.double)
    near = [('', 1, 0, 3, 5, 2)]

    def scores(choices, gap):
        # Scores given by hand: row 3 of the second image has columns 2 and 5 that differ by `gap`.
        values = torch.linspace(0, 1, 8, dtype=torch.double).expand(2, 1, 8, 8).clone()
        values[1, 0, 3, 5] = values[1, 0, 3, 2] - gap
        from mmweather.models.nitedr import layers
        attention.combine = lambda *_: seen.append(
            layers.mixed_topk_softmax(values, torch.full((4, ), .2), attention.counts)) or torch.zeros(2, 8, 8).double()
        with recorded_choices(attention, 2, choices):
            attention(x)
        return seen[-1][1, 0, 3]

    kept = scores(near, 1e-7)
    assert kept[5] >= kept[2]
    assert scores([], 1e-7)[2] > scores([], 1e-7)[5]
    # A clear difference stays as it is.
    assert torch.equal(scores(near, 0.1), scores([], 0.1))


@pytest.mark.slow
def test_the_record_is_that_of_float64():
    record = json.loads(FILE.read_text())
    folder = GoldenFolder(COMMITTED / 'nitedr')
    for name in ('tiny/b2_32x40', 'tiny/b1_24x32', 'grad/in'):
        stem, x = parity_nitedr.choice_inputs()[name]
        assert [list(choice) for choice in near_ties(parity_nitedr.cleannet(folder, stem), x)] == record[name], name


def test_the_other_choice_is_seen_in_the_published_pipeline():
    folder, name = GoldenFolder(COMMITTED / 'nitedr'), 'pipe/vis'
    turned = [[*choice[:4], choice[5], choice[4]] for choice in parity_nitedr.CHOICES[name]]
    _, x = parity_nitedr.choice_inputs()[name]
    network = parity_nitedr.cleannet(folder)
    wanted = folder.arrays('golden_pipeline_53x71.npz')['clean_u8']
    for choices, equal in ((parity_nitedr.CHOICES[name], True), (turned, False)):
        with torch.no_grad(), recorded_choices(network, 1, choices):
            found = (network(x)[0, :, :53, :71].clamp(0, 1).permute(1, 2, 0) * 255).round().numpy()
        assert (np.abs(found - wanted.astype(float)).max() <= 1) == equal
