"""Pairing by stem, splits, quarantine, and messages that name the file and the fix."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from mmweather.datasets.paired import PairedImageDataset
from mmweather.datasets.roadscene_rain import RoadSceneRain, install_roadscene_rain
from mmweather.errors import ConfigError, DataError
from mmweather.registry import DATASETS
from mmweather.utils.images import write_image

REAL = Path(__file__).parents[2] / '..' / 'shared' / 'data' / 'roadscene_rain'
FOLDERS = {'img': 'Vis/input', 'gt': 'Vis/target', 'ir': 'Inf/input'}


def picture(seed: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_set(root: Path, count: int = 6, split: str = '') -> Path:
    for number, folder in enumerate(FOLDERS.values()):
        for index in range(count):
            write_image(root / split / folder / f'{index:03d}.png', picture(100 * number + index))
    return root


def load(root, **options):
    return DATASETS.build(
        dict(type='mmweather.PairedImageDataset', data_root=str(root), data_prefix=FOLDERS) | options)


def message(root, **options) -> str:
    with pytest.raises(DataError) as caught:
        load(root, **options)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_samples_are_paired_by_stem_and_sorted(tmp_path):
    make_set(tmp_path)
    (tmp_path / 'Inf/input/_init_.py').touch()
    (tmp_path / 'Inf/input/._000.png').touch()
    (tmp_path / 'Vis/input/000.png').unlink()
    write_image(tmp_path / 'Vis/input/000.JPG', picture(0))
    dataset = load(tmp_path)
    assert [dataset[index]['sample_key'] for index in range(len(dataset))] == [f'{i:03d}' for i in range(6)]
    first = dataset[0]
    assert Path(first['img_path']).name == '000.JPG' and Path(first['gt_path']).name == '000.png'
    assert set(first) == {'img_path', 'gt_path', 'ir_path', 'sample_key', 'sample_idx'}


def test_missing_partners_are_listed_up_to_five(tmp_path):
    make_set(tmp_path, 8)
    for index in range(7):
        (tmp_path / f'Vis/target/{index:03d}.png').unlink()
    text = message(tmp_path)
    assert "'gt'" in text and 'Vis/target' in text and '000, 001, 002, 003, 004 and 2 more' in text
    assert '005' not in text and 'quarantine' in text


def test_empty_missing_and_doubled(tmp_path):
    assert 'no such folder' in message(tmp_path / 'nowhere')
    make_set(tmp_path)
    write_image(tmp_path / 'Vis/input/003.jpg', picture(1))
    assert '003.jpg = 003.png' in message(tmp_path) and 'keep one' in message(tmp_path)
    for file in (tmp_path / 'Vis/input').iterdir():
        file.unlink()
    assert 'holds no image' in message(tmp_path) and 'data_prefix' in message(tmp_path)


def test_split_file(tmp_path):
    make_set(tmp_path)
    (tmp_path / 'split.txt').write_text('# chosen\n004\n\n001\n')
    assert [sample['sample_key'] for sample in load(tmp_path, ann_file='split.txt')] == ['001', '004']
    (tmp_path / 'split.txt').write_text('004\n999\n')
    assert 'split.txt' in message(tmp_path, ann_file='split.txt') and '999' in message(tmp_path, ann_file='split.txt')
    (tmp_path / 'split.txt').write_text('004\n004\n')
    assert 'more than once' in message(tmp_path, ann_file='split.txt')
    (tmp_path / 'split.txt').write_text('\n')
    assert 'names no image' in message(tmp_path, ann_file='split.txt')
    assert 'cannot be read' in message(tmp_path, ann_file='none.txt')


def test_holdout_divides_without_rest_or_overlap_and_ignores_the_quarantine(tmp_path):
    make_set(tmp_path, 11)
    (tmp_path / 'bad.json').write_text('["000"]')

    def keys(part, **more):
        return [s['sample_key'] for s in load(tmp_path, holdout=dict(every=4, offset=1, part=part), **more)]

    assert keys('val') == ['001', '005', '009']
    assert sorted(keys('train') + keys('val')) == [f'{i:03d}' for i in range(11)]
    assert keys('val', quarantine='bad.json') == keys('val')
    assert keys('train', quarantine='bad.json') == [key for key in keys('train') if key != '000']
    for wrong in (dict(part='test'), dict(every=1, part='val'), dict(every=4, offset=4, part='val'),
                  dict(evry=4, part='val')):
        with pytest.raises(ConfigError, match='holdout'):
            load(tmp_path, holdout=wrong)


def test_quarantine_takes_stems_and_relative_files(tmp_path):
    make_set(tmp_path)
    (tmp_path / 'Vis/target/002.png').unlink()
    (tmp_path / 'q.json').write_text(json.dumps(['000', 'Vis/input/002.png', 'test/Vis/input/004.png']))
    assert [sample['sample_key'] for sample in load(tmp_path, quarantine='q.json')] == ['001', '003', '004', '005']
    (tmp_path / 'q.json').write_text('{"a": 1}')
    assert 'JSON list' in message(tmp_path, quarantine='q.json')
    (tmp_path / 'q.json').write_text('[')
    assert 'q.json' in message(tmp_path, quarantine='q.json')
    (tmp_path / 'q.json').write_text(json.dumps([f'{i:03d}' for i in range(6)]))
    assert 'no sample is left' in message(tmp_path, quarantine='q.json')


def test_building_lazily_touches_no_file_and_pickles(tmp_path):
    dataset = load(tmp_path / 'later', lazy_init=True)
    make_set(tmp_path / 'later')
    again = pickle.loads(pickle.dumps(dataset))
    again.full_init()
    assert len(again) == 6
    assert pickle.loads(pickle.dumps(again))[3]['sample_key'] == '003'


def test_cache_gives_equal_samples_without_the_files_and_is_not_pickled(tmp_path):
    make_set(tmp_path)
    step = dict(type='mmweather.LoadImages', keys=('img', 'gt', 'ir'))
    plain = [load(tmp_path, pipeline=[step])[index] for index in range(6)]
    dataset = load(tmp_path, pipeline=[step | dict(cache=True)])
    assert len(pickle.dumps(dataset)) < 6 * 3 * 20 * 30 * 3
    for file in tmp_path.rglob('*.png'):
        file.unlink()
    for index in range(6):
        for key in FOLDERS:
            np.testing.assert_array_equal(dataset[index][key], plain[index][key])
    with pytest.raises(ValueError, match='read-only'):
        dataset[0]['img'][0, 0, 0] = 1
    with pytest.raises(DataError, match='no such image'):
        pickle.loads(pickle.dumps(dataset))[0]


def test_cache_stops_at_its_limit(tmp_path):
    make_set(tmp_path)
    step = dict(type='mmweather.LoadImages', keys=('img', ), cache=True, cache_limit_mb=0)
    dataset = load(tmp_path, pipeline=[step])
    first = dataset[0]['img']
    assert first.flags.writeable and first is not dataset[0]['img']


def test_prefix_is_needed(tmp_path):
    with pytest.raises(ConfigError, match='data_prefix'):
        PairedImageDataset(data_root=str(tmp_path))


def test_roadscene_rain_parts(tmp_path):
    make_set(tmp_path, 12, 'train')
    make_set(tmp_path, 3, 'test')
    root = str(tmp_path)
    assert len(RoadSceneRain(root, 'train')) == 12 and len(RoadSceneRain(root, 'test')) == 3
    assert [s['sample_key'] for s in RoadSceneRain(root, part='val')] == ['000', '010']
    assert len(RoadSceneRain(root, part='train')) == 10
    assert 'ir_path' not in RoadSceneRain(root, 'test', keys=('img', 'gt'))[0]
    assert RoadSceneRain(root).metainfo['citation']
    for wrong in (dict(split='val'), dict(split='test', part='val'), dict(keys=('img', 'depth')),
                  dict(part='val', holdout=dict(part='val'))):
        with pytest.raises(ConfigError):
            RoadSceneRain(root, **wrong)
    with pytest.raises(DataError, match='Vis/clean'):
        RoadSceneRain(root, keys=('img', 'clean'))


@pytest.mark.parametrize('copy', [False, True])
def test_installing_a_download(tmp_path, copy):
    source = tmp_path / 'download'
    make_set(source / 'NiteDR/dataset', 3, 'train')
    make_set(source / 'NiteDR/dataset', 2, 'test')
    (source / 'NiteDR/dataset/train/Inf/input/_init_.py').touch()
    target = tmp_path / 'data/roadscene_rain'
    assert install_roadscene_rain(source, target, copy=copy) == {'train': 3, 'test': 2}
    assert len(RoadSceneRain(str(target))) == 3
    files = list(target.rglob('*.*'))
    assert len(files) == 15 and all(file.is_symlink() != copy for file in files)
    with pytest.raises(DataError, match='not an empty folder'):
        install_roadscene_rain(source, target)
    with pytest.raises(DataError, match='train/Vis/input'):
        install_roadscene_rain(target / 'train/Vis', tmp_path / 'other')
    (source / 'NiteDR/dataset/train/Vis/target/001.png').unlink()
    with pytest.raises(DataError, match='001'):
        install_roadscene_rain(source, tmp_path / 'other')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['data', 'download']


@pytest.mark.skipif(not REAL.is_dir(), reason='the real RoadScene-rain is not here')
def test_the_real_set_with_its_stray_file():
    assert len(RoadSceneRain(str(REAL), 'train')) == 181
    assert len(RoadSceneRain(str(REAL), 'test')) == 40
    parts = [{s['sample_key'] for s in RoadSceneRain(str(REAL), part=part)} for part in ('train', 'val')]
    assert [len(part) for part in parts] == [162, 19] and not parts[0] & parts[1]
