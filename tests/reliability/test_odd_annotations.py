"""Odd annotations are counted and named, broken files are one line, and nothing half made stays behind."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hostile_files import picture
from PIL import Image

from mmweather.datasets.tools.fog_set import read_depth
from mmweather.datasets.tools.fog_sources import find_sources
from mmweather.errors import DataError
from mmweather.utils.coco import read_coco
from mmweather.utils.files import finite_number, parse_json, read_npy, stays_below
from mmweather.utils.images import read_image
from mmweather.utils.thermal import read_thermal
from mmweather.utils.voc import VOCObject, read_voc

GOOD = dict(id=1, image_id=1, category_id=1, bbox=[1, 2, 10, 8], iscrowd=0)


def _coco(path, annotations=(), images=(), categories=(), raw=None):
    content = dict(images=[dict(id=1, file_name='a.png'), *images], annotations=[GOOD, *annotations],
                   categories=[dict(id=1, name='car'), *categories])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if raw is None else json.dumps(content).replace('"RAW"', raw))
    return path


@pytest.mark.parametrize('raw, text', [
    ('NaN', 'NaN is not a JSON number'), ('Infinity', 'not a JSON number'), ('-Infinity', 'not a JSON number'),
    ('1e400', '1e400 is not a JSON number'), ('[' * 200_000, 'nested too deeply'), ('"\\ud800', 'cannot be read'),
])
def test_json_that_is_none_is_one_line(raw, text, tmp_path):
    path = _coco(tmp_path / 'boxes.json', [dict(GOOD, id=2, bbox=[1, 2, 'RAW', 4])], raw=raw)
    with pytest.raises(DataError, match=text) as caught:
        read_coco(path)
    assert 'boxes.json' in str(caught.value) and '\n' not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize('odd, kind', [
    (dict(bbox=[]), 'without a box'), (dict(bbox=None), 'without a box'),
    (dict(bbox=[1, 2, 3]), 'other than four finite'),
    (dict(bbox=[1, 2, -3, 4]), 'without a positive'), (dict(bbox=[1, 2, 3, 0]), 'without a positive'),
    (dict(bbox='wide'), 'other than four finite'), (dict(bbox={'x': 1}), 'other than four finite'),
    (dict(bbox=[1, 2, True, 4]), 'other than four finite'), (dict(bbox=[1e308, 0, 1e308, 4]), 'other than four finite'),
    (dict(bbox=[10**400, 0, 1, 4]), 'other than four finite'), (dict(bbox=[[1], 0, 1, 4]), 'other than four finite'),
    (dict(image_id=99), 'unknown image'), (dict(image_id=[1]), 'without an image'),
    (dict(image_id=None), 'without an image'), (dict(category_id=7), 'unknown category'),
    (dict(category_id={}), 'unknown category'),
])
def test_odd_annotations_are_left_out_and_counted_by_their_ids(odd, kind, tmp_path):
    path = _coco(tmp_path / 'boxes.json', [dict(GOOD, id=41, **odd), dict(GOOD, id=42, **odd)])
    found = read_coco(path)
    assert found.objects == {1: [VOCObject('car', (1, 2, 11, 10))]}
    line, = found.odd.lines()
    assert line.startswith('2 ') and kind in line and line.endswith(': 41, 42')


def test_a_box_is_taken_from_polygons_and_a_crowd_from_what_is_one(tmp_path):
    polygons = [[3, 4, 9, 4, 6, 10], [5, 2, 6, 3, 7, 2]]
    annotations = [dict(id=5, image_id=1, category_id=1, bbox=[], segmentation=polygons),
                   dict(GOOD, id=6, iscrowd='0'), dict(GOOD, id=7, iscrowd=1), [], 3]
    found = read_coco(_coco(tmp_path / 'boxes.json', annotations))
    assert [(one.box, one.difficult) for one in found.objects[1][1:]] == [
        ((3, 2, 9, 10), False), ((1, 2, 11, 10), False), ((1, 2, 11, 10), True)]
    assert list(found.odd.lines()) == [
        '1 box taken from the polygons of the segmentation: 5',
        '1 value of iscrowd other than 0 and 1 taken as 0: 6',
        '2 annotations without an image left out: number 5, number 6']


def test_ids_that_stand_for_two_things(tmp_path):
    path = _coco(tmp_path / 'boxes.json', images=[dict(id=1, file_name='b.png'), dict(id=2, file_name='c.png')],
                 annotations=[dict(GOOD, id=9, image_id=2)])
    found = read_coco(path)
    assert found.images == [(2, 'c.png')] and list(found.objects) == [2]
    assert '1 image id of several files left out: 1' in found.odd.lines()
    path = _coco(tmp_path / 'names.json', categories=[dict(id=1, name='bus')])
    with pytest.raises(DataError, match="category id 1 stands for 'car' and 'bus'"):
        read_coco(path)


@pytest.mark.parametrize('name', [
    '../secret.png', '/etc/secret.png', 'a/../../secret.png', '..\\secret.png', '', 'a\0b'])
def test_names_that_lead_out_of_the_folder_are_refused(name, tmp_path):
    picture(tmp_path / 'secret.png')
    picture(tmp_path / 'set/images/a.png')
    path = _coco(tmp_path / 'set/boxes.json', images=[dict(id=2, file_name=name)], annotations=[dict(GOOD, image_id=2)])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        sources, missing = find_sources(path)
    assert [source.name for source in sources] == ['a.png'] and not missing
    assert any('outside the folder of the images' in str(one.message) for one in said)
    assert stays_below('sub/a.png') and stays_below('..a.png')


def _xml(path, difficult='<difficult>0</difficult>', head='<?xml version="1.0"?>'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head}<annotation><object><name>car</name>{difficult}<bndbox><xmin>1</xmin><ymin>2</ymin>'
                    '<xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>')
    return path


@pytest.mark.parametrize('text, difficult, odd', [
    ('0', False, 0), ('1', True, 0), ('', False, 0), ('Unspecified', False, 1), ('false', False, 1), ('2', False, 1),
    ('9' * 5000, False, 1)])
def test_difficult_is_0_where_it_is_not_1(text, difficult, odd, tmp_path):
    found = read_voc(_xml(tmp_path / 'a.xml', f'<difficult>{text}</difficult>'))
    assert found.objects[0].difficult is difficult and len(found.odd) == odd
    assert all(one.startswith('object 1: ' + text[:20]) for one in found.odd)


@pytest.mark.parametrize('encoding', ['nonsense', 'shift_jis', 'utf-32', 'base64', 'idna'])
def test_xml_of_unknown_encoding_is_one_line(encoding, tmp_path):
    path = _xml(tmp_path / 'a.xml', head=f'<?xml version="1.0" encoding="{encoding}"?>')
    try:
        found = read_voc(path)
    except DataError as error:
        assert 'a.xml' in str(error) and '\n' not in str(error)
    else:
        assert found.objects[0].name == 'car'


def test_odd_voc_objects_are_reported_by_the_data_set_and_by_prepare(tmp_path, capsys):
    from mmengine.logging import MMLogger

    from mmweather.cli import main
    for index in range(4):
        picture(tmp_path / f'voc/JPEGImages/{index}.png', seed=index)
        _xml(tmp_path / f'voc/Annotations/{index}.xml', '<difficult>Unspecified</difficult>')
    assert main(['prepare', 'voc-fog', str(tmp_path / 'voc'), str(tmp_path / 'fog'), '--workers', '1']) == 0
    error = capsys.readouterr().err
    assert '4 values of <difficult> other than 0 and 1 taken as 0: 0.xml, object 1: Unspecified' in error
    pytest.importorskip('mmdet')
    from mmweather.datasets.voc_fog import VOCFog
    MMLogger.get_instance('odd_annotations', log_file=str(tmp_path / 'log.txt'))
    dataset = VOCFog(str(tmp_path / 'fog'), metainfo=dict(classes=('car', )))
    assert [one['ignore_flag'] for one in dataset.get_data_info(0)['instances']] == [0]
    assert '3 objects with <difficult> other than 0 or 1' in (tmp_path / 'log.txt').read_text()


def test_a_broken_file_leaves_no_folder(tmp_path, capsys):
    from mmweather.cli import main
    for index in range(4):
        picture(tmp_path / f'set/images/{index}.png', seed=index)
    _coco(tmp_path / 'set/boxes.json', [dict(GOOD, bbox=['RAW', 2, 3, 4])], raw='NaN')
    with pytest.raises(SystemExit) as stopped:
        main(['prepare', 'voc-fog', str(tmp_path / 'set/boxes.json'), str(tmp_path / 'out')])
    assert stopped.value.code == 2 and capsys.readouterr().err.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_quarantine_nested_deep_is_one_line(tmp_path):
    from mmweather.datasets.paired import read_quarantine
    (tmp_path / 'q.json').write_text('[' * 200_000)
    with pytest.raises(DataError, match='nested too deeply'):
        read_quarantine(tmp_path / 'q.json')


def test_numbers_and_json_as_the_standard_has_them():
    assert finite_number('1e3') == 1000 and finite_number(-2) == -2
    for value in (True, None, 'nan', '-inf', 'x', [], 10**400, float('inf'), b'1'):
        with pytest.raises(ValueError):
            finite_number(value)
    assert parse_json('{"a": [1.5e3, -2]}') == {'a': [1500.0, -2]}
    for text in ('NaN', '[Infinity]', '1e999', '{"a": -1e999}', ''):
        with pytest.raises(ValueError):
            parse_json(text)


# Arrays and integer pictures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('mode', [np.int32, np.float32])
def test_pictures_of_32_bits_are_refused_not_wrapped(mode, tmp_path):
    path = tmp_path / 'deep.tif'
    Image.fromarray(np.full((5, 6), 70000, mode)).save(path)
    with pytest.raises(DataError, match='32 bits'):
        read_image(path)
    assert (read_thermal(path) == 70000).all()


def test_turned_16_bit_pictures_still_become_8_bits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    array = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(array).save(tmp_path / 'a.png', exif=exif)
    assert np.array_equal(read_image(tmp_path / 'a.png')[..., 0], np.rot90((array.astype(int) + 128) // 257, -1))


def _npy(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize('array', [
    np.full((3, 4), 1 + 2j), np.full((3, 4), 1e30), np.full((3, 4), 2**40), np.full((3, 4), np.nan),
    np.zeros((0, 4)), np.zeros((2, 3, 4)), np.full((3, 4), 'a'), np.array([[{}]], object)])
def test_arrays_that_are_no_counts_are_refused(array, tmp_path):
    with pytest.raises(DataError, match='a.npy'):
        read_thermal(_npy(tmp_path / 'a.npy', array))
    with pytest.raises(DataError, match='a.npy'):
        read_depth(_npy(tmp_path / 'a.npy', array if array.dtype.kind not in 'iu' else array.astype(complex)))


def test_depth_far_beyond_the_horizon_is_no_measurement(tmp_path):
    depth = np.array([[5., 1e30], [np.inf, 20.]])
    assert read_depth(_npy(tmp_path / 'a.npy', depth)).tolist() == [[5, 20], [20, 20]]


def test_archives_and_cut_arrays_are_named(tmp_path):
    with (tmp_path / 'a.npy').open('wb') as file:
        np.savez(file, x=np.zeros((2, 2)))
    with pytest.raises(ValueError, match='npz'):
        read_npy(tmp_path / 'a.npy')
    for read in (read_thermal, read_depth):
        with pytest.raises(DataError, match='npz'):
            read(tmp_path / 'a.npy')
    data = _npy(tmp_path / 'b.npy', np.arange(6.).reshape(2, 3)).read_bytes()
    assert read_npy(tmp_path / 'b.npy').tolist() == [[0, 1, 2], [3, 4, 5]]
    (tmp_path / 'b.npy').write_bytes(data[:-8])
    with pytest.raises(ValueError, match='cut short'):
        read_npy(tmp_path / 'b.npy')
    # A header may claim terabytes.
    (tmp_path / 'b.npy').write_bytes(data.replace(b'(2, 3)', b'(9000000000000, 3)'.replace(b' ', b'')[:6]))
    with pytest.raises(ValueError):
        read_npy(tmp_path / 'b.npy')


def test_an_empty_label_map_is_one_line(tmp_path):
    pytest.importorskip('mmseg')
    from mmweather.datasets.transforms.rgb_thermal import LoadLabelMap
    for array in (np.zeros((0, 5), np.uint8), np.full((2, 2), 1e300), np.full((2, 2), np.nan)):
        with pytest.raises(DataError, match='a.npy'):
            LoadLabelMap().transform({'seg_map_path': str(_npy(tmp_path / 'a.npy', array))})


def test_box_lists_with_endless_numbers_are_one_line(tmp_path):
    pytest.importorskip('mmdet')
    from mmweather.datasets.paired_det import BoxListDataset
    picture(tmp_path / 'a.png')
    for line in (f"a.png 1,2,9,8,{'9' * 5000}", f"a.png 1,2,{'9' * 400},8,0"):
        (tmp_path / 'list.txt').write_text(line)
        with pytest.raises(DataError, match='line 1') as caught:
            BoxListDataset(ann_file='list.txt', data_root=str(tmp_path))
        assert len(str(caught.value)) < 400


def test_values_without_data_are_logged_once(tmp_path, monkeypatch):
    pytest.importorskip('rasterio')
    from mmweather.datasets.transforms import sentinel_loading
    from mmweather.utils.rasters import write_geotiff
    said = []
    monkeypatch.setattr(sentinel_loading, 'print_log', lambda line, *_: said.append(line))
    samples = []
    for index in range(3):
        pixels = np.full((10, 10, 2), -10, np.float32)
        pixels[:index, :, 0] = np.nan
        path = write_geotiff(tmp_path / f'{index}.tif', pixels, None, (1, 0, 0, 0, -1, 0))
        samples.append({'sar_path': str(path)})
    load = sentinel_loading.LoadSentinel(keys=('sar', ), mask=False)
    for sample in samples:
        assert np.isfinite(load.transform(dict(sample))['sar']).all()
    assert len(said) == 1 and '1.tif' in said[0] and '5.00%' in said[0]
    said.clear()
    sentinel_loading.LoadSentinel(keys=('sar', ), mask=False, cache=True).warm(samples)
    assert len(said) == 1 and '2 of 3 files' in said[0] and '7.50%' in said[0]
