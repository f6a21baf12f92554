"""The satellite sets of the mini world on disk: layouts, values, resuming, and life without rasterio."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from mmweather.cli import main
from mmweather.errors import MissingToolboxError
from mmweather.mini.sets.satellite import triplet_path
from mmweather.mini.write import make_mini
from mmweather.utils.images import read_image


@pytest.fixture
def no_rasterio(monkeypatch):
    for name in [name for name in sys.modules if name.split('.')[0] == 'rasterio']:
        monkeypatch.delitem(sys.modules, name)

    class Block:

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.split('.')[0] == 'rasterio':
                raise ModuleNotFoundError("No module named 'rasterio'", name='rasterio')

    monkeypatch.setattr(sys, 'meta_path', [Block, *sys.meta_path])


def test_rice_layouts(tmp_path):
    root = make_mini(tmp_path / 'mini', train=1, test=1, only=['rice1', 'rice2'], progress=False)
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob('*.png'))
    assert found == sorted([*(f'rice1/{kind}/{i}.png' for kind in ('cloud', 'label') for i in (0, 1)),
                            *(f'rice2/{kind}/{i}.png' for kind in ('cloud', 'label', 'mask') for i in (0, 1))])
    assert read_image(root / 'rice1/cloud/0.png').shape == (256, 256, 3)
    assert set(np.unique(read_image(root / 'rice2/mask/0.png'))) <= {0, 128, 255}


def test_sentinel_layout_values_and_resume(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    root = make_mini(tmp_path / 'mini', seed=3, train=1, test=1, only=['sen12ms-cr'], progress=False)
    scenes = ('ROIs1158_spring_1', 'ROIs1158_spring_17', 'ROIs1158_spring_106')
    paths = [triplet_path(root / 'sen12mscr', scene, sensor, 30) for scene in scenes
             for sensor in ('s1', 's2', 's2_cloudy')]
    assert sorted(paths) == sorted(root.rglob('*.tif'))
    assert paths[0].parts[-3:] == ('ROIs1158_spring_s1', 's1_1', 'ROIs1158_spring_s1_1_p30.tif')
    grids = set()
    for path in paths[:3]:
        with rasterio.open(path) as file:
            grids.add((file.crs.to_string(), file.transform, file.shape))
            assert (file.count, set(file.dtypes)) == ((2, {'float32'}) if '_s1' in path.name else (13, {'uint16'}))
            assert file.res == (10, 10) and file.crs.is_projected
            values = file.read()
            assert np.isfinite(values).all() and (values.min() > -60 if file.count == 2 else values.max() < 15000)
    assert len(grids) == 1
    before = {path: path.read_bytes() for path in paths}
    paths[1].unlink()
    stamp = paths[4].stat().st_mtime_ns
    make_mini(tmp_path / 'mini', seed=3, train=1, test=1, only=['sen12ms-cr'], progress=False)
    assert {path: path.read_bytes() for path in paths} == before and paths[4].stat().st_mtime_ns == stamp


def test_without_rasterio_the_set_is_left_out_unless_asked_for(tmp_path, no_rasterio, capsys, monkeypatch):
    from mmweather.mini import write as mini
    monkeypatch.setattr(mini, 'SETS', {name: mini.SETS[name] for name in ('rice1', 'sen12ms-cr')})
    root = make_mini(tmp_path / 'mini', train=1, test=1, progress=False)
    out = capsys.readouterr().out
    assert out.count('\n') == 1 and "left out: the mini set 'sen12ms-cr' needs 'rasterio'" in out
    assert "pip install 'mmweather[geo]'" in out
    assert json.loads((root / 'manifest.json').read_text())['sets'] == ['rice1'] and not (root / 'sen12mscr').exists()
    with pytest.raises(MissingToolboxError):
        make_mini(tmp_path / 'other', only=['sen12ms-cr'])
    with pytest.raises(SystemExit) as error:
        main(['prepare', 'mini', str(tmp_path / 'other'), '--only', 'sen12ms-cr'])
    shown = capsys.readouterr().err
    assert error.value.code == 2 and shown.count('\n') == 1 and 'mmweather[geo]' in shown
    assert not (tmp_path / 'other').exists()
