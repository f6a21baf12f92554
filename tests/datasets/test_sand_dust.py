"""The sand-dust set: its layout, depth in all its ways, simulated dust, labels, and what can be wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sand_dust_toy import write_set  # noqa: E402

from mmweather.cli import main  # noqa: E402
from mmweather.datasets.sand_dust import SandDust, install_sand_dust  # noqa: E402
from mmweather.datasets.transforms.dust import AddDust, LoadCleanAndDepth, RetinexLabel  # noqa: E402
from mmweather.datasets.transforms.views import PackViews, WeakViews  # noqa: E402
from mmweather.errors import ConfigError, DataError  # noqa: E402
from mmweather.utils.images import read_image, write_image  # noqa: E402
from mmweather.weather.dust import retinex  # noqa: E402

REAL = Path(__file__).parents[2] / '..' / 'shared' / 'data' / 'sand_dust'


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / 'sand_dust')


def test_the_parts_of_the_published_layout(root):
    assert {part: len(SandDust(str(root), part)) for part in ('clean', 'dust', 'test')} == {
        'clean': 3, 'dust': 5, 'test': 2}
    sample = SandDust(str(root), 'dust', key='unlabelled')[1]
    assert sample['unlabelled_path'].endswith('train/dust/001.jpg') and 'img_path' not in sample
    assert len(SandDust(str(root), 'dust', holdout=dict(every=4, part='val'))) == 2
    with pytest.raises(ConfigError, match='clean, dust, test'):
        SandDust(str(root), 'val')


@pytest.mark.parametrize('part', ['clean', 'dust', 'test'])
def test_an_empty_list_is_named(root, part):
    folder = root / SandDust.FOLDERS[part]
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(DataError, match=f'{SandDust.FOLDERS[part]}.*holds no image'):
        len(SandDust(str(root), part))
    folder.rmdir()
    with pytest.raises(DataError, match='no such folder'):
        len(SandDust(str(root), part))


def test_clean_image_and_depth_side_by_side(root):
    sample = SandDust(str(root), 'clean', pipeline=[dict(type='mmweather.LoadCleanAndDepth')])[0]
    whole = read_image(root / 'train/clean/000.png')
    np.testing.assert_array_equal(sample['gt'], whole[:, :48])
    wanted = np.repeat(np.linspace(1, 0, 48)[:, None], 48, axis=1)
    assert sample['depth'].dtype == np.float32 and np.abs(sample['depth'] - wanted).max() < 0.01
    published = LoadCleanAndDepth('rgb24').transform({'pair_path': str(root / 'train/clean/000.png')})
    assert np.abs(published['depth'] - wanted).max() > 0.3
    with pytest.raises(ConfigError, match='jet'):
        LoadCleanAndDepth('viridis')


def test_depth_in_files_of_its_own(root):
    for path in (root / 'train/clean').iterdir():
        whole = read_image(path)
        write_image(root / 'apart/clean' / path.name, whole[:, :48])
        write_image(root / 'apart/depth' / path.name, whole[:, 48:])
    prefix = dict(gt='apart/clean', depth='apart/depth')
    apart = SandDust(str(root), 'clean', data_prefix=prefix, pipeline=[dict(type='mmweather.LoadCleanAndDepth')])
    together = SandDust(str(root), 'clean', pipeline=[dict(type='mmweather.LoadCleanAndDepth')])
    for index in range(3):
        for key in ('gt', 'depth'):
            np.testing.assert_array_equal(apart[index][key], together[index][key])
    write_image(root / 'apart/depth/000.png', np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match='48x48 but its depth.*9x9'):
        apart[0]


@pytest.mark.parametrize('key', ['pair', 'gt'])
def test_missing_depth_is_named_or_stood_in_for(tmp_path, key):
    path = write_image(tmp_path / 'scene.png', np.full((20, 31), 90, np.uint8))
    with pytest.raises(DataError, match='scene.png.*stand_in=True'):
        LoadCleanAndDepth().transform({f'{key}_path': str(path)})
    sample = LoadCleanAndDepth(stand_in=True).transform({f'{key}_path': str(path)})
    assert sample['gt'].shape == (20, 31, 3) and sample['depth'].shape == (20, 31)
    assert sample['depth'][0, 0] == 1 and sample['depth'][-1, -1] == 0
    dusty = AddDust(haze=0).transform(sample)['img']
    assert dusty[0].astype(int).std() == pytest.approx(dusty[0, 0].astype(int).std(), abs=1e-9)  # a row is one depth
    # The far is closer to the red of the dust than the near.
    assert dusty[0, 0, 0] - dusty[0, 0, 2] > dusty[-1, 0, 0] - dusty[-1, 0, 2] > 0
    with pytest.raises(ConfigError, match="'pair', or 'gt'"):
        LoadCleanAndDepth().transform({})


def test_dust_follows_the_seed_alone(root):
    pipeline = [dict(type='mmweather.LoadCleanAndDepth'), dict(type='mmweather.AddDust')]
    dataset = SandDust(str(root), 'clean', pipeline=pipeline)
    pictures = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        pictures.append(dataset[0]['img'])
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])
    with pytest.raises(ConfigError, match='LoadCleanAndDepth'):
        AddDust().transform({'gt': pictures[0]})
    with pytest.raises(ConfigError, match='haze'):
        AddDust(haze=2)


def test_truncated_dust_is_darker_by_less_than_a_level():
    sample = {'gt': np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8), 'depth': np.full((32, 32), 0.3)}
    found = []
    for truncate in (False, True):
        np.random.seed(0)
        found.append(AddDust(published_truncate=truncate).transform(dict(sample))['img'].astype(int))
    assert set(np.unique(found[0] - found[1])) == {0, 1}


def test_the_label_keeps_the_colours_unless_published():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    label = RetinexLabel(sigma=5).transform({'unlabelled': image})['pseudo_label']
    np.testing.assert_array_equal(label, retinex(image, 5))
    swapped = RetinexLabel(sigma=5, published_bgr=True).transform({'unlabelled': image})['pseudo_label']
    np.testing.assert_array_equal(swapped[..., ::-1], label)
    with pytest.raises(ConfigError, match="no 'unlabelled'"):
        RetinexLabel().transform({})


@pytest.mark.parametrize('size', [(1, 1), (3, 70), (41, 33)])
def test_tiny_and_odd_photos_pass_the_whole_pipeline(size):
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (*size, 1), np.uint8), 3, axis=2)
    sample = WeakViews('unlabelled', copies=2, size=32).transform(RetinexLabel().transform({'unlabelled': grey}))
    packed = PackViews(('unlabelled', 'pseudo_label'), ('unlabelled_views', )).transform(sample)
    assert packed['inputs']['unlabelled_views'].shape == (2, 3, 32, 32)
    assert packed['inputs']['pseudo_label'].shape == (3, *size)
    assert 'pseudo_label' not in packed['data_samples']
    with pytest.raises(ConfigError, match="no 'gt_views'"):
        PackViews(('unlabelled', ), ('gt_views', )).transform(sample)
    with pytest.raises(ConfigError, match='positive'):
        WeakViews(copies=0)


def test_prepare_links_checks_and_refuses(root, tmp_path, capsys):
    assert main(['prepare', 'sand-dust', str(root.parent), str(tmp_path / 'out/sand_dust')]) == 0
    assert '3 clean images with depth, 5 dusty photos, 2 test photos' in capsys.readouterr().out
    placed = tmp_path / 'out/sand_dust/train/clean/001.png'
    assert placed.is_symlink() and len(SandDust(str(tmp_path / 'out/sand_dust'), 'test')) == 2
    with pytest.raises(DataError, match='not an empty folder'):
        install_sand_dust(root, tmp_path / 'out/sand_dust')
    with pytest.raises(DataError, match='holds no train/dust'):
        install_sand_dust(root / 'test', tmp_path / 'other')
    write_image(root / 'train/clean/002.png', np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(DataError, match='002.png.*twice as wide'):
        install_sand_dust(root, tmp_path / 'other', copy=True)
    assert not (tmp_path / 'other').exists()


@pytest.mark.skipif(not REAL.is_dir(), reason='no real images beside the repository (../shared/data)')
def test_the_real_samples_fit():
    clean = SandDust(str(REAL), 'clean', pipeline=[dict(type='mmweather.LoadCleanAndDepth'),
                                                   dict(type='mmweather.AddDust')])
    assert [len(SandDust(str(REAL), part)) for part in ('clean', 'dust', 'test')] == [8, 8, 8]
    sample = clean[0]
    assert sample['gt'].shape == sample['img'].shape == (256, 256, 3)
    # The published decoding takes much of a picture for the very far.
    published = LoadCleanAndDepth('rgb24').transform({'pair_path': sample['pair_path']})
    assert (published['depth'] > 0.98).mean() > (sample['depth'] > 0.98).mean() + 0.1
