"""Whole scenes: windows, values, nodata, coordinates, resuming, and every way in which a file can be wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff_toy import Stand
from torch import nn

from mmweather.apis import geotiff
from mmweather.apis.geo import output
from mmweather.apis.geotiff import plan_geotiff, restore_geotiff
from mmweather.errors import ConfigError, DataError, MissingToolboxError
from mmweather.models.common.tiling import run_tiled

rasterio = pytest.importorskip('rasterio', reason='needs the extra geo')
CRS = 'EPSG:32632'
SAMPLE = Path(__file__).parents[2] / '..' / 'shared' / 'data' / 'sen12mscr_sample'
pytestmark = [pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning'),
              pytest.mark.filterwarnings('ignore::PendingDeprecationWarning:rasterio')]


def write(path: Path, array: np.ndarray, crs: str | None = CRS, origin: tuple[float, float] = (5e5, 5e6),
          pixel: float = 10.0, descriptions: tuple[str, ...] | None = None, **profile) -> Path:
    """A GeoTIFF of an array (C, H, W)."""
    if crs:
        profile = {'crs': crs, 'transform': rasterio.transform.from_origin(*origin, pixel, pixel), **profile}
    with rasterio.open(path, 'w', driver='GTiff', width=array.shape[2], height=array.shape[1], count=len(array),
                       dtype=array.dtype, **profile) as file:
        file.write(array)
        if descriptions:
            file.descriptions = descriptions
    return path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def optical(height: int, width: int, bands: int = 13, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 10000, (bands, height, width)).astype(np.uint16)


def radar(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-30, 0, (2, height, width)).astype(np.float32)


def restore(model: nn.Module, scene: Path, out: Path, **options) -> Path:
    return restore_geotiff(model, scene, out, show_progress=False, **options)


# Windows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (1, 70), (33, 1), (37, 71), (64, 64), (130, 53)])
@pytest.mark.parametrize('tile', [32, None])
def test_every_size_comes_back_exactly(tmp_path, height, width, tile):
    numbers = optical(height, width)
    model = Stand()
    out = restore(model, write(tmp_path / 'a.tif', numbers), tmp_path / 'out.tif', tile=tile)
    assert np.array_equal(read(out), numbers)
    assert all(side % 2 == 0 for shape in model.seen for side in shape)
    assert (len(model.seen) > 1) == (tile == 32 and max(height, width) > 32)
    assert sorted(os.listdir(tmp_path)) == ['a.tif', 'out.tif']


@pytest.mark.parametrize('options', [dict(tile=40, overlap=8), dict(tile=48, overlap=24), dict(tile='auto')])
def test_windows_do_not_show_where_the_network_sees_a_neighbourhood(tmp_path, monkeypatch, options):
    monkeypatch.setitem(geotiff.AUTO_TILE, 'supported', 36)
    scene, sar = write(tmp_path / 'a.tif', optical(97, 141)), write(tmp_path / 's.tif', radar(97, 141))
    model = Stand(inputs=('img', 'sar'), blur=True)
    whole = read(restore(model, scene, tmp_path / 'whole.tif', sar=sar, tile=None)).astype(int)
    assert model.seen == [(98, 142)]
    tiled = read(restore(model, scene, tmp_path / 'tiled.tif', sar=sar, **options)).astype(int)
    assert len(model.seen) > 6
    # A rounding error can move a number that lies between two whole ones.
    assert np.abs(whole - tiled).max() <= 1 and (whole != tiled).mean() < 1e-3


@pytest.mark.parametrize('overlap', [0, 6, 16])
def test_blending_is_that_of_pictures(tmp_path, overlap):
    """Each window gets another brightness, so the weights alone decide the result."""

    class Numbered(Stand):
        count = 0

        def forward(self, img):
            Numbered.count += 1
            return torch.full_like(img, Numbered.count / 40)

    numbers = optical(61, 75, 3)
    out = restore(Numbered(3), write(tmp_path / 'a.tif', numbers), tmp_path / 'out.tif', tile=32, overlap=overlap,
                  scale=10000)
    windows, Numbered.count = Numbered.count, 0
    model = Numbered(3)
    expected = run_tiled(model, (torch.zeros(1, 3, 61, 75), ), model.inference_contract, 32, overlap)[0].numpy() * 10000
    assert windows == Numbered.count >= 6
    assert np.abs(read(out) - expected).max() < 0.51


def test_a_small_network_of_the_real_kind(tmp_path):
    from mmweather.models.aca_crnet.network import ACACRNet
    torch.manual_seed(0)
    network = ACACRNet(3, 3, width=8, num_blocks=4).eval()
    image = np.random.default_rng(0).integers(0, 256, (3, 50, 70)).astype(np.uint8)
    out = restore(network, write(tmp_path / 'a.tif', image), tmp_path / 'out.tif')
    with torch.no_grad():
        expected = network(torch.from_numpy(image)[None] / 255)[0].clamp(0, 1).numpy() * 255
    assert np.abs(read(out) - expected).max() < 0.51 and not np.array_equal(read(out), image)


def test_a_cloud_remover_of_all_bands_and_radar(tmp_path):
    pytest.importorskip('mmagic')
    from mmweather.datasets.transforms.sentinel import scale_radar
    from mmweather.models.aca_crnet.restorer import CloudRemover
    torch.manual_seed(0)
    model = CloudRemover(dict(type='mmweather.ACACRNet', in_channels=15, out_channels=13, width=8, num_blocks=2),
                         value_range='sentinel').eval()
    numbers, decibel = optical(33, 45), radar(33, 45)
    scene, sar = write(tmp_path / 'a.tif', numbers), write(tmp_path / 's.tif', decibel)
    result = read(restore(model, scene, tmp_path / 'out.tif', sar=sar))
    image = torch.from_numpy(numbers.astype(np.float32) / 10000)[None]
    radiation = torch.from_numpy(scale_radar(np.moveaxis(decibel, 0, -1)) / 2).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = model.predict_images({'img': image, 'sar': radiation})[0].numpy() * 10000
    assert np.abs(result - expected).max() < 0.52 and np.abs(result - numbers.astype(float)).mean() > 1
    windowed = read(restore(model, scene, tmp_path / 'out.tif', sar=sar, tile=24, overlap=8))
    assert 0 < np.abs(windowed - expected).mean() < np.abs(numbers - expected).mean()


# Values ---------------------------------------------------------------------------------------------------------


def test_scale_offset_and_clipping(tmp_path):
    numbers = np.array([[[0, 900, 1000, 1001, 6000, 11000, 20000, 65535]]], np.uint16).repeat(13, 0)
    scene = write(tmp_path / 'a.tif', numbers)
    plain = read(restore(Stand(), scene, tmp_path / 'plain.tif'))[0, 0]
    assert plain.tolist() == [0, 900, 1000, 1001, 6000, 10000, 10000, 10000]
    shifted = read(restore(Stand(), scene, tmp_path / 'shifted.tif', offset=-1000))[0, 0]
    assert shifted.tolist() == [1000, 1000, 1000, 1001, 6000, 11000, 11000, 11000]
    half = read(restore(Stand(gain=0.5), scene, tmp_path / 'half.tif', offset=-1000))[0, 0]
    assert half.tolist() == [1000, 1000, 1000, 1000, 3500, 6000, 6000, 6000]  # 1000.5 to even
    wide = read(restore(Stand(), scene, tmp_path / 'wide.tif', scale=100000, offset=20000))[0, 0]
    assert np.array_equal(wide, numbers[0, 0])
    with pytest.raises(ConfigError, match='scale=-1'):
        restore(Stand(), scene, tmp_path / 'no.tif', scale=-1)


def test_the_scale_that_a_file_states_is_used_and_kept(tmp_path):
    scene = write(tmp_path / 'a.tif', np.array([[[500, 1000, 3000, 9000]]], np.int16).repeat(3, 0))
    with rasterio.open(scene, 'r+') as file:
        file.scales, file.offsets = (0.0005, ) * 3, (-0.5, ) * 3
    seen = []

    class Look(Stand):
        def forward(self, img):
            seen.extend(img[0, 0, 0].tolist())
            return img

    out = restore(Look(3, multiple_of=1), scene, tmp_path / 'out.tif')
    assert np.allclose(seen, [0, 0, 1, 1]) and read(out)[0, 0].tolist() == [1000, 1000, 3000, 3000]
    with rasterio.open(out) as file:
        assert file.scales == (0.0005, ) * 3 and file.offsets == (-0.5, ) * 3


def test_floating_numbers(tmp_path):
    numbers = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    numbers[1, 3, 4] = np.nan
    scene = write(tmp_path / 'a.tif', numbers)
    with pytest.raises(DataError, match='--scale'):
        restore(Stand(3), scene, tmp_path / 'out.tif')
    result = read(restore(Stand(3, gain=0.5), scene, tmp_path / 'out.tif', scale=1))
    assert result.dtype == np.float32 and np.allclose(result, numbers / 2, atol=1e-6, equal_nan=True)


def test_sixteen_bits_for_a_model_of_pictures_need_a_scale(tmp_path):
    scene = write(tmp_path / 'a.tif', optical(9, 9, 3))
    with pytest.raises(DataError, match='uint16 has no range of its own.*--scale 10000'):
        restore(Stand(3), scene, tmp_path / 'out.tif')


def test_radar_reaches_the_network_as_the_data_set_gives_it(tmp_path):
    from mmweather.datasets.transforms.sentinel import scale_radar
    decibel = radar(6, 8)
    decibel[0, 0, 0], decibel[0, 0, 1], decibel[1, 0, 2] = np.nan, -np.inf, 5
    decibel[:, :, -1] = np.nan  # as at the border of a swath
    seen = []

    class Look(Stand):
        def forward(self, img, sar):
            seen.append(sar[0].numpy())
            return img

    model = Look(inputs=('img', 'sar'))
    scene, sar = write(tmp_path / 'a.tif', optical(6, 8)), write(tmp_path / 's.tif', decibel)
    for floor in (None, -35):
        restore(model, scene, tmp_path / 'out.tif', sar=sar, vh_floor=floor)
    there = np.isfinite(decibel)
    for got, floor in zip(seen, (-32.5, -35), strict=True):
        expected = scale_radar(np.moveaxis(np.nan_to_num(decibel), 0, -1), floor) / 2
        assert np.allclose(got[there], np.moveaxis(expected, -1, 0)[there], atol=1e-6)
        mean = np.array([band[good].mean() for band, good in zip(decibel, there, strict=True)])
        filled = scale_radar(mean[None, None].astype(np.float32), floor)[0, 0] / 2
        assert np.allclose(got[:, :, -1], filled[:, None], atol=1e-5)
    with pytest.raises(ConfigError, match='vh_floor'):
        restore(model, scene, tmp_path / 'out.tif', sar=sar, vh_floor=3)


# Nodata ---------------------------------------------------------------------------------------------------------


def test_nodata_stays_and_nothing_else_becomes_it(tmp_path):
    numbers = optical(60, 60)
    numbers[:, 20:40, 10:50] = 0
    numbers[:, :, 55:] = 0
    numbers[4, 2, 3] = 0   # in one band alone
    numbers[5, 40, 40] = 1  # halved and rounded, this would be 0
    scene = write(tmp_path / 'a.tif', numbers, nodata=0)
    model = Stand(gain=0.4)
    out = restore(model, scene, tmp_path / 'out.tif', tile=16, overlap=4)
    result = read(out)
    assert np.array_equal(result == 0, numbers == 0) and result[5, 40, 40] == 1
    there = numbers > 10
    assert np.abs(result[there] - 0.4 * numbers[there].astype(float)).max() <= 1
    with rasterio.open(out) as file:
        assert file.nodata == 0
    windows = len(model.seen)
    restore(model, write(tmp_path / 'b.tif', numbers), tmp_path / 'b_out.tif', tile=16, overlap=4)
    assert windows < len(model.seen) - windows  # windows without data are not computed


def test_what_the_network_sees_in_holes_does_not_depend_on_the_window(tmp_path):
    numbers = optical(64, 64)
    numbers[:, 25:40, 25:40] = 0
    scene = write(tmp_path / 'a.tif', numbers)
    model = Stand(blur=True)
    whole, tiled = (read(restore(model, scene, tmp_path / f'{tile}.tif', tile=tile, nodata=0)) for tile in (None, 32))
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    with rasterio.open(tmp_path / '32.tif') as file:
        assert file.nodata == 0
    # Beside the hole the mean of the scene shows, not the black of the hole.
    inside = whole[:, 24, 26:39].mean()
    assert inside > 0.9 * whole[:, 10, 26:39].mean()


def test_a_nodata_that_the_type_cannot_hold(tmp_path):
    with pytest.raises(ConfigError, match='nodata=-9999'):
        restore(Stand(), write(tmp_path / 'a.tif', optical(8, 8)), tmp_path / 'out.tif', nodata=-9999)


def test_masks_and_alpha_are_kept(tmp_path):
    image = np.random.default_rng(0).integers(1, 255, (3, 40, 50)).astype(np.uint8)
    holes = np.zeros((40, 50), bool)
    holes[10:20, 10:20] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        masked = write(tmp_path / 'masked.tif', image)
        with rasterio.open(masked, 'r+') as file:
            file.write_mask(~holes)
    alpha = write(tmp_path / 'alpha.tif', np.concatenate((image, np.where(holes, 0, 200)[None].astype(np.uint8))),
                  photometric='RGB', alpha='YES')
    for scene in (masked, alpha):
        out = restore(Stand(3, gain=0.5), scene, tmp_path / 'out.tif', tile=16)
        with rasterio.open(out) as file:
            assert np.array_equal(file.dataset_mask() == 0, holes)
            assert [colour.name for colour in file.colorinterp][:3] == ['red', 'green', 'blue'] or scene == masked
            result = file.read()
        assert np.array_equal(result[:3, holes], image[:, holes])
        assert np.abs(result[:3, ~holes] - image[:, ~holes] / 2).max() <= 0.51
    assert len(result) == 4 and set(np.unique(result[3])) == {0, 200}


def test_a_mask_survives_a_stop(tmp_path):
    image = np.random.default_rng(0).integers(1, 255, (3, 60, 101)).astype(np.uint8)
    scene = write(tmp_path / 'a.tif', image)
    holes = np.zeros((60, 101), bool)
    holes[20:45, 10:70] = True
    with rasterio.open(scene, 'r+') as file:
        file.write_mask(~holes)
    whole = restore(Stand(3, blur=True), scene, tmp_path / 'whole.tif', tile=32)
    stopped(Stand(3, blur=True), scene, tmp_path / 'out.tif', after=5)
    out = restore(Stand(3, blur=True), scene, tmp_path / 'out.tif', tile=32)
    assert out.read_bytes() == whole.read_bytes()
    with rasterio.open(out) as file:
        assert np.array_equal(file.dataset_mask() == 0, holes)


# What is kept ---------------------------------------------------------------------------------------------------


def test_coordinates_tags_and_layout(tmp_path):
    names = tuple(f'B{name}' for name in ('1', '2', '3', '4', '5', '6', '7', '8', '8A', '9', '10', '11', '12'))
    numbers = np.broadcast_to(np.arange(1, 1101, dtype=np.uint16), (13, 700, 1100))
    scene = write(tmp_path / 'a.tif', numbers, nodata=0, descriptions=names)
    with rasterio.open(scene, 'r+') as file:
        file.update_tags(PRODUCT='S2A', AREA_OR_POINT='Point')
        file.update_tags(2, WAVELENGTH='490', STATISTICS_MEAN='3')
        before = file.profile
    out = restore(Stand(), scene, tmp_path / 'out.tif')
    with rasterio.open(out) as file:
        assert (file.crs, file.transform, file.shape, file.count) == (CRS, before['transform'], (700, 1100), 13)
        assert file.dtypes == ('uint16', ) * 13 and file.nodata == 0 and file.descriptions == names
        assert file.tags()['PRODUCT'] == 'S2A' and file.tags()['AREA_OR_POINT'] == 'Point'
        assert file.tags(2)['WAVELENGTH'] == '490' and 'STATISTICS_MEAN' not in file.tags(2)
        assert file.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
        assert file.profile['tiled'] and file.block_shapes == [(512, 512)] * 13 and file.compression.name == 'deflate'
        assert file.overviews(1) == file.overviews(13) == [2, 4]
        small = file.read(7, out_shape=(350, 550))
        assert np.abs(small - (np.arange(550) * 2 + 1.5)).max() <= 1
    with rasterio.open(out, OVERVIEW_LEVEL=0) as file:
        assert file.shape == (350, 550)
    assert plan_geotiff(Stand(), scene, out).overviews == (2, 4)


def test_some_bands_of_a_scene(tmp_path):
    names = tuple(f'B{i:02d}, text' for i in range(1, 9)) + ('B8A', ) + tuple(f'B{i:02d}' for i in range(9, 13))
    numbers = optical(20, 24)
    scene = write(tmp_path / 'a.tif', numbers, descriptions=names)
    for bands in ('4,3,2', 'B4, b03,B02', [4, 3, 2]):
        out = restore(Stand(3), scene, tmp_path / 'out.tif', bands=bands, scale=10000)
        assert np.array_equal(read(out), numbers[[3, 2, 1]])
        with rasterio.open(out) as file:
            assert file.descriptions == ('B04, text', 'B03, text', 'B02, text')
    for bands, error, message in (('4,3', ConfigError, '2 different bands given, the model takes 3'),
                                  ('4,4,4', ConfigError, '1 different'), ('4,3,14', DataError, 'no band 14'),
                                  ('0,1,2', DataError, 'no band 0'), ('red,B3,B2', DataError, "no bands called 'red'")):
        with pytest.raises(error, match=message):
            restore(Stand(3), scene, tmp_path / 'out.tif', bands=bands, scale=10000)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason='no ../shared/data')
def test_real_patches(tmp_path):
    name = 'ROIs2017_winter_112_p797.tif'
    out = restore(Stand(inputs=('img', 'sar')), SAMPLE / 's2_cloudy' / name, tmp_path / name, sar=SAMPLE / 's1' / name,
                  tile=96)
    before, after = read(SAMPLE / 's2_cloudy' / name).astype(int), read(out).astype(int)
    assert np.abs(after - before.clip(0, 10000)).max() <= 100  # the stand-in adds up to a hundredth of radar


# Resuming -------------------------------------------------------------------------------------------------------

SLOW = '''
import sys, time
sys.path[:0] = [{tests!r}]
from geotiff_toy import Stand
from mmweather.apis.geotiff import restore_geotiff

class Slow(Stand):
    def forward(self, img, sar):
        time.sleep(0.05)
        print('window', flush=True)
        return super().forward(img, sar)

Slow.__name__ = 'Stand'
restore_geotiff(Slow(inputs=('img', 'sar'), gain=0.7, blur=True), {scene!r}, {out!r}, sar={sar!r}, tile=32,
                show_progress=False, save_every=0)
'''


def test_a_killed_run_goes_on_and_gives_the_same_file(tmp_path, capsys):
    numbers = optical(90, 120)
    numbers[:, 30:50, 20:90] = 0
    scene = write(tmp_path / 'a.tif', numbers, nodata=0)
    sar = write(tmp_path / 's.tif', radar(90, 120))
    out = tmp_path / 'out.tif'
    code = SLOW.format(tests=str(Path(__file__).parent), scene=str(scene), out=str(out), sar=str(sar))
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code], stdout=subprocess.PIPE, env=environment,
                          text=True) as process:
        assert process.stdout is not None
        for _ in range(7):
            assert process.stdout.readline() == 'window\n'
        process.send_signal(signal.SIGKILL)
    assert not out.exists() and (tmp_path / '.out.tif.restoring').is_dir()
    model = Stand(inputs=('img', 'sar'), gain=0.7, blur=True)
    restore(model, scene, out, sar=sar, tile=32)
    went_on = len(model.seen)
    assert 'going on after' in capsys.readouterr().out
    whole = restore(model, scene, tmp_path / 'whole.tif', sar=sar, tile=32)
    assert went_on <= len(model.seen) - went_on - 6
    assert out.read_bytes() == whole.read_bytes()
    assert not (tmp_path / '.out.tif.restoring').exists()


def stopped(model: nn.Module, scene: Path, out: Path, after: int = 3, **options) -> None:
    """A run that is interrupted after some windows."""

    def progress(done: int, total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(model, scene, out, tile=32, save_every=0, progress=progress, **options)


@pytest.mark.parametrize('after', [1, 3, 4, 6, 8, 11, 12])
def test_every_window_is_a_place_to_go_on_from(tmp_path, after):
    scene, out = write(tmp_path / 'a.tif', optical(60, 101, 3)), tmp_path / 'out.tif'
    model = Stand(3, blur=True)
    whole = restore(model, scene, tmp_path / 'whole.tif', tile=32, scale=10000)
    assert len(model.seen) == 12
    stopped(model, scene, out, after, scale=10000)
    model.seen.clear()
    restore(model, scene, out, tile=32, scale=10000)
    assert len(model.seen) == 12 - after and out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(('change', 'word'), [('weights', 'weights'), ('option', 'options'), ('scene', 'scene'),
                                              ('setting', 'settings'), ('journal', 'damaged')])
def test_work_of_another_run_is_not_used(tmp_path, capsys, change, word):
    scene, out = write(tmp_path / 'a.tif', optical(60, 101)), tmp_path / 'out.tif'
    model, options = Stand(), {}
    stopped(model, scene, out)
    if change == 'weights':
        model.gain.data.mul_(0.5)
    elif change == 'option':
        options = {'offset': -100.0}
    elif change == 'setting':
        model.blur = True
    elif change == 'scene':
        time.sleep(0.01)
        write(scene, optical(60, 101, seed=5))
    else:
        state = tmp_path / '.out.tif.restoring' / '.state.npz'
        state.write_bytes(state.read_bytes()[:500])
    model.seen.clear()
    restore(model, scene, out, tile=32, **options)
    printed = capsys.readouterr().out
    assert printed.count('\n') == 1 and 'dropped' in printed and word in printed
    assert len(model.seen) == 12
    fresh = restore(model, scene, tmp_path / 'fresh.tif', tile=32, **options)
    assert out.read_bytes() == fresh.read_bytes()


def test_two_processes_do_not_share_a_result(tmp_path):
    scene, out = write(tmp_path / 'a.tif', optical(60, 101)), tmp_path / 'out.tif'

    def progress(done, total):
        with pytest.raises(DataError, match='another process'):
            restore(Stand(), scene, out)

    restore(Stand(), scene, out, progress=progress)
    assert np.array_equal(read(out), read(scene))


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
        words = r'has 13 band\(s\), the model takes 3; choose 3 with --bands'
    elif case == 'few':
        write(scene, optical(9, 9, 12))
        words = r'has 12 band\(s\), the model takes 13.*Level-2A lacks B10'
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


def test_bands_in_another_order_are_mended_by_the_line_that_is_printed(tmp_path):
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
    ('bands', r'has 3 band\(s\)'), ('order', 'VH, VV'), ('type', 'int16'), ('size', '10x9.*9x9'),
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
