"""SEN12MS-CR in its three layouts, incomplete triplets, split lists, preparing and checking."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from sentinel_toy import file_of, write

from mmweather.cli import main
from mmweather.datasets.sen12mscr import SEN12MSCR
from mmweather.datasets.sen12mscr_layout import find_layout, scene_name
from mmweather.datasets.sen12mscr_splits import published_splits
from mmweather.datasets.tools.check import check
from mmweather.datasets.tools.sen12mscr_install import install_sen12mscr
from mmweather.errors import ConfigError, DataError

pytest.importorskip('rasterio')
SAMPLE = Path(__file__).parents[2] / '..' / 'shared' / 'data' / 'sen12mscr_sample'
# Two training scenes (1 begins the names of the test scenes 106 and 139), one for validation, two for testing.
KEYS = ('ROIs1158_spring_1_p30', 'ROIs1158_spring_1_p407', 'ROIs1970_fall_1_p2', 'ROIs1868_summer_19_p30',
        'ROIs1158_spring_106_p30', 'ROIs1970_fall_139_p839')


def keys(dataset: SEN12MSCR) -> list[str]:
    return [dataset.get_data_info(index)['sample_key'] for index in range(len(dataset))]


@pytest.fixture
def messages():
    """What the log of MMEngine hears."""
    heard: list[str] = []

    class Ear(logging.Handler):

        def emit(self, record):
            heard.append(record.getMessage())

    logger = MMLogger.get_instance('ear')
    ear = Ear()
    logger.addHandler(ear)
    yield heard
    logger.removeHandler(ear)


@pytest.mark.parametrize('layout', ['archives', 'seasons', 'flat'])
def test_each_layout_is_found_and_divided(tmp_path, layout):
    root = write(tmp_path, KEYS, layout)
    assert find_layout(root) == layout
    assert keys(SEN12MSCR(str(root))) == ['ROIs1158_spring_1_p30', 'ROIs1158_spring_1_p407', 'ROIs1970_fall_1_p2']
    assert keys(SEN12MSCR(str(root), split='val')) == ['ROIs1868_summer_19_p30']
    test = SEN12MSCR(str(root), split='test')
    assert keys(test) == ['ROIs1158_spring_106_p30', 'ROIs1970_fall_139_p839']
    info = test.get_data_info(0)
    assert info['scene'] == 'ROIs1158_spring_106'
    for key, sensor in (('img', 's2_cloudy'), ('gt', 's2'), ('sar', 's1')):
        assert Path(info[f'{key}_path']) == file_of(root, layout, 'ROIs1158_spring_106_p30', sensor)
    assert '2 patches of 2 scenes: ROIs1158_spring_106 (1)' in test.metainfo['split']
    assert len(SEN12MSCR(str(root), split='all')) == len(KEYS)


def test_the_published_lists():
    lists = published_splits()
    assert {split: len(scenes) for split, scenes in lists.items()} == {'train': 155, 'val': 10, 'test': 10}
    everything = [scene for scenes in lists.values() for scene in scenes]
    assert len(set(everything)) == 175
    assert {'ROIs1158_spring_1', 'ROIs1868_summer_100'} <= set(lists['train'])


def test_incomplete_triplets_are_told_once_and_left_out(tmp_path, messages):
    root = write(tmp_path, KEYS, without=[(KEYS[0], 's2'), (KEYS[2], 's1')])
    dataset = SEN12MSCR(str(root))
    shown = [message for message in messages if 'lack a sensor' in message]
    assert len(shown) == 1 and '2 of 3 patches' in shown[0] and f'{KEYS[0]} (s2)' in shown[0] and '\n' not in shown[0]
    assert keys(dataset) == [KEYS[1]]
    # Optical images alone need no radar; to restore without a reference, no clear image is needed.
    assert keys(SEN12MSCR(str(root), keys=('img', 'gt'))) == [KEYS[1], KEYS[2]]
    optical = SEN12MSCR(str(root), keys=('img', ))
    assert len(optical) == 3 and 'sar_path' not in optical.get_data_info(0)


def test_a_real_missing_partner(messages):
    if not SAMPLE.is_dir():
        pytest.skip('needs the sample of SEN12MS-CR in ../shared')
    assert keys(SEN12MSCR(str(SAMPLE), split='all')) == ['ROIs1970_fall_139_p839', 'ROIs2017_winter_112_p797']
    assert any('1 of 3 patches' in message and 'ROIs1868_summer_19_p30 (s2)' in message for message in messages)
    assert keys(SEN12MSCR(str(SAMPLE), split='test')) == ['ROIs1970_fall_139_p839']
    with pytest.raises(DataError, match='1 incomplete'):
        SEN12MSCR(str(SAMPLE), split='val')


def test_own_lists_in_any_spelling_and_a_table(tmp_path):
    root = write(tmp_path / 'set', KEYS, 'flat')
    own = {'train': ['ROIs1158_spring_s1/s1_106'], 'test': ['ROIs1158_spring/s1_1', 'ROIs1970_fall_1']}
    assert keys(SEN12MSCR(str(root), splits=own)) == ['ROIs1158_spring_106_p30']
    (root / 'splits.json').write_text(json.dumps(own))
    assert keys(SEN12MSCR(str(root), split='test')) == list(KEYS[:3])
    assert len(SEN12MSCR(str(root), split='test', splits='published')) == 2
    with pytest.raises(ConfigError, match="no list 'val'"):
        SEN12MSCR(str(root), split='val')
    rows = [f'{code},s1,s2_cloudfree,s2_cloudy,{key}.tif' for code, key in ((1, KEYS[0]), (2, KEYS[3]), (3, KEYS[5]))]
    (root / 'data.csv').write_text('\n'.join(rows) + '\n')
    assert keys(SEN12MSCR(str(root), splits='data.csv')) == [KEYS[0]], 'the table names patches, not scenes'
    assert keys(SEN12MSCR(str(root), split='val', splits='data.csv')) == [KEYS[3]]
    (root / 'data.csv').write_text('\n'.join([*rows, f'3,s1,s2_cloudfree,s2_cloudy,{KEYS[1]}.tif']))
    with pytest.raises(DataError, match=r'ROIs1158_spring_1 \(train and test\)'):
        SEN12MSCR(str(root), splits='data.csv')
    (root / 'data.csv').write_text('4,a,b,c,x.tif\n')
    with pytest.raises(DataError, match=r"data\.csv', row 1"):
        SEN12MSCR(str(root), splits='data.csv')


@pytest.mark.parametrize('splits, message', [
    ({'train': ['ROIs1158_spring_1'], 'test': ['ROIs1158_spring_1']}, r'1 scene .*ROIs1158_spring_1 \(train and'),
    ({'train': ['spring 1']}, "'spring 1' is no scene"),
    ({'training': []}, 'expected lists of scenes'),
    ({'train': 'ROIs1158_spring_1'}, 'must be a list'),
    ('gone.json', 'cannot be read'),
], ids=['leak', 'name', 'split', 'text', 'file'])
def test_wrong_lists_are_refused_in_one_line(tmp_path, splits, message):
    with pytest.raises(DataError, match=message) as error:
        SEN12MSCR(str(write(tmp_path, KEYS[:1])), splits=splits)
    assert '\n' not in str(error.value)


def test_wrong_folders_and_arguments(tmp_path):
    with pytest.raises(DataError, match='no such folder'):
        SEN12MSCR(str(tmp_path / 'gone'))
    (tmp_path / 'other').mkdir()
    with pytest.raises(DataError, match='no layout of SEN12MS-CR'):
        SEN12MSCR(str(tmp_path / 'other'))
    root = write(tmp_path / 'set', KEYS[:1])
    with pytest.raises(DataError, match=r"no patch is left for split 'test' \(none of its scenes"):
        SEN12MSCR(str(root), split='test')
    for wrong in (dict(split='tests'), dict(keys=('img', 'ir')), dict(keys=('gt', )), dict(layout='tum')):
        with pytest.raises(ConfigError):
            SEN12MSCR(str(root), **wrong)
    (root / 'ROIs1158_spring_s1/s1_1/notes.txt').touch()
    (root / 'ROIs1158_spring_s1/s1_1/._ROIs1158_spring_s1_1_p30.tif').touch()
    assert len(SEN12MSCR(str(root))) == 1
    with pytest.raises(DataError, match='no scene'):
        scene_name('ROIs1158_autumn_1')


def test_prepare_takes_complete_triplets_and_reports_the_others(tmp_path, capsys):
    stray = 'ROIs1158_spring_999_p1'
    source = write(tmp_path / 'download/SEN12MSCR', [*KEYS, stray], 'seasons', without=[(KEYS[1], 's1')])
    target = tmp_path / 'data/sen12mscr'
    assert main(['prepare', 'sen12ms-cr', str(tmp_path / 'download'), str(target)]) == 0
    out = capsys.readouterr().out
    assert '2 training, 1 validation and 2 test triplets' in out and '1 incomplete patches' in out
    assert '1 patches of scenes that are in no list' in out
    assert (target / 'incomplete.txt').read_text() == f'{KEYS[1]}: no s1\n'
    assert find_layout(target) == 'archives' and len(list(target.rglob('*.tif'))) == 15
    link = file_of(target, 'archives', KEYS[0], 's2')
    assert link.is_symlink() and link.read_bytes() == file_of(source, 'seasons', KEYS[0], 's2').read_bytes()
    assert keys(SEN12MSCR(str(target))) == [KEYS[0], KEYS[2]]
    with pytest.raises(DataError, match='not an empty folder'):
        install_sen12mscr(source, target, progress=False)


def test_prepare_copies_goes_on_and_refuses_leaks(tmp_path, capsys):
    source, target = write(tmp_path / 'download', KEYS), tmp_path / 'set'
    own = tmp_path / 'own.json'
    own.write_text(json.dumps({'train': ['ROIs1158_spring_1'], 'val': ['ROIs1158_spring_1']}))
    with pytest.raises(SystemExit) as error:
        main(['prepare', 'sen12ms-cr', str(source), str(target), '--splits', str(own)])
    assert error.value.code == 2 and 'ROIs1158_spring_1 (train and val)' in capsys.readouterr().err
    own.write_text(json.dumps({'train': ['ROIs1158_spring_1'], 'val': ['ROIs1970_fall_139']}))
    # An interrupted run has left one whole file, one half file and one that is not wanted.
    part = tmp_path / '.set.part'
    kept, half, alien = (file_of(part, 'archives', key, 's1') for key in (KEYS[0], KEYS[1], KEYS[4]))
    for path in (kept, half, alien):
        path.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(file_of(source, 'archives', KEYS[0], 's1').read_bytes())
    shutil.copystat(file_of(source, 'archives', KEYS[0], 's1'), kept)
    stamp = kept.stat().st_mtime_ns
    half.write_bytes(b'II')
    alien.touch()
    counts = install_sen12mscr(source, target, copy=True, splits=own, progress=False)
    assert counts == {'train': 2, 'val': 1, 'test': 0, 'incomplete': 0, 'unlisted': 3}
    assert file_of(target, 'archives', KEYS[0], 's1').stat().st_mtime_ns == stamp and not part.exists()
    assert len(list(target.rglob('*.tif'))) == 9 and not any(path.is_symlink() for path in target.rglob('*'))
    # The lists lie beside the images, so the data set divides by them.
    assert keys(SEN12MSCR(str(target), split='val')) == ['ROIs1970_fall_139_p839']
    assert check(target, progress=False).findings == []
    with pytest.raises(DataError, match='no complete triplet'):
        install_sen12mscr(write(tmp_path / 'half', KEYS[:1], without=[(KEYS[0], 's2')]), tmp_path / 'x', progress=False)


def test_the_doctor_reads_rasters(tmp_path):
    root = write(tmp_path, KEYS, without=[(KEYS[3], 's2')])
    cut = file_of(root, 'archives', KEYS[0], 's1')
    cut.write_bytes(cut.read_bytes()[:1000])
    from mmweather.utils.rasters import read_raster, write_geotiff
    moved = file_of(root, 'archives', KEYS[2], 's2')
    write_geotiff(moved, read_raster(moved).pixels, 'EPSG:32634', (10.0, 0.0, 0.0, 0.0, -10.0, 0.0))
    small = file_of(root, 'archives', KEYS[4], 's1')
    write_geotiff(small, np.full((24, 31, 2), -9, np.float32), 'EPSG:32633', (10.0, 0.0, 0.0, 0.0, -10.0, 0.0))
    copied = file_of(root, 'archives', KEYS[5], 's2')
    copied.write_bytes(file_of(root, 'archives', KEYS[1], 's2').read_bytes())
    report = check(root, progress=False)
    assert sorted(finding.kind for finding in report.findings) == ['grid', 'leak', 'size', 'unpaired', 'unreadable']
    (root / 'quarantine.json').write_text(json.dumps(report.quarantine()))
    # The picture that stands in train and test is left out of train.
    with pytest.raises(DataError, match='3 in quarantine'):
        SEN12MSCR(str(root), quarantine='quarantine.json')
    assert keys(SEN12MSCR(str(root), split='test', quarantine='quarantine.json')) == [KEYS[5]]
