"""Loading Sentinel samples: values, masks, one line for each fault, and geometry that moves every sensor."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from sentinel_toy import CRS, PLACE, pixels

from mmweather.datasets.transforms.paired import PairedCrop, PairedDihedral
from mmweather.datasets.transforms.sentinel import PUBLISHED_VH_FLOOR, cloud_shadow_mask
from mmweather.datasets.transforms.sentinel_loading import L1C, FindClouds, LoadSentinel, check_bands
from mmweather.errors import ConfigError, DataError, MissingToolboxError
from mmweather.utils.rasters import Raster, read_raster, write_geotiff

pytest.importorskip('rasterio')
SHARED = Path(__file__).parents[2] / '..' / 'shared'


@pytest.fixture
def sample(tmp_path):
    """Paths of a triplet; ``sample(img=dict(...))`` writes other pixels, places and so on."""

    def write(**changes) -> dict:
        paths = {'sample_key': 'ROIs1158_spring_1_p30'}
        for number, (key, sensor) in enumerate((('img', 's2_cloudy'), ('gt', 's2'), ('sar', 's1'))):
            given = dict(pixels=pixels(sensor, number), crs=CRS, transform=PLACE)
            given.update(changes.get(key, {}))
            paths[f'{key}_path'] = str(write_geotiff(tmp_path / f'{key}.tif', **given))
        return paths

    return write


def test_values_and_mask(sample):
    radar = pixels('s1', 2)
    radar[0, 0], radar[0, 1] = (-30, -40), (3, -16.25)
    cloudy = pixels('s2_cloudy', 0)
    cloudy[5, 6] = 20000
    given = sample(sar=dict(pixels=radar), img=dict(pixels=cloudy))
    result = LoadSentinel()(dict(given))
    for key, bands in (('img', 13), ('gt', 13), ('sar', 2)):
        assert result[key].dtype == np.float32 and result[key].shape == (24, 32, bands)
        assert result[key].min() >= 0 and result[key].max() <= 1
    np.testing.assert_allclose(result['gt'], read_raster(given['gt_path']).pixels / 1e4, rtol=1e-6)
    assert (result['img'][5, 6] == 1).all()
    np.testing.assert_allclose(result['sar'][0, :2], [[0, 0], [1, 0.5]], atol=1e-6)
    assert result['ori_shape'] == (24, 32) and result['mask'].dtype == np.uint8
    np.testing.assert_array_equal(result['mask'], cloud_shadow_mask(cloudy) != 0)
    published = LoadSentinel(vh_floor=PUBLISHED_VH_FLOOR)(dict(given))['sar']
    np.testing.assert_allclose(published[0, 1, 1], 1 - 16.25 / 35, rtol=1e-6)
    np.testing.assert_array_equal(published[..., 0], result['sar'][..., 0])


def test_optical_images_alone(sample):
    given = sample()
    del given['sar_path'], given['gt_path']
    result = LoadSentinel(keys=('img', ))(dict(given))
    assert 'sar' not in result and result['mask'].shape == (24, 32)
    with pytest.raises(ConfigError, match="wants 'sar', but the data set gives"):
        LoadSentinel(keys=('img', 'sar'))(dict(given))


def test_missing_pixels_are_filled_with_the_mean(sample):
    radar = np.full((24, 32, 2), -10, np.float32)
    radar[0, 0, 0], radar[1, 1, 1], radar[2, 2] = np.nan, -np.inf, -9999
    optical = np.full((24, 32, 13), 1000, np.uint16)
    optical[:2] = 0
    given = sample(sar=dict(pixels=radar, nodata=-9999), gt=dict(pixels=optical, nodata=0))
    result = LoadSentinel(mask=False)(dict(given))
    np.testing.assert_allclose(result['sar'][..., 0], 0.6, rtol=1e-6)
    np.testing.assert_allclose(result['gt'], 0.1, rtol=1e-6)
    # Zero is a value where the file does not call it nodata.
    result = LoadSentinel(mask=False)(dict(sample(gt=dict(pixels=optical))))
    assert (result['gt'][:2] == 0).all()


def empty(share: float) -> np.ndarray:
    values = pixels('s1', 0)
    values[:round(24 * share)] = np.nan
    return values


@pytest.mark.parametrize('changes, message', [
    (dict(img=dict(pixels=pixels('s2', 0)[..., :10])), r'img\.tif.* has 10 bands instead of 13'),
    (dict(gt=dict(pixels=pixels('s2', 0)[..., :12])), r"gt\.tif.* has 12 bands.*bands='l2a'"),
    (dict(sar=dict(pixels=pixels('s1', 0)[..., :1])), r'sar\.tif.* has 1 band instead of 2'),
    (dict(sar=dict(descriptions=('VH', 'VV'))), 'order VH, VV instead of VV, VH'),
    (dict(img=dict(descriptions=('B02', 'B01', *L1C[2:]))), 'order B2, B1, B3'),
    (dict(sar=dict(pixels=pixels('s1', 0, (24, 30)))), 'differ in size: 32x24 and 30x24'),
    (dict(sar=dict(crs='EPSG:32634')), 'coordinate systems EPSG:32633 and EPSG:32634'),
    (dict(gt=dict(transform=(10.0, 0.0, 500020.0, 0.0, -10.0, 4000000.0))), 'lie 2.0 pixels apart'),
    (dict(gt=dict(transform=(20.0, 0.0, 500000.0, 0.0, -20.0, 4000000.0))), 'lie 32.0 pixels apart'),
    (dict(sar=dict(pixels=empty(0.75))), '75% of the values have no data'),
    (dict(sar=dict(pixels=empty(1))), '100% of the values have no data'),
], ids=['bands', 'l2a', 'radar', 'order', 'order-optical', 'size', 'crs', 'place', 'scale', 'mostly-empty', 'empty'])
def test_each_fault_is_one_line(sample, changes, message):
    with pytest.raises(DataError, match=message) as error:
        LoadSentinel()(sample(**changes))
    assert '\n' not in str(error.value)


def test_small_shifts_and_missing_coordinates_pass(sample):
    LoadSentinel()(sample(gt=dict(transform=(10.0, 0.0, 500004.0, 0.0, -10.0, 4000000.0))))
    LoadSentinel()(sample(gt=dict(crs=None, transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))))
    LoadSentinel(check_grid=False)(sample(sar=dict(crs='EPSG:32634')))
    LoadSentinel(max_missing=0.8)(sample(sar=dict(pixels=empty(0.75))))
    with pytest.raises(DataError, match='no data'):
        LoadSentinel(max_missing=1)(sample(sar=dict(pixels=empty(1))))


def test_level_2a_gets_an_empty_b10(sample):
    twelve = {key: dict(pixels=np.delete(pixels('s2', 1), 10, axis=-1)) for key in ('img', 'gt')}
    result = LoadSentinel(bands='l2a')(sample(**twelve))
    assert result['img'].shape == (24, 32, 13) and not result['img'][..., 10].any()
    np.testing.assert_allclose(result['gt'][..., 11], twelve['gt']['pixels'][..., 10] / 1e4, rtol=1e-6)
    with pytest.raises(DataError, match="bands='l1c'"):
        LoadSentinel(bands='l2a')(sample())


@pytest.mark.parametrize('names, fits', [
    (L1C, True), ([f'Band {name[1:]}' for name in L1C], True), ([f'B{i:02d}' for i in range(1, 14)], False),
    (['a'] * 13, True), ([None] * 13, True), ([*L1C[:12], None], True),
])
def test_descriptions_of_bands(names, fits):
    raster = Raster(np.zeros((1, 1, 13)), None, None, None, tuple(names))
    if fits:
        check_bands(raster, L1C, 'x.tif')
    else:
        with pytest.raises(DataError, match='order'):
            check_bands(raster, L1C, 'x.tif')


@pytest.mark.parametrize('compress', ['deflate', None])
def test_files_that_cannot_be_read(sample, tmp_path, compress):
    import rasterio
    given = sample()
    path = Path(given['sar_path'])
    values = pixels('s1', 0, (256, 256))
    with rasterio.open(path, 'w', driver='GTiff', height=256, width=256, count=2, dtype='float32', crs=CRS,
                       transform=rasterio.Affine(*PLACE), compress=compress) as file:
        file.write(np.moveaxis(values, -1, 0))
    data = path.read_bytes()
    for content, message in ((data[:len(data) // 2], 'damaged'), (data[:6], 'damaged'), (b'no raster', 'damaged'),
                             (b'', 'empty')):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf'sar\.tif.*{message}') as error:
            read_raster(path)
        assert '\n' not in str(error.value)
    path.unlink()
    with pytest.raises(DataError, match='no such raster'):
        LoadSentinel()(given)


def test_without_rasterio_the_install_command_is_told(sample, monkeypatch):
    given = sample()
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(MissingToolboxError, match=r"'img\.tif' needs 'rasterio'.*pip install 'mmweather\[geo\]'"):
        LoadSentinel()(given)


@pytest.mark.parametrize('wrong', [dict(keys=('ir', )), dict(keys=()), dict(bands='l3'), dict(keys=('gt', )),
                                   dict(vh_floor=1.0), dict(max_missing=2)])
def test_wrong_arguments(wrong):
    with pytest.raises(ConfigError, match='LoadSentinel'):
        LoadSentinel(**wrong)


def test_crops_and_turns_move_every_sensor_and_the_mask(sample):
    keys = ('img', 'gt', 'sar', 'mask')
    loaded = LoadSentinel(keep_numbers=True)(sample())
    # A mark in one place of every array.
    for key in keys:
        loaded[key] = np.array(loaded[key])
        loaded[key][:] = 0
        loaded[key][9, 15] = 1
    for seed in range(8):
        np.random.seed(seed)
        moved = PairedDihedral(keys)(PairedCrop(keys, 20)({**loaded}))
        places = {key: tuple(map(int, np.argwhere(moved[key] if key == 'mask' else moved[key][..., 0])[0]))
                  for key in keys}
        assert len(set(places.values())) == 1, places


def test_clouds_of_the_crop_differ_from_the_crop_of_the_clouds(sample):
    from mmweather.mini.sets.satellite import cloudy_triplet
    cloudy = cloudy_triplet(0, 'ROIs1970_fall_139', 1)['s2_cloudy']
    whole = LoadSentinel(keys=('img', ), keep_numbers=True)(sample(img=dict(pixels=cloudy)))
    cropped = PairedCrop(('img', 'mask', 'numbers'), 128, random=False)({**whole})
    late = FindClouds()({**cropped})
    np.testing.assert_array_equal(late['mask'], cloud_shadow_mask(cloudy[64:192, 64:192]) != 0)
    assert late['mask'].shape == cropped['mask'].shape and (late['mask'] != cropped['mask']).any()
    with pytest.raises(ConfigError, match='keep_numbers'):
        FindClouds()({'img': cropped['img']})


def test_the_cache_returns_the_same_and_is_left_behind_by_workers(sample):
    given, loader = sample(), LoadSentinel(cache=True)
    first = loader(dict(given))
    loader.warm([given])
    Path(given['sar_path']).unlink()
    again = loader(dict(given))
    for key in ('img', 'gt', 'sar', 'mask'):
        np.testing.assert_array_equal(first[key], again[key])
    with pytest.raises(DataError, match='no such raster'):
        pickle.loads(pickle.dumps(loader))(dict(given))
    small = LoadSentinel(cache=True, cache_limit_mb=0)
    with pytest.raises(DataError):
        small(dict(given))


def test_real_patches_equal_the_published_preprocessing():
    root, golden = SHARED / 'data/sen12mscr_sample', SHARED / 'golden/aca_crnet/golden_sen12mscr_real.npz'
    if not root.is_dir() or not golden.is_file():
        pytest.skip('needs the sample of SEN12MS-CR and the goldens in ../shared')
    wanted = np.load(golden)
    for key in ('ROIs1970_fall_139_p839', 'ROIs2017_winter_112_p797'):
        paths = {f'{name}_path': str(root / folder / f'{key}.tif')
                 for name, folder in (('img', 's2_cloudy'), ('gt', 's2_cloudfree'), ('sar', 's1'))}
        result = LoadSentinel(vh_floor=PUBLISHED_VH_FLOOR, keep_numbers=True)(paths)
        np.testing.assert_array_equal(result['mask'], wanted[f'{key}_full_mask'] != 0)
        centre = FindClouds()(PairedCrop(('numbers', ), 128, random=False)({**result}))['mask']
        np.testing.assert_array_equal(centre, wanted[f'{key}_centre128_mask'] != 0)
        network = np.concatenate([result['sar'] * 2, result['img'] * 5], -1)[64:72, 64:72].transpose(2, 0, 1)
        np.testing.assert_allclose(network, wanted[f'{key}_input_corner'], rtol=0, atol=1e-6)
        np.testing.assert_allclose((result['gt'] * 5)[64:72, 64:72].transpose(2, 0, 1),
                                   wanted[f'{key}_target_corner'], rtol=0, atol=1e-6)
