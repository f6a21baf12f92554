"""Loading visible and thermal images as one, label maps with a list of ids, and what goes wrong with either."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmseg.structures import SegDataSample
from PIL import Image

from mmweather.datasets.transforms.rgb_thermal import (
    CropWindow,
    DropModality,
    EvaluateAtThisSize,
    LoadLabelMap,
    LoadRGBThermal,
    ScaleThermal,
)
from mmweather.errors import ConfigError, DataError
from mmweather.registry import MODELS, TRANSFORMS
from mmweather.utils.thermal import read_thermal


def write(path, array):
    if path.suffix == '.npy':
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return str(path)


@pytest.fixture
def pair(tmp_path):
    """A sample of 6 x 8 pixels whose thermal counts are 21000 + 100 * (number of the pixel)."""
    rng = np.random.default_rng(0)
    return {
        'img_path': write(tmp_path / 'v.png', rng.integers(0, 256, (6, 8, 3), np.uint8)),
        'thermal_path': write(tmp_path / 't.png', (21000 + 100 * np.arange(48).reshape(6, 8)).astype(np.uint16)),
        'seg_map_path': write(tmp_path / 'l.png', np.arange(48).reshape(6, 8).astype(np.uint8) % 3),
        'label_map': {0: 4, 1: 255, 2: 7},
    }


def test_counts_survive_loading_and_are_clipped_after_the_geometry(pair):
    results = LoadRGBThermal(depth=16)(dict(pair))
    image = results['img']
    assert image.shape == (6, 8, 4) and image.dtype == np.float32 and results['ori_shape'] == (6, 8)
    assert (image[..., :3] == np.asarray(Image.open(pair['img_path']))).all()
    assert image[0, 0, 3] == 21000 and image[5, 7, 3] == 25700
    preprocessor = MODELS.build(dict(type='mmweather.RGBThermalPreprocessor'))
    sample = SegDataSample(metainfo=dict(img_path=pair['img_path']))
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    out = preprocessor(dict(inputs=[tensor], data_samples=[sample]))['inputs'][0]
    assert out[3].min() == -1 and out[3].max() == 1
    assert out[3, 2, 0].item() == pytest.approx((21000 + 1600 - 23400) / 1600)
    torch.testing.assert_close(out[:3], tensor[:3] / 127.5 - 1)
    assert tensor[3, 0, 0] == 21000  # the batch is not written into


@pytest.mark.parametrize(('modalities', 'channels'), [(('rgb', ), 3), (('thermal', ), 1)])
def test_one_data_set_serves_segmentors_of_fewer_channels(modalities, channels):
    preprocessor = MODELS.build(dict(type='mmweather.RGBThermalPreprocessor', modalities=modalities, size_divisor=8))
    image = torch.full((4, 5, 6), 23400.)
    data = preprocessor(dict(inputs=[image], data_samples=[SegDataSample()]), training=True)
    assert data['inputs'].shape == (1, channels, 8, 8)
    assert (data['inputs'][0, :, 0, 0] == 0).all() == (channels == 1)


def test_mistakes_of_the_preprocessor():
    with pytest.raises(ConfigError, match='must rise'):
        MODELS.build(dict(type='mmweather.RGBThermalPreprocessor', thermal_range=(5, 5)))
    with pytest.raises(ConfigError, match='4 values'):
        MODELS.build(dict(type='mmweather.RGBThermalPreprocessor', mean=(1, 2, 3)))
    with pytest.raises(ConfigError, match="got .'ir',."):
        MODELS.build(dict(type='mmweather.RGBThermalPreprocessor', modalities=('ir', )))
    preprocessor = MODELS.build(dict(type='mmweather.RGBThermalPreprocessor'))
    with pytest.raises(DataError, match="'x.png' has shape .3, 5, 6.; four channels"):
        preprocessor(dict(inputs=[torch.zeros(3, 5, 6)], data_samples=[SegDataSample(metainfo=dict(img_path='x.png'))]))


def test_transforms_of_mmseg_move_all_four_channels_and_the_label(pair):
    steps = [dict(type='mmweather.LoadRGBThermal'), dict(type='mmweather.LoadLabelMap'),
             dict(type='mmseg.RandomFlip', prob=1.), dict(type='mmseg.RandomCrop', crop_size=(4, 6)),
             dict(type='mmseg.RandomRotate', prob=1., degree=(90, 90), pad_val=(1, 2, 3, 21800), seg_pad_val=255),
             dict(type='mmseg.PackSegInputs', meta_keys=('img_path', 'thermal_path', 'domain'))]
    pair.update(seg_fields=[], domain='night')
    packed = Compose([TRANSFORMS.build(step) for step in steps])(pair)
    image, label = packed['inputs'], packed['data_samples'].gt_sem_seg.data[0]
    assert image.shape == (4, 4, 6) and label.shape == (4, 6) and packed['data_samples'].domain == 'night'
    rim = label == 255
    inside = (image[3] != 21800) & (((image[3] - 21000) / 100) % 1 == 0)
    # A quarter turn of 4 x 6 leaves two columns empty; where counts are whole, they say which label belongs there.
    assert (image[:, rim & (image[3] == 21800)] == torch.tensor([1., 2., 3., 21800.])[:, None]).all()
    wanted = torch.tensor([4, 255, 7])[((image[3][inside] - 21000) / 100).long() % 3]
    assert inside.sum() >= 8 and (label[inside] == wanted).float().mean() > 0.9


def test_colour_changes_leave_the_thermal_image_alone(pair):
    plain = LoadRGBThermal()(dict(pair))['img']
    jitter = dict(type='mmseg.PhotoMetricDistortion', brightness_delta=60)
    np.random.seed(1)
    changed = LoadRGBThermal(visible_transforms=[jitter])(dict(pair))['img']
    assert (changed[..., 3] == plain[..., 3]).all() and (changed[..., :3] != plain[..., :3]).any()


def test_four_channels_in_one_file(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 6, 4), np.uint8)
    path = write(tmp_path / 'm.png', array)
    image = LoadRGBThermal(depth=8)({'img_path': path, 'thermal_path': path})['img']
    assert (image == array).all()
    with pytest.raises(DataError, match='depth 8 or None'):
        LoadRGBThermal(depth=16)({'img_path': path, 'thermal_path': path})
    path = write(tmp_path / 'three.png', array[..., :3])
    with pytest.raises(DataError, match='must hold four channels'):
        LoadRGBThermal()({'img_path': path, 'thermal_path': path})


THERMAL = {
    'gone.png': (None, "no such thermal image: '.*gone.png'.*missing partner"),
    'eight.png': (np.zeros((6, 8), np.uint8), 'has 8 bits a value, 16 are wanted'),
    'colour.png': (np.arange(144, dtype=np.uint8).reshape(6, 8, 3), 'colour picture'),
    'nan.npy': (np.full((6, 8), np.nan, np.float32), '48 NaN or infinite values'),
    'infinite.tiff': (np.full((6, 8), np.inf, np.float32), 'NaN or infinite'),
    'cube.npy': (np.zeros((6, 8, 2), np.float32), r'shape \(6, 8, 2\)'),
    'text.npy': (np.array([['a']]), 'store one channel'),
}


@pytest.mark.parametrize('name', THERMAL)
def test_bad_thermal_images_are_told_in_one_line(tmp_path, pair, name):
    array, message = THERMAL[name]
    path = tmp_path / name
    if array is not None:
        write(path, array)
    with pytest.raises(DataError, match=message) as caught:
        LoadRGBThermal(depth=16 if name == 'eight.png' else None)(dict(pair, thermal_path=str(path)))
    assert name in str(caught.value) and '\n' not in str(caught.value)


def test_a_damaged_and_a_pickled_thermal_file(tmp_path):
    path = tmp_path / 'cut.png'
    write(path, np.zeros((64, 64), np.uint16) + np.arange(64, dtype=np.uint16))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match='cut.png'):
        read_thermal(path)
    np.save(tmp_path / 'object.npy', np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(DataError, match='object.npy'):
        read_thermal(tmp_path / 'object.npy')


@pytest.mark.parametrize('array', [np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(12, dtype=np.uint16).reshape(
    3, 4) * 5000, np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)])
def test_every_depth_is_read_as_stored(tmp_path, array):
    suffix = {'uint8': '.png', 'uint16': '.png', 'float32': '.tiff'}[array.dtype.name]
    found = read_thermal(write(tmp_path / f't{suffix}', array), depth=8 * array.itemsize)
    assert found.dtype == np.float32 and (found == array).all()
    assert (read_thermal(write(tmp_path / 't.npy', array)) == array).all()


def test_sizes_must_agree(tmp_path, pair):
    other = write(tmp_path / 'other.png', np.zeros((6, 9), np.uint16))
    with pytest.raises(DataError, match=r'is 8x6 but its thermal partner .*other.png.* is 9x6'):
        LoadRGBThermal()(dict(pair, thermal_path=other))
    label = write(tmp_path / 'label.npy', np.zeros((5, 8), np.uint8))
    with pytest.raises(DataError, match=r'label.npy.* is 8x5 but its image is 8x6'):
        LoadLabelMap()(dict(LoadRGBThermal()(dict(pair)), seg_map_path=label))


def test_what_the_data_set_does_not_give(pair):
    with pytest.raises(ConfigError, match="wants 'thermal_path'"):
        LoadRGBThermal()({'img_path': pair['img_path']})
    with pytest.raises(ConfigError, match='8, 16, 32 or None, got 12'):
        LoadRGBThermal(depth=12)


def test_ids_are_translated_and_strange_ones_refused(tmp_path, pair):
    results = LoadLabelMap()(dict(pair))
    assert results['gt_seg_map'].dtype == np.uint8 and results['seg_fields'] == ['gt_seg_map']
    assert results['gt_seg_map'][0, :3].tolist() == [4, 255, 7]
    strange = write(tmp_path / 'strange.npy', np.array([[0, 2, 9, 200]]))
    with pytest.raises(DataError, match='strange.npy.* holds 9, 200, which the data set does not list .ids 0 to 2.'):
        LoadLabelMap()(dict(pair, seg_map_path=strange))
    with pytest.raises(DataError, match='holds ids from -1 to 2'):
        LoadLabelMap()({'seg_map_path': write(tmp_path / 'minus.npy', np.array([[-1, 2]]))})
    with pytest.raises(DataError, match='one channel of class ids'):
        LoadLabelMap()({'seg_map_path': write(tmp_path / 'half.npy', np.array([[0.5, 2]]))})
    with pytest.raises(DataError, match='no such label map'):
        LoadLabelMap()({'seg_map_path': str(tmp_path / 'gone.png')})


def test_a_palette_image_gives_its_ids_and_no_label_is_no_error(tmp_path):
    picture = Image.fromarray(np.array([[0, 2], [1, 2]], np.uint8), mode='P')
    picture.putpalette([9, 9, 9, 1, 2, 3, 200, 100, 50])
    picture.save(tmp_path / 'p.png')
    assert LoadLabelMap()({'seg_map_path': str(tmp_path / 'p.png')})['gt_seg_map'].tolist() == [[0, 2], [1, 2]]
    assert LoadLabelMap()({'img_path': 'x'}) == {'img_path': 'x'}


def test_crop_window_and_size(pair):
    results = LoadLabelMap()(LoadRGBThermal()(dict(pair)))
    cut = EvaluateAtThisSize()(CropWindow(1, 2, (4, 5))(results))
    assert cut['img'].shape == (4, 5, 4) and cut['gt_seg_map'].shape == (4, 5)
    assert cut['img'][0, 0, 3] == 21000 + 100 * 10 and cut['ori_shape'] == (4, 5) == cut['img_shape']
    with pytest.raises(DataError, match='rows 1 to 5 and columns 2 to 7 do not lie in .* of 5x4'):
        CropWindow(1, 2, (4, 5))(cut)


def test_dropping_and_scaling_touch_one_modality(pair):
    plain = LoadRGBThermal()(dict(pair))['img']
    seen = set()
    for seed in range(12):
        np.random.seed(seed)
        image = DropModality(prob=1., height=(2, 3), width=(2, 4))({'img': plain})['img']
        changed = (image != plain).any((0, 1))
        assert changed[:3].any() != changed[3]
        seen.add(bool(changed[3]))
        where = (image != plain).any(-1)
        assert where.sum() <= 3 * 4 and np.isin(image[where][:, 3 if changed[3] else 0], (23400, 127.5)).all()
    assert seen == {False, True}
    np.random.seed(0)
    image = ScaleThermal(prob=1.)({'img': plain})['img']
    assert (image[..., :3] == plain[..., :3]).all()
    spread = (plain[..., 3].clip(21800, 25000) - 23400)
    factor = (image[..., 3] - 23400)[spread != 0] / spread[spread != 0]
    assert factor.min() >= 0.1 and np.ptp(factor) < 1e-3
    assert (DropModality(prob=0.)({'img': plain})['img'] == plain).all()
