"""Every image of a sample moves by one draw; modes and padding as in the published loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmweather.datasets.transforms.loading import LoadImages
from mmweather.datasets.transforms.paired import PairedCrop, PairedDihedral, PairedPad, dihedral, pad_to
from mmweather.errors import ConfigError, DataError
from mmweather.registry import TRANSFORMS
from mmweather.utils.images import write_image

GOLDEN = Path(__file__).parents[1] / 'parity' / 'vectors' / 'nitedr' / 'golden_augment.npz'
KEYS = ('img', 'gt', 'ir')


def sample(height: int, width: int) -> dict:
    base = np.arange(height * width).reshape(height, width)
    return {key: np.dstack([base, base, base]) + 10000 * number for number, key in enumerate(KEYS)}


def test_dihedral_and_padding_match_the_published_loader():
    golden = np.load(GOLDEN)
    array = np.arange(72, dtype=np.float32).reshape(4, 6, 3)
    for mode in range(8):
        np.testing.assert_array_equal(dihedral(array, mode), golden[f'mode{mode}'])
    np.testing.assert_array_equal(pad_to(array, 9, 9), golden['pad_to_9'])


def test_dihedral_by_hand():
    array = np.array([[1, 2, 3], [4, 5, 6]])
    want = [
        [[1, 2, 3], [4, 5, 6]], [[4, 5, 6], [1, 2, 3]], [[3, 6], [2, 5], [1, 4]], [[1, 4], [2, 5], [3, 6]],
        [[6, 5, 4], [3, 2, 1]], [[3, 2, 1], [6, 5, 4]], [[4, 1], [5, 2], [6, 3]], [[6, 3], [5, 2], [4, 1]],
    ]
    for mode in range(8):
        assert dihedral(array, mode).tolist() == want[mode]
    with pytest.raises(ValueError, match=r'0\.\.7'):
        dihedral(array, 8)


def test_padding_by_hand_down_to_one_pixel():
    assert pad_to(np.array([[1, 2]]), 3, 7).tolist() == [[1, 2, 2, 1, 1, 2, 2]] * 3
    assert pad_to(np.full((1, 1, 3), 9, np.uint8), 64, 64).shape == (64, 64, 3)
    large = np.zeros((70, 65, 3))
    assert pad_to(large, 64, 64) is large
    assert pad_to(np.zeros((70, 10, 3)), 64, 64).shape == (70, 64, 3)


def test_pad_crop_and_turn_move_all_images_together():
    np.random.seed(0)
    windows, modes = set(), set()
    for _ in range(300):
        results = sample(20, 33)
        for step in (PairedPad(KEYS, 24), PairedCrop(KEYS, (24, 16)), PairedDihedral(KEYS)):
            results = step(results)
        for number, key in enumerate(KEYS):
            np.testing.assert_array_equal(results[key] - 10000 * number, results['img'])
        top, left, height, width = results['crop_window']
        want = dihedral(pad_to(sample(20, 33)['img'], 24, 24)[top:top + height, left:left + width],
                        results['dihedral_mode'])
        np.testing.assert_array_equal(results['img'], want)
        windows.add((top, left))
        modes.add(results['dihedral_mode'])
    # Both ends of the range are reached, and every mode.
    assert windows == {(0, left) for left in range(18)} and modes == set(range(8))


def test_centre_crop():
    results = PairedCrop(KEYS, 8, random=False)(sample(11, 20))
    assert results['crop_window'] == (1, 6, 8, 8) and results['gt'][0, 0, 0] == 10000 + 26


def test_wrong_use_is_told():
    with pytest.raises(DataError, match='a.png.*20x33.*64x64.*PairedPad'):
        PairedCrop(KEYS, 64)({**sample(33, 20), 'img_path': 'a.png'})
    uneven = sample(20, 20)
    uneven['ir'] = uneven['ir'][:10]
    for step in (PairedPad(KEYS), PairedCrop(KEYS, 4), PairedDihedral(KEYS)):
        with pytest.raises(DataError, match='ir 20x10'):
            step(dict(uneven))
    with pytest.raises(ConfigError, match="no 'ir'"):
        PairedDihedral(KEYS)({'img': np.zeros((4, 4)), 'gt': np.zeros((4, 4))})
    for size in (0, -3, (4, ), (4, 5, 6), 'big', (2.5, 3)):
        with pytest.raises(ConfigError, match='size'):
            PairedCrop(KEYS, size)


def test_load_checks_sizes_and_names_both_files(tmp_path):
    rng = np.random.default_rng(0)
    paths = {}
    for key, shape in zip(KEYS, ((20, 30, 3), (20, 30, 3), (20, 31)), strict=True):
        paths[f'{key}_path'] = str(write_image(tmp_path / f'{key}.png', rng.integers(0, 256, shape, dtype=np.uint8)))
    with pytest.raises(DataError) as caught:
        LoadImages(KEYS)(dict(paths))
    for part in ('img.png', 'ir.png', '30x20', '31x20', 'register and crop', 'quarantine'):
        assert part in str(caught.value)
    assert LoadImages(KEYS, same_size=False)(dict(paths))['ir'].shape == (20, 31, 3)
    loaded = LoadImages(('img', 'gt'), modes={'gt': 'grey3'})(dict(paths))
    assert loaded['ori_shape'] == (20, 30)
    assert np.ptp(loaded['gt'], axis=2).max() == 0 and np.ptp(loaded['img'], axis=2).max() > 0
    with pytest.raises(ConfigError, match="'clean'"):
        LoadImages(('img', 'clean'))(dict(paths))
    with pytest.raises(ConfigError, match='modes'):
        LoadImages(('img', ), modes={'ir': 'rgb'})
    with pytest.raises(ConfigError, match='grey3'):
        LoadImages(('img', ), modes={'img': 'gray'})


def test_pack():
    pytest.importorskip('mmagic.structures', exc_type=(ImportError, AttributeError))
    rng = np.random.default_rng(0)
    results = {key: rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)[::-1] for key in KEYS}
    results['img'].flags.writeable = False
    results |= {'img_path': 'a/1.png', 'ir_path': 'b/1.png', 'sample_key': '1', 'ori_shape': (50, 70)}
    packed = TRANSFORMS.build(dict(type='mmweather.PackImages', keys=('img', 'ir')))(results)
    assert set(packed) == {'inputs', 'data_samples'} and set(packed['inputs']) == {'img', 'ir'}
    image, data = packed['inputs']['img'], packed['data_samples']
    assert image.dtype == torch.uint8 and image.is_contiguous()
    np.testing.assert_array_equal(image.numpy(), results['img'].transpose(2, 0, 1))
    np.testing.assert_array_equal(data.gt_img.numpy(), results['gt'].transpose(2, 0, 1))
    np.testing.assert_array_equal(data.ir.numpy(), results['ir'].transpose(2, 0, 1))
    assert (data.img_path, data.sample_key, data.ori_shape) == ('a/1.png', '1', (50, 70))
    assert 'img' not in set(data.keys()) and 'gt_path' not in data.metainfo
    without = TRANSFORMS.build(dict(type='mmweather.PackImages', gt=None))({'img': results['img']})
    assert 'gt_img' not in set(without['data_samples'].keys())
    with pytest.raises(ConfigError, match='gt=None'):
        TRANSFORMS.build(dict(type='mmweather.PackImages'))({'img': results['img']})
    with pytest.raises(DataError, match='float64'):
        TRANSFORMS.build(dict(type='mmweather.PackImages', gt=None))({'img': np.zeros((4, 4, 3))})
