"""Blending with seams alone, telling scenes from pictures, files and the command, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmweather import cli
from mmweather.apis.restore_files import restore_files
from mmweather.apis.scenes.bands import band_name
from mmweather.apis.scenes.blend import Axis, Blender
from mmweather.apis.scenes.detect import is_scene
from mmweather.apis.scenes.values import Values
from mmweather.errors import ConfigError, DataError
from mmweather.models.ops.contract import InferenceContract
from mmweather.models.ops.tiling import tile_grid
from mmweather.utils.images import read_image, write_image

pytestmark = [pytest.mark.filterwarnings('ignore:Dataset has no geotransform'),
              pytest.mark.filterwarnings('ignore::PendingDeprecationWarning:rasterio')]


class Negative(nn.Module):
    inference_contract = InferenceContract(('img', ), 2, 2, 'supported', 8)

    def forward(self, img):
        return 1 - img


class Radar(Negative):
    inference_contract = InferenceContract(('img', 'sar'), 2, 2, 'supported', 8)
    out_channels = 13

    def forward(self, img, sar):
        return 1 - img


# Parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('height', 'width', 'tile', 'overlap'), [
    (50, 61, 20, 4), (41, 41, 20, 10), (33, 90, 32, 16), (20, 20, 20, 0), (21, 100, 20, 10)])
def test_seams_give_what_the_whole_sum_gives(height, width, tile, overlap):
    contract = InferenceContract(multiple_of=2, minimum=2, overlap=overlap)
    tiles, grids = tile_grid(height, width, tile, overlap, contract)
    blender = Blender(Axis(grids[0], height), Axis(grids[1], width), 2)
    random = np.random.default_rng(0)
    expected, got = np.zeros((2, height, width)), np.full((2, height, width), np.nan)
    held = 0
    for index in range(len(blender)):
        top, left, rows, columns = blender.window(index)
        result = random.random((2, rows, columns)).astype(np.float32)
        weight = grids[0][index // len(grids[1])][1][:rows, None] * grids[1][index % len(grids[1])][1][:columns]
        expected[:, top:top + rows, left:left + columns] += result * weight.numpy()
        # Through a file and into another one: what a run that goes on does.
        other = Blender(blender.rows, blender.columns, 2)
        other.restore(blender.state())
        blender = other
        cell = blender.add(result)
        place = got[:, top:top + cell.shape[1], left:left + cell.shape[2]]
        assert np.isnan(place).all(), 'a pixel was given away twice'
        place[:] = cell
        held = max(held, blender.above.shape[1], blender.below.shape[1])
    assert np.allclose(got, expected, atol=1e-6)
    assert held <= tile - tiles[0] // 4 or height <= 1.5 * tile


def test_weights_of_three_tiles_that_meet_still_sum_to_one():
    _, grids = tile_grid(50, 50, 20, 10, InferenceContract())
    blender = Blender(Axis(grids[0], 50), Axis(grids[1], 50), 1)
    cells = [blender.add(np.ones((1, *blender.window(i)[2:]), np.float32)) for i in range(len(blender))]
    assert max(np.abs(cell - 1).max() for cell in cells) < 1e-6


@pytest.mark.parametrize(('text', 'name'), [
    ('B1', 'B1'), ('B01', 'B1'), ('b8a', 'B8A'), ('Band 8', 'B8'), ('B8A, vre, 864.7 nm', 'B8A'), ('B12', 'B12'),
    ('Sentinel-2 B03', 'B3'), ('B13', None), ('Blue', None), ('B8B', None), ('', None), (None, None)])
def test_names_of_bands(text, name):
    assert band_name(text) == name


@pytest.mark.parametrize(('dtype', 'nodata', 'expected'), [
    ('uint8', 0, 1), ('uint8', 255, 254), ('int16', -32768, -32767), ('uint16', 65535, 65534)])
def test_results_step_aside_for_nodata(dtype, nodata, expected):
    limits = np.iinfo(dtype)
    values = Values(dtype, float(limits.max) - limits.min, -float(limits.min), nodata)
    unit = np.array([[[(nodata - limits.min) / values.scale]]], np.float32)
    stored = np.array([[[7]]], dtype)
    assert values.from_unit(unit, stored, np.zeros_like(stored, bool)).item() == expected
    assert values.from_unit(unit, stored, np.ones_like(stored, bool)).item() == 7


# Telling scenes from pictures -----------------------------------------------------------------------------------


@pytest.fixture
def geo(tmp_path):
    rasterio = pytest.importorskip('rasterio', reason='needs the extra geo')
    transform = rasterio.transform.from_origin(5e5, 5e6, 10, 10)

    def write(name: str, count: int = 3, dtype: str = 'uint8', georeferenced: bool = True, size=(30, 40), random=True,
              **options):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if georeferenced:
            options = {'crs': 'EPSG:32632', 'transform': transform, **options}
        with rasterio.open(path, 'w', driver='GTiff', width=size[1], height=size[0], count=count, dtype=dtype,
                           **options) as file:
            if random:
                numbers = np.random.default_rng(count).integers(1, 200, (count, *size))
                file.write(numbers.astype(dtype) - (200 if dtype == 'float32' else 0))
        return path

    return write


def test_scenes_and_pictures(tmp_path, geo):
    assert is_scene(geo('rgb.tif')) and is_scene(geo('big.TIFF', BIGTIFF='YES')) and is_scene(geo('13.tif', 13))
    assert is_scene(geo('plain13.tif', 13, georeferenced=False)) and is_scene(geo('le.tif', ENDIANNESS='BIG'))
    assert is_scene(geo('float.tif', 1, 'float32', georeferenced=False))
    assert is_scene(geo('signed.tif', 3, 'int16', georeferenced=False))
    for count, dtype in ((1, 'uint8'), (3, 'uint8'), (4, 'uint8'), (3, 'uint16')):
        assert not is_scene(geo(f'p{count}{dtype}.tif', count, dtype, georeferenced=False))
    picture = tmp_path / 'photo.tif'
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(picture)
    write_image(tmp_path / 'a.png', np.zeros((9, 9, 3), np.uint8))
    assert not is_scene(picture) and not is_scene(tmp_path / 'a.png') and not is_scene(tmp_path / 'none.tif')
    (tmp_path / 'photo.tfw').write_text('10\n0\n0\n-10\n500005\n4999995\n')
    assert is_scene(picture)
    (tmp_path / 'bad.tif').write_bytes(b'II*\0\xff\xff')
    assert not is_scene(tmp_path / 'bad.tif')


# Folders and the command ----------------------------------------------------------------------------------------


def test_a_folder_of_scenes_and_pictures(tmp_path, geo):
    rasterio = pytest.importorskip('rasterio')
    scene = geo('in/scene.tif')
    damaged = geo('in/damaged.tif', size=(300, 400))
    damaged.write_bytes(damaged.read_bytes()[:100000])
    write_image(tmp_path / 'in' / 'photo.png', np.full((9, 9, 3), 55, np.uint8))
    out = tmp_path / 'in' / 'out'
    report = restore_files(Negative(), tmp_path / 'in', out, show_progress=False)
    assert {path.name for path in report.done} == {'scene.tif', 'photo.png'}
    assert list(report.failed) == [damaged] and 'cut short' in report.failed[damaged]
    assert (read_image(out / 'photo.png') == 200).all()
    with rasterio.open(out / 'scene.tif') as file, rasterio.open(scene) as before:
        assert np.array_equal(file.read(), 255 - before.read()) and file.crs == before.crs
    again = restore_files(Negative(), tmp_path / 'in', out, show_progress=False)
    assert len(again.skipped) == 2 and not again.done
    with pytest.raises(DataError, match='would be overwritten'):
        restore_files(Negative(), scene, scene.parent, overwrite=True, show_progress=False)


def test_radar_partners_by_stem(tmp_path, geo):
    for name in ('a', 'b'):
        geo(f'in/{name}.tif', 13, 'uint16')
    geo('sar/a.tif', 2, 'float32')
    report = restore_files(Radar(), tmp_path / 'in', tmp_path / 'out', {'sar': tmp_path / 'sar'}, show_progress=False)
    assert [path.name for path in report.done] == ['a.tif']
    assert ["no partner in" in text for text in report.failed.values()] == [True]
    with pytest.raises(ConfigError, match='takes img, sar; give .*--sar DIR'):
        restore_files(Radar(), tmp_path / 'in', tmp_path / 'out', show_progress=False)


def test_options_of_scenes_need_scenes(tmp_path, geo):
    write_image(tmp_path / 'photo.png', np.full((9, 9, 3), 55, np.uint8))
    with pytest.raises(DataError, match='no TIFF, so bands'):
        restore_files(Negative(), tmp_path / 'photo.png', tmp_path / 'out', scene_options={'bands': '1,2,3'})
    wide = geo('wide.tif', 3, 'uint16', georeferenced=False)
    (result, ) = restore_files(Negative(), wide, tmp_path / 'out', scene_options={'scale': 65535},
                               show_progress=False).done
    assert result.name == 'wide.tif'


CONFIG = """
model = dict(type='mmweather.Restorer', pixel_loss=dict(type='mmagic.L1Loss'),
             generator=dict(type='mmweather.ACACRNet', width=8, num_blocks=2))
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config and weights of a small network."""
    pytest.importorskip('mmagic')
    from mmweather.models.aca_crnet.network import ACACRNet
    from mmweather.utils.checkpoint import save_state_dict
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp('trained')
    state = ACACRNet(width=8, num_blocks=2).state_dict()
    save_state_dict(root / 'w.pth', {f'generator.{key}': value for key, value in state.items()})
    (root / 'config.py').write_text(CONFIG)
    return ['--model', str(root / 'config.py'), '--device', 'cpu'], ['--checkpoint', str(root / 'w.pth')]


def test_the_command(tmp_path, geo, trained, capsys):
    rasterio = pytest.importorskip('rasterio')
    scene, out = geo('scene.tif', 13, 'uint16'), tmp_path / 'clear' / 'result.tif'
    model, weights = trained
    words = ['restore', str(scene), *model, '--out', str(out), '--bands', '4,3,2', '--scale', '10000', '--nodata', '0']
    assert cli.main([*words, '--plan']) == 0
    printed = capsys.readouterr().out
    assert '40x30, 3 bands uint16, EPSG:32632, nodata 0, scale 10000' in printed and 'windows: 1 ' in printed
    assert not out.parent.exists()
    assert cli.main([*words, *weights]) == 0
    assert '1 restored, 0 there already, 0 failed' in capsys.readouterr().out
    with rasterio.open(out) as file:
        assert file.count == 3 and file.nodata == 0 and file.crs == 'EPSG:32632'
    for wrong, message in ((words, '--checkpoint'), ([*words, *weights, '--sar', str(scene)], 'takes img;'),
                           ([*words[:-6], *weights], None)):
        if message is None:  # a scene that cannot be restored is reported, as a picture is
            assert cli.main([*wrong, '--overwrite']) == 1
            assert '13 bands, the model takes 3' in capsys.readouterr().err
            continue
        with pytest.raises(SystemExit) as stopped:
            cli.main(wrong)
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and error.count('\n') == 1 and message in error


# Memory ---------------------------------------------------------------------------------------------------------

LARGE = '''
import sys
import torch
from mmweather.apis.scenes.geotiff import restore_geotiff
from mmweather.models.ops.contract import InferenceContract

class Network(torch.nn.Module):
    inference_contract = InferenceContract(('img', ), 2, 2, 'supported', 8)
    out_channels = 13

    def forward(self, img):
        return img * 0.5

torch.set_num_threads(1)
small, large, out = sys.argv[1:]
peaks = []
for scene in (small, large):
    restore_geotiff(Network(), scene, out, tile=128, show_progress=False)
    # Not ru_maxrss, which begins with that of the parent process.
    peaks.append(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))
print(*peaks)
'''


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_memory_does_not_grow_with_the_height(tmp_path, geo):
    """The large one is 104 MiB as float32, so arrays of the whole would add twice that; GDAL may fill its cache."""
    small = geo('small.tif', 13, 'uint16', size=(256, 512), random=False, tiled=True)
    large = geo('large.tif', 13, 'uint16', size=(4096, 512), random=False, tiled=True)
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', LARGE, str(small), str(large),
                           str(tmp_path / 'out.tif')], capture_output=True, text=True, timeout=200,
                          env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2]), 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr
    first, second = (int(word) / 1024 for word in done.stdout.split())
    assert second - first < 64 + 32, f'{first:.0f} MiB, then {second:.0f} MiB'
