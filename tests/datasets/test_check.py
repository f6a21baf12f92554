"""The doctor finds each fault of a spoilt set, and its quarantine makes the set usable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmweather.cli import main
from mmweather.datasets.roadscene_rain import RoadSceneRain
from mmweather.datasets.tools.check import check
from mmweather.errors import ConfigError, DataError
from mmweather.utils.images import write_image

FOLDERS = ('Vis/input', 'Vis/target', 'Inf/input')
CONFIG = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'roadscene_rain.py'


@pytest.fixture
def root(tmp_path):
    """Ten clean training triples and three test triples."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 10), ('test', 3)):
        for folder in FOLDERS:
            for index in range(count):
                array = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
                write_image(tmp_path / 'set' / split / folder / f'{index:03d}.png', array)
    return tmp_path / 'set'


def spoil(root: Path) -> None:
    train = root / 'train'
    cut = train / 'Vis/input/001.png'
    cut.write_bytes(cut.read_bytes()[:-200])
    (train / 'Vis/target/002.png').write_bytes(b'')
    (train / 'Inf/input/003.png').unlink()
    write_image(train / 'Inf/input/004.png', np.zeros((16, 23), np.uint8))
    shutil.copy(root / 'test/Vis/target/000.png', train / 'Vis/target/005.png')
    shutil.copy(train / 'Vis/input/006.png', train / 'Vis/input/007.png')
    (train / 'Inf/input/_init_.py').touch()


def kinds(report) -> list[str]:
    return sorted(finding.kind for finding in report.findings)


def test_a_clean_set_has_no_findings(root, capsys):
    assert main(['check', str(root)]) == 0
    assert '39 images checked, no findings' in capsys.readouterr().out


def test_every_fault_is_found_and_quarantine_mends_the_set(root, capsys):
    spoil(root)
    report = check(root, progress=False)
    assert kinds(report) == ['duplicate', 'leak', 'size', 'unpaired', 'unreadable', 'unreadable']
    with pytest.raises(DataError, match='003'):
        RoadSceneRain(str(root))
    path = root / 'quarantine.json'
    assert main(['check', str(root), '--quarantine', str(path)]) == 1
    out = capsys.readouterr().out
    for words in ('001.png', '002.png', '0 bytes', '003.png', '23x16', 'train and test',
                  '38 images checked, 6 findings', 'copy or download the file again'):
        assert words in out
    stems = {Path(entry).stem for entry in json.loads(path.read_text())}
    assert stems == {'001', '002', '003', '004', '005', '007'}
    step = dict(type='mmweather.LoadImages', keys=('img', 'gt', 'ir'))
    fixed = RoadSceneRain(str(root), quarantine='quarantine.json', pipeline=[step])
    assert [fixed[index]['sample_key'] for index in range(len(fixed))] == ['000', '006', '008', '009']
    # Entries name the split, so that equal stems of the test images stay.
    assert len(RoadSceneRain(str(root), 'test', quarantine='quarantine.json')) == 3


def test_missing_folder_doubled_stem_and_plain_folders(root, tmp_path):
    shutil.rmtree(root / 'test/Inf')
    write_image(root / 'train/Vis/input/000.bmp', np.zeros((16, 24, 3), np.uint8))
    assert kinds(check(root, progress=False)) == ['folder', 'same stem']
    plain = tmp_path / 'plain'
    for name, value in (('train/a.png', 1), ('train/b.png', 2), ('test/c.png', 1)):
        write_image(plain / name, np.full((8, 8, 3), value, np.uint8))
    report = check(plain, progress=False)
    assert kinds(report) == ['leak'] and report.quarantine() == ['train/a.png']
    with pytest.raises(DataError, match='no such folder'):
        check(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match='holds no image'):
        check(tmp_path / 'empty')


def test_a_config_is_unwrapped_and_its_holdout_is_no_leak(root, tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.read_text().replace("'data/roadscene_rain'", repr(str(root))))
    report = check(config, progress=False)
    assert report.findings == [] and report.checked == 2 * 13
    # A picture of the held-out part that is also in the training part.
    shutil.copy(root / 'train/Vis/target/000.png', root / 'train/Vis/target/003.png')
    report = check(config, progress=False)
    assert kinds(report) == ['leak'] and 'train and val' in report.findings[0].detail
    assert report.quarantine() == ['train/Vis/target/003.png']


def test_wrong_configs(tmp_path):
    with pytest.raises(ConfigError, match='no such config'):
        check(tmp_path / 'none.py')
    (tmp_path / 'broken.py').write_text('a = (')
    with pytest.raises(ConfigError, match=r'broken\.py'):
        check(tmp_path / 'broken.py')
    (tmp_path / 'bare.py').write_text('a = 1')
    with pytest.raises(ConfigError, match='no dataloader'):
        check(tmp_path / 'bare.py')
