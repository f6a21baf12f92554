"""Thermal channels of any camera on one scale, drawn ones, and the labels and figures of real pairs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from PIL import Image

from mmweather.datasets.street_pairs import StreetPairs
from mmweather.datasets.transforms.rgb_thermal import LoadLabelMap, LoadRGBThermal
from mmweather.datasets.transforms.thermal_variety import DrawThermal, StandardizeThermal, VaryThermal
from mmweather.errors import ConfigError, DataError
from mmweather.utils.seeding import seeded

TOOLS = Path(__file__).parents[2] / 'tools'
RANGES = {0: (-1., 0.), 9: (4., 8.)}


def packed(thermal: np.ndarray) -> dict:
    visible = np.random.default_rng(1).integers(0, 256, (*thermal.shape, 3)).astype(np.float32)
    return {'img': np.dstack((visible, thermal.astype(np.float32)))}


def person(height: int = 60, width: int = 80) -> np.ndarray:
    """A label map: sky, and one upright person."""
    label = np.zeros((height, width), np.uint8)
    label[20:50, 30:40] = 9
    return label


def test_cameras_of_any_depth_give_one_standard_channel():
    scene = np.random.default_rng(0).integers(0, 200, (20, 30))
    first, second = (StandardizeThermal()(packed(counts))['img'] for counts in (scene, 7000 + 40 * scene))
    assert np.allclose(first, second, atol=1e-3)
    assert abs(first[..., 3].mean()) < 1e-4 and abs(first[..., 3].std() - 1) < 1e-4
    assert np.array_equal(first[..., :3], packed(scene)['img'][..., :3])
    assert (StandardizeThermal()(packed(np.full((4, 5), 300)))['img'][..., 3] == 0).all()


def test_drawn_persons_are_hot_and_the_visible_image_stays():
    label = person()
    contrasts = []
    for seed in range(20):
        sample = {**packed(np.zeros_like(label)), 'gt_seg_map': label}
        before = sample['img'][..., :3].copy()
        with seeded(seed):
            drawn = DrawThermal(RANGES, hot=(9, ), spots=0, lukewarm=0)(sample)['img']
        assert drawn.dtype == np.float32 and np.array_equal(drawn[..., :3], before)
        contrasts.append(float(drawn[25:45, 33:37, 3].mean() - drawn[:15, :, 3].mean()))
    assert min(contrasts) > 2 and np.std(contrasts) > 0.3, 'hot each time, and never the same'


def test_spots_and_parts_are_drawn_where_they_belong():
    label = person()
    label[:, 60:] = 8

    def heat(**options) -> np.ndarray:
        with seeded(3):
            return DrawThermal({**RANGES, 8: (0., 0.)}, hot=(9, ), lukewarm=0, **options)(
                {**packed(np.zeros_like(label)), 'gt_seg_map': label})['img'][..., 3]

    assert heat(parts=(8, ), spots=0)[:, 63:].max() > heat(spots=0)[:, 63:].max() + 0.3
    with pytest.raises(ConfigError, match=r'ranges\[3\]'):
        DrawThermal({3: (2., 1.)}, hot=())


def test_variety_changes_the_thermal_channel_alone():
    given = StandardizeThermal()(packed(np.random.default_rng(0).integers(0, 200, (20, 30))))['img']
    results = []
    for seed in (1, 1, 2):
        with seeded(seed):
            results.append(VaryThermal()({'img': given.copy()})['img'])
    assert np.array_equal(results[0], results[1]) and not np.array_equal(results[0][..., 3], results[2][..., 3])
    assert all(np.array_equal(result[..., :3], given[..., :3]) for result in results)
    with pytest.raises(ConfigError, match='gain'):
        VaryThermal(gain=(0., 1.))


@pytest.fixture
def root(tmp_path):
    for folder, array in (('vi', np.full((60, 80, 3), 9, np.uint8)), ('ir', (person() * 20).astype(np.uint8)),
                          ('labels', np.where(person() == 9, 9, 11).astype(np.uint8))):
        (tmp_path / folder).mkdir()
        for name in ('1N', '2D'):
            Image.fromarray(array).save(tmp_path / folder / f'{name}.png')
    return tmp_path


def test_street_pairs_with_and_without_thermal(root):
    load = Compose([LoadRGBThermal(missing='zeros'), LoadLabelMap()])
    both, alone = (load(StreetPairs(str(root), thermal=thermal, stems=['2D']).get_data_info(0))
                   for thermal in ('ir', None))
    assert both['img'][30, 35].tolist() == [9, 9, 9, 180] and alone['img'][30, 35].tolist() == [9, 9, 9, 0]
    assert np.unique(both['gt_seg_map']).tolist() == [9, 255], '11 is ignored'
    assert len(StreetPairs(str(root), labels=None)) == 2 and 'seg_map_path' not in StreetPairs(
        str(root), labels=None).get_data_info(0)
    (root / 'ir' / '1N.png').unlink()
    with pytest.raises(DataError, match='lacks 1 of the images: 1N'):
        StreetPairs(str(root))
    with pytest.raises(ConfigError, match='thermal_path'):
        LoadRGBThermal()({'img_path': str(root / 'vi' / '1N.png')})
    with pytest.raises(ConfigError, match='missing'):
        LoadRGBThermal(missing='ones')


def test_hot_upright_shapes_become_persons(root, capsys):
    tool = runpy.run_path(str(TOOLS / 'dataset_converters' / 'hot_labels.py'))
    thermal = (person() * 20).astype(np.uint8)
    thermal[5:10, 50:75] = 180  # a hot roof
    under = np.full(thermal.shape, 3, np.uint8)
    under[52:58, 2:6] = 9  # the teacher sees a person who is cold
    labels = tool['label'](thermal, under)
    assert (labels[22:48, 32:38] == 9).all() and (labels[5:10, 50:75] == 255).all()
    assert (labels[52:58, 2:6] == 255).all() and labels[55, 60] == 3 and labels[19, 35] == 255
    tool['main']([str(root / 'ir'), str(root / 'hot'), '--stems', '1N'])
    with Image.open(root / 'hot' / '1N.png') as image:
        assert np.unique(np.asarray(image)).tolist() == [9, 255]
    with pytest.raises(SystemExit):
        tool['main']([str(root / 'ir'), str(root / 'hot'), '--stems', '9N'])
    assert "'9N' is not in" in capsys.readouterr().err


def test_figures_of_persons_in_boxes(root, capsys):
    tool = runpy.run_path(str(TOOLS / 'quality' / 'thermal.py'))
    (root / 'boxes').mkdir()
    for name in ('1N', '2D'):  # one box on the person, one on nothing
        (root / 'boxes' / f'{name}.txt').write_text('0 0.4375 0.5833 0.125 0.5\n0 0.9 0.5 0.1 0.2\n2 0.1 0.1 0.1 0.1\n')
    masks = root / 'masks'
    masks.mkdir()
    (masks / 'legend.json').write_text(json.dumps({'classes': [{'number': 9, 'name': 'person', 'colour': [1, 2, 3]}]}))
    for name in ('1N', '2D'):
        Image.fromarray(person() if name == '1N' else np.full((60, 80), 9, np.uint8)).save(masks / f'{name}_labels.png')
    tool['main']([str(root), str(root / 'boxes'), f'ours={masks}'])
    rows = capsys.readouterr().out.splitlines()
    assert '| threshold | person by night | 1 of 2 | 1.00 | 0.67 |' in rows
    assert '| ours | person by night | 1 of 2 | 1.00 | 0.67 |' in rows
    everywhere, = (row for row in rows if row.startswith('| ours | person by day | 2 of 2 | 0.'))
    assert float(everywhere.split('|')[4]) < 0.5
    assert '| ours | car by day | 0 of 1 | 0.00 | 0.00 |' in rows
    (root / 'boxes' / '1N.txt').write_text('nonsense\n')
    with pytest.raises(SystemExit):
        tool['main']([str(root), str(root / 'boxes')])
    assert 'correct the line' in capsys.readouterr().err
