"""Whole scenes: every way in which a file can be wrong, reported in one line."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from geotiff_files import QUIET, optical, radar, rasterio, read, restore, write
from geotiff_toy import Stand

from mmweather.apis.scenes import output
from mmweather.apis.scenes.geotiff import plan_geotiff
from mmweather.errors import ConfigError, DataError, MissingToolboxError

pytestmark = QUIET


# Mistakes -------------------------------------------------------------------------------------------------------


def one_line(error) -> str:
    text = str(error.value)
    assert '\n' not in text and len(text) < 500
    return text


@pytest.mark.parametrize('case', [
    'missing', 'no data', 'bands', 'few', 'order', 'colours', 'type', 'complex', 'no file', 'text', 'no tiff',
    'folder'])
def test_scenes_that_do_not_fit(tmp_path, case):
    model, out, options = Stand(), tmp_path / 'out.tif', {}
    scene = tmp_path / 'a.tif'
    names = ['B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B9', 'B10', 'B11', 'B12', 'B8A']
    if case == 'missing':
        write(scene, np.full((13, 9, 9), 7, np.uint16), nodata=7)
        words = 'holds no data'
    elif case == 'no data':
        write(scene, np.full((13, 9, 9), np.nan, np.float32))
        words, options = 'holds no data', {'scale': 1}
    elif case == 'bands':
        model = Stand(3)
        write(scene, optical(9, 9))
        words = r'has 13 bands, the model takes 3; choose 3 with --bands'
    elif case == 'few':
        write(scene, optical(9, 9, 12))
        words = r'has 12 bands, the model takes 13.*Level-2A lacks B10'
    elif case == 'order':
        write(scene, optical(9, 9), descriptions=tuple(names))
        words = 'B12, B8A, the model takes B1.*--bands 1,2,3,4,5,6,7,8,13,9,10,11,12'
    elif case == 'colours':
        model = Stand(3)
        write(scene, np.ones((3, 9, 9), np.uint8), photometric='MINISBLACK')
        with rasterio.open(scene, 'r+') as file:
            file.colorinterp = [getattr(rasterio.enums.ColorInterp, name) for name in ('blue', 'green', 'red')]
        words = 'blue, green, red.*--bands 3,2,1'
    elif case in ('type', 'complex'):
        write(scene, np.ones((13, 9, 9), {'type': np.float64, 'complex': np.complex64}[case]))
        words = 'float64|complex64'
    elif case == 'no file':
        words = "a.tif': no such file"
    elif case == 'text':
        scene.write_text('not a raster')
        words = 'no GeoTIFF'
    elif case == 'no tiff':
        write(scene, optical(9, 9))
        words, out = 'end in .tif', tmp_path / 'out.png'
    else:
        write(scene, optical(9, 9))
        words = 'is a folder'
        out.mkdir()
    with pytest.raises(DataError, match=words) as error:
        restore(model, scene, out, **options)
    assert 'a.tif' in one_line(error) or case in ('no tiff', 'folder')
    assert not model.seen and not [path for path in tmp_path.iterdir() if 'restoring' in path.name]


def test_bands_in_another_order_are_fixed_by_the_line_that_is_printed(tmp_path):
    numbers = optical(9, 9)
    order = [*range(8), 9, 10, 11, 12, 8]
    names = np.array(['B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B10', 'B11', 'B12'])
    scene = write(tmp_path / 'a.tif', numbers[order], descriptions=tuple(names[order].tolist()))
    with pytest.raises(DataError, match='--bands') as error:
        restore(Stand(), scene, tmp_path / 'out.tif')
    out = restore(Stand(), scene, tmp_path / 'out.tif', bands=str(error.value).split('--bands ')[1])
    assert np.array_equal(read(out), numbers)


@pytest.mark.parametrize('compress', ['none', 'deflate'])
@pytest.mark.parametrize('which', ['scene', 'radar'])
def test_a_file_that_is_cut_short_is_found_before_anything_is_computed(tmp_path, capfd, compress, which):
    scene = write(tmp_path / 'a.tif', optical(200, 200), compress=compress)
    sar = write(tmp_path / 's.tif', radar(200, 200), compress=compress)
    cut = scene if which == 'scene' else sar
    cut.write_bytes(cut.read_bytes()[:-cut.stat().st_size // 3])
    model = Stand(inputs=('img', 'sar'))
    with pytest.raises(DataError, match='cut short') as error:
        restore(model, scene, tmp_path / 'out.tif', sar=sar)
    assert cut.name in one_line(error) and not model.seen and sorted(os.listdir(tmp_path)) == ['a.tif', 's.tif']
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize(('case', 'words'), [
    ('bands', r'has 3 bands'), ('order', 'VH, VV'), ('type', 'int16'), ('size', '10x9.*9x9'),
    ('crs', 'EPSG:32633.*EPSG:32632'), ('no crs', 'no CRS'), ('origin', 'begins at'), ('pixel', 'other pixels'),
    ('linear', 'not in dB'), ('empty', 'holds no data'), ('absent', 'no such file')])
def test_radar_that_does_not_fit(tmp_path, case, words):
    scene, decibel, options = write(tmp_path / 'a.tif', optical(9, 9)), radar(9, 9), {}
    decibel = {'bands': radar(9, 27).reshape(-1, 9, 9)[:3], 'type': decibel.astype(np.int16), 'size': radar(9, 10),
               'linear': 10**(decibel / 10), 'empty': decibel * np.nan}.get(case, decibel)
    options = {'order': {'descriptions': ('Sigma0_VH_db', 'Sigma0_VV_db')}, 'crs': {'crs': 'EPSG:32633'},
               'no crs': {'crs': None}, 'origin': {'origin': (5e5, 5e6 + 10)}, 'pixel': {'pixel': 10.1}}.get(case, {})
    sar = tmp_path / 's.tif'
    if case != 'absent':
        write(sar, decibel, **options)
    model = Stand(inputs=('img', 'sar'))
    with pytest.raises(DataError, match=words) as error:
        restore(model, scene, tmp_path / 'out.tif', sar=sar)
    assert 's.tif' in one_line(error) and not model.seen


def test_radar_and_model_must_agree(tmp_path):
    scene, sar = write(tmp_path / 'a.tif', optical(9, 9)), write(tmp_path / 's.tif', radar(9, 9))
    with pytest.raises(ConfigError, match='takes radar; give .*--sar'):
        restore(Stand(inputs=('img', 'sar')), scene, tmp_path / 'out.tif')
    with pytest.raises(ConfigError, match='takes no radar'):
        restore(Stand(), scene, tmp_path / 'out.tif', sar=sar)
    with pytest.raises(ConfigError, match='takes img, ir'):
        restore(Stand(inputs=('img', 'ir')), scene, tmp_path / 'out.tif')


@pytest.mark.parametrize('which', ['scene', 'radar'])
def test_inputs_are_never_overwritten(tmp_path, which):
    scene, sar = write(tmp_path / 'a.tif', optical(9, 9)), write(tmp_path / 's.tif', radar(9, 9))
    target = scene if which == 'scene' else sar
    before = target.read_bytes()
    (tmp_path / 'link').symlink_to(tmp_path)
    with pytest.raises(DataError, match='would be overwritten'):
        restore(Stand(inputs=('img', 'sar')), scene, tmp_path / 'link' / target.name, sar=sar)
    assert target.read_bytes() == before


def test_no_space(tmp_path, monkeypatch):
    scene = write(tmp_path / 'a.tif', optical(40, 40))
    usage = output.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(output.shutil, 'disk_usage', lambda _: usage._replace(free=10**6))
    with pytest.raises(DataError, match=r'out.tif.*0.00 GB free, up to 0.0\d GB needed') as error:
        restore(Stand(), scene, tmp_path / 'out.tif')
    one_line(error)
    assert '0.00 GB free, too little' in str(plan_geotiff(Stand(), scene, tmp_path / 'out.tif'))
    assert os.listdir(tmp_path) == ['a.tif']


def test_a_folder_that_cannot_be_made(tmp_path):
    scene = write(tmp_path / 'a.tif', optical(40, 40))
    with pytest.raises(DataError, match='cannot be written'):
        restore(Stand(), scene, scene / 'below' / 'out.tif')


def test_a_result_that_is_not_finite_or_of_another_shape(tmp_path):
    scene = write(tmp_path / 'a.tif', optical(9, 9))
    with pytest.raises(DataError, match='not finite'):
        restore(Stand(gain=float('nan')), scene, tmp_path / 'out.tif')

    class Narrow(Stand):
        def forward(self, img):
            return img[:, :3]

    with pytest.raises(ConfigError, match='keeps bands'):
        restore(Narrow(), scene, tmp_path / 'out.tif')
    assert os.listdir(tmp_path) == ['a.tif']


def test_without_rasterio_the_extra_is_named(tmp_path, monkeypatch):
    scene = write(tmp_path / 'a.tif', optical(9, 9))
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(MissingToolboxError, match=r'mmweather\[geo\]'):
        restore(Stand(), scene, tmp_path / 'out.tif')
