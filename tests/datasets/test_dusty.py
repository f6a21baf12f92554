"""Dividing dusty photos: look-alikes stay together, settled photos decide, nothing of a test photo is trained on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sand_dust_toy import write_set

from mmweather import cli
from mmweather.datasets.dusty import ALIKE, difference_hash, divide, install_dusty, look_alikes
from mmweather.datasets.paired import list_images
from mmweather.datasets.sand_dust import SandDust
from mmweather.errors import ConfigError, DataError
from mmweather.utils.images import read_image, write_image


def photo(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A smooth picture, as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    for index in range(8):
        write_image(folder / f'{index}.jpg', photo(index))
    write_image(folder / 'copy_of_0.jpg', cv2.resize(photo(0), (90, 70), interpolation=cv2.INTER_AREA), quality=60)
    return folder


def test_a_smaller_or_worse_copy_hashes_alike_and_another_photo_does_not(tmp_path):
    whole = photo(1)
    worse = read_image(write_image(tmp_path / 'worse.jpg', cv2.resize(whole, (100, 80)), quality=40))
    darker = (whole * 0.6).astype(np.uint8)
    one, two, three, four = map(difference_hash, (whole, worse, darker, photo(2)))
    assert (one != two).sum() <= ALIKE and (one != three).sum() <= ALIKE
    assert (one != four).sum() > 2 * ALIKE


def test_look_alikes_of_look_alikes_are_one_group():
    signs = np.zeros((4, 256), bool)
    signs[1, :30] = signs[2, :60] = True
    signs[3, 100:] = True
    groups = look_alikes(list(signs))
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_settled_photos_decide_and_single_ones_are_counted_out():
    groups = np.array([0, 1, 0, 1, 2, 2, 3, 4, 5, 6, 6, 6])
    roles = ['train', 'test', '', '', '', '', '', '', '', 'train', 'test', '']
    parts = divide(groups, roles, test_every=2)
    assert parts == ['train', 'test', 'train', 'test', 'train', 'train', 'test', 'train', 'test', 'train', 'test',
                     'left out']


def test_the_parts_are_a_sand_dust_set_and_share_no_look_alike(photos, tmp_path):
    counts = install_dusty(photos, tmp_path / 'dusty', long_side=64, test_every=3)
    assert counts == {'train': 6, 'test': 3, 'left out': 0}
    parts = {part: SandDust(data_root=str(tmp_path / 'dusty'), part=part) for part in ('dust', 'test')}
    names = {part: {sample['sample_key'] for sample in data} for part, data in parts.items()}
    assert names['test'] == {'1', '4', '7'}  # of the single ones 1, 2, ..., 7 the first of each three
    assert {'0', 'copy_of_0'} <= names['dust'] and not names['dust'] & names['test']
    assert read_image(tmp_path / 'dusty/test/1.png').shape == (48, 64, 3)


def test_the_division_of_the_sand_dust_set_holds_for_copies(photos, tmp_path):
    root = write_set(tmp_path / 'sand_dust', dust=1, test=1)
    write_image(root / 'train/dust/a.jpg', photo(1))
    write_image(root / 'test/b.jpg', photo(0, 60, 80))
    counts = install_dusty(photos, tmp_path / 'dusty', root, test_every=100)
    test = {path.stem for path in (tmp_path / 'dusty/test').iterdir()}
    assert test == {'0', 'copy_of_0', '2'} and counts['test'] == 3
    assert (tmp_path / 'dusty/train/dust/1.jpg').is_symlink()


def test_small_photos_keep_their_size_and_files_can_be_copied(photos, tmp_path):
    install_dusty(photos, tmp_path / 'reduced', long_side=2000)
    np.testing.assert_array_equal(read_image(tmp_path / 'reduced/train/dust/3.png'), read_image(photos / '3.jpg'))
    install_dusty(photos, tmp_path / 'copied', copy=True)
    assert (tmp_path / 'copied/train/dust/3.jpg').read_bytes() == (photos / '3.jpg').read_bytes()
    assert not (tmp_path / 'copied/train/dust/3.jpg').is_symlink()


def test_mistakes_are_told_in_one_line(photos, tmp_path, capsys):
    with pytest.raises(ConfigError, match='test_every'):
        install_dusty(photos, tmp_path / 'a', test_every=1)
    with pytest.raises(DataError, match='not an empty folder'):
        install_dusty(photos, photos)
    with pytest.raises(DataError, match='no such folder'):
        install_dusty(photos, tmp_path / 'a', sand_dust=tmp_path / 'gone')
    (photos / 'broken.jpg').write_bytes(b'no picture')
    with pytest.raises(DataError, match='broken.jpg') as error:
        install_dusty(photos, tmp_path / 'a')
    assert '\n' not in str(error.value) and not (tmp_path / 'a').exists()


def test_the_command_says_how_many(photos, tmp_path, capsys):
    assert cli.main(['prepare', 'dusty', str(photos), str(tmp_path / 'out'), '--test-every', '7']) == 0
    assert '8 training and 1 test photos' in capsys.readouterr().out
    assert set(list_images(tmp_path / 'out/test')) == {'1'}
