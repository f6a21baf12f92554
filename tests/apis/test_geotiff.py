"""Whole scenes: windows, values, nodata and coordinates."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff_files import CRS, QUIET, optical, radar, rasterio, read, restore, stopped, write
from geotiff_toy import Stand

from mmweather.apis.scenes import geotiff
from mmweather.apis.scenes.geotiff import plan_geotiff
from mmweather.errors import ConfigError, DataError
from mmweather.models.ops.tiling import run_tiled

pytestmark = QUIET
SAMPLE = Path(__file__).parents[2] / '..' / 'shared' / 'data' / 'sen12mscr_sample'


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
