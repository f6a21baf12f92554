"""Freiburg Thermal, MF and translated labels in their layouts; label maps; pairs of domains."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from PIL import Image

from mmweather.datasets import label_maps
from mmweather.datasets.freiburg_thermal import FreiburgThermal
from mmweather.datasets.rgb_thermal_sets import (
    MFDataset,
    MFTeacherLabels,
    RGBThermalPairs,
    TranslatedLabels,
)
from mmweather.datasets.samplers import DomainPairSampler
from mmweather.errors import ConfigError, DataError
from mmweather.mini.scene import LABELS
from mmweather.mini.sets.freiburg import LABEL_IDS
from mmweather.registry import DATASETS


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'')


@pytest.fixture
def root(tmp_path):
    """12 day and 6 night frames in a folder whose own name says night; two test frames, one stamp shared."""
    root = tmp_path / 'night_drives'
    for domain, count in (('day', 12), ('night', 6)):
        drive = root / f'train/seq_03_{domain}/02'
        for i in range(count):
            for folder in ('fl_rgb', 'fl_ir_aligned', *(('fl_rgb_labels', ) if domain == 'day' else ())):
                touch(drive / folder / f'{folder}_{100 + i}_{7 if domain == "day" else 8}.png')
        for folder, name in (('ImagesRGB', '105_7_rgb.png'), ('ImagesIR', '105_7_ir.png'),
                             ('SegmentationClass', '105_7.npy')):
            touch(root / 'test' / domain / folder / name)
    return root


def keys(dataset):
    return [dataset.get_data_info(i)['sample_key'] for i in range(len(dataset))]


def test_frames_are_paired_by_name_and_know_their_domain(root):
    dataset = FreiburgThermal(str(root), drop_test_frames=False)
    info = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [item['domain'] for item in info] == ['day'] * 12 + ['night'] * 6
    assert info[0]['thermal_path'].endswith('fl_ir_aligned/fl_ir_aligned_100_7.png')
    assert info[0]['seg_map_path'].endswith('fl_rgb_labels/fl_rgb_labels_100_7.png')
    assert 'seg_map_path' not in info[12] and info[0]['label_map'][13] == 255
    assert dataset.metainfo['classes'][9] == 'person' and len(dataset.metainfo['palette']) == 13


def test_test_frames_are_dropped_and_parts_share_the_rest(root):
    whole = set(keys(FreiburgThermal(str(root))))
    assert 'seq_03_day/02/105_7' not in whole and 'seq_03_night/02/105_8' in whole and len(whole) == 17
    train, val = (set(keys(FreiburgThermal(str(root), part=part, holdout_every=4))) for part in ('train', 'val'))
    assert train | val == whole and not train & val and len(val) == 3 + 2


def test_the_test_layout(root):
    info = FreiburgThermal(str(root), split='test', test_mode=True, domains=('night', )).get_data_info(0)
    assert info['domain'] == 'night' and info['seg_map_path'].endswith('SegmentationClass/105_7.npy')


def test_night_frames_with_pseudo_labels(root):
    with pytest.raises(DataError, match=r'6 frames of .*night.* without a partner: .*no fl_rgb_labels'):
        FreiburgThermal(str(root), labelled=('day', 'night'))
    for i in range(6):
        touch(root / f'train/seq_03_night/02/pseudo/pseudo_{100 + i}_8.png')
    dataset = FreiburgThermal(str(root), domains=('night', ), labelled=('night', ), label_folder='pseudo')
    assert all('seg_map_path' in dataset.get_data_info(i) for i in range(6))


def test_a_folder_of_labels_for_each_domain_and_certainty(root):
    for i in range(6):
        for folder in ('teacher_labels', 'teacher_certainty'):
            touch(root / f'train/seq_03_night/02/{folder}/{folder}_{100 + i}_8.png')
    options = dict(labelled=('day', 'night'), label_folder=dict(day='fl_rgb_labels', night='teacher_labels'),
                   certainty_folder=dict(night='teacher_certainty'), drop_test_frames=False)
    dataset = FreiburgThermal(str(root), **options)
    info = [dataset.get_data_info(i) for i in range(18)]
    assert info[0]['seg_map_path'].endswith('fl_rgb_labels_100_7.png') and 'certainty_path' not in info[0]
    assert info[12]['seg_map_path'].endswith('teacher_labels/teacher_labels_100_8.png')
    assert info[12]['certainty_path'].endswith('teacher_certainty/teacher_certainty_100_8.png')
    (root / 'train/seq_03_night/02/teacher_certainty/teacher_certainty_103_8.png').unlink()
    with pytest.raises(DataError, match=r'02/103_8 \(no teacher_certainty\)'):
        FreiburgThermal(str(root), **options)


def test_a_missing_partner_is_named_or_skipped(root):
    (root / 'train/seq_03_day/02/fl_ir_aligned/fl_ir_aligned_103_7.png').unlink()
    with pytest.raises(DataError, match=r'seq_03_day/02/103_7 .no fl_ir_aligned.*missing=.skip') as caught:
        FreiburgThermal(str(root))
    assert '\n' not in str(caught.value)
    assert len(FreiburgThermal(str(root), missing='skip')) == 16


@pytest.mark.parametrize(('options', 'error', 'message'), [
    (dict(split='val'), ConfigError, "'train' or 'test', got 'val'"),
    (dict(split='test', part='val'), ConfigError, 'divides the training split'),
    (dict(domains=('dawn', )), ConfigError, "got .'dawn',."),
    (dict(labelled=('day', 'night'), label_folder=dict(day='x')), ConfigError, 'a folder for each domain of labelled'),
    (dict(certainty_folder=dict(night='x')), ConfigError, 'certainty_folder for some of them'),
    (dict(missing='ignore'), ConfigError, "'error' or 'skip'"),
    (dict(data_root='nowhere'), DataError, 'no such folder'),
])
def test_mistakes(root, options, error, message):
    with pytest.raises(error, match=message):
        FreiburgThermal(**{'data_root': str(root), **options})


def test_folders_and_names_that_say_nothing(root):
    (root / 'train/seq_04').mkdir()
    with pytest.raises(DataError, match='seq_04 must say either day or night'):
        FreiburgThermal(str(root))
    (root / 'train/seq_04').rmdir()
    touch(root / 'train/seq_03_day/02/fl_rgb/fl_rgb_last.png')
    with pytest.raises(DataError, match='no time stamp'):
        FreiburgThermal(str(root))


def test_mf(tmp_path):
    names = ['00001D', '00002N', '00001D_flip', '00003N']
    (tmp_path / 'images').mkdir()
    (tmp_path / 'labels').mkdir()
    for name in names:
        Image.fromarray(np.zeros((4, 5, 4), np.uint8)).save(tmp_path / 'images' / f'{name}.png')
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / 'labels' / f'{name}.png')
    (tmp_path / 'train.txt').write_text('\n'.join(names))
    dataset = MFDataset(str(tmp_path))
    assert keys(dataset) == ['00001D', '00002N', '00003N']
    assert [dataset.get_data_info(i)['domain'] for i in range(3)] == ['day', 'night', 'night']
    assert keys(MFDataset(str(tmp_path), keep_flipped=True, domains=('day', ))) == ['00001D', '00001D_flip']
    # Labels of HeatNet's classes for the day alone, as an RGB teacher writes them.
    touch(tmp_path / 'labels_from_rgbteacher/00004D.png')
    with pytest.raises(DataError, match="'00001D', of which no file exists in labels_from_rgbteacher"):
        MFTeacherLabels(data_root=str(tmp_path))
    touch(tmp_path / 'labels_from_rgbteacher/00001D.png')
    taught = MFTeacherLabels(data_root=str(tmp_path))
    assert taught.get_data_info(0)['label_map'][13] == 255 and taught.metainfo['classes'][12] == 'background'
    assert taught.get_data_info(0)['seg_map_path'].endswith('labels_from_rgbteacher/00001D.png')
    assert 'seg_map_path' not in taught.get_data_info(1)
    assert 'seg_map_path' not in MFTeacherLabels(data_root=str(tmp_path), labelled=()).get_data_info(0)
    (tmp_path / 'labels/00002N.png').unlink()
    with pytest.raises(DataError, match="'00002N', of which no file exists in labels"):
        MFDataset(str(tmp_path))
    (tmp_path / 'train.txt').write_text('00003')
    with pytest.raises(DataError, match="'00003' ends neither in D"):
        MFDataset(str(tmp_path))


def test_translated_labels(tmp_path):
    for folder, name in (('images', 'a.jpg'), ('labels', 'a.png')):
        touch(tmp_path / 'training' / folder / name)
    info = TranslatedLabels(str(tmp_path)).get_data_info(0)
    assert info['label_map'][27] == 8 and len(info['label_map']) == 66
    with pytest.raises(ConfigError, match='gives class 13'):
        TranslatedLabels(str(tmp_path), translation={0: 13})
    touch(tmp_path / 'training/images/b.jpg')
    with pytest.raises(DataError, match='without a partner: b'):
        TranslatedLabels(str(tmp_path))


def test_pairs_without_labels(tmp_path):
    for name in ('01D.png', '02N.png', 'x.png'):
        touch(tmp_path / 'vi' / name)
        touch(tmp_path / 'ir' / name.replace('.png', '.tif'))
    dataset = RGBThermalPairs(str(tmp_path), domain_of=dict(D='day', N='night'))
    info = [dataset.get_data_info(i) for i in range(3)]
    assert [item.get('domain') for item in info] == ['day', 'night', None]
    assert info[1]['thermal_path'].endswith('ir/02N.tif') and 'seg_map_path' not in info[1]
    assert len(dataset.metainfo['palette']) == len(dataset.metainfo['classes']) == 13
    (tmp_path / 'ir/x.tif').unlink()
    with pytest.raises(DataError, match='1 image .* without a partner: x; add or remove it'):
        RGBThermalPairs(str(tmp_path))


def test_label_maps_list_every_id_once():
    counts = collections.Counter(label_maps.VISTAS_LABELS.values())
    assert len(label_maps.VISTAS_LABELS) == 66 and counts[255] == 1
    assert [counts[i] for i in range(12)] == [7, 3, 4, 3, 2, 7, 1, 5, 1, 5, 9, 2]
    assert label_maps.VISTAS_LABELS[0] == 9 and label_maps.VISTAS_LABELS[5] == 3 and label_maps.VISTAS_LABELS[65] == 255
    assert len(label_maps.CITYSCAPES_LABELS) == 20 and label_maps.CITYSCAPES_LABELS[255] == 255
    assert len(label_maps.HEATNET_CLASSES) == 13 == len(label_maps.HEATNET_PALETTE) == len(label_maps.HEATNET_TO_MF)
    assert len(label_maps.MF_CLASSES) == 9 == len(label_maps.MF_PALETTE)
    said = {label_maps.HEATNET_CLASSES[i]: label_maps.MF_CLASSES[new]
            for i, new in enumerate(label_maps.HEATNET_TO_MF) if new}
    assert said == {'curb': 'curve', 'person': 'person', 'car': 'car', 'bicycle': 'bike'}
    assert sorted(set(label_maps.HEATNET_TO_MF) - {0}) == sorted(label_maps.MF_SCORED)


def test_the_drawn_streets_labels_have_the_same_names():
    assert set(LABEL_IDS) == set(LABELS)
    assert all(label_maps.HEATNET_CLASSES[new] == name for name, new in LABEL_IDS.items())


def test_pairs_of_domains_whatever_the_number_of_processes(root, monkeypatch):
    dataset = DATASETS.build(dict(type='mmweather.SeededDataset',
                                  dataset=dict(type='mmweather.FreiburgThermal', data_root=str(root))))

    def stream(rank, world, count, start=0):
        monkeypatch.setattr('mmweather.datasets.samplers.get_dist_info', lambda: (rank, world))
        sampler = DomainPairSampler(dataset, seed=5)
        sampler.set_position(start)
        iterator = iter(sampler)
        return [next(iterator) for _ in range(count)]

    one = stream(0, 1, 48)
    assert [dataset.get_data_info(draw)['domain'] for draw in one] == ['day', 'night'] * 24
    assert [draw.position for draw in one] == list(range(48))
    assert sorted(one[:22:2]) == list(range(11)) and sorted(one[1:12:2]) == list(range(11, 17))
    assert one[1:12:2] != one[13:24:2], 'each pass over the night has its own order'
    two = [stream(rank, 2, 24) for rank in (0, 1)]
    for start in range(0, 24, 4):
        both = [(int(d), d.position) for part in two for d in part[start:start + 4]]
        assert sorted(both) == sorted((int(d), d.position) for d in one[2 * start:2 * start + 8])
    assert stream(1, 2, 10, start=14) == two[1][14:24]


def test_pairs_need_both_domains_and_an_even_batch(root):
    dataset = FreiburgThermal(str(root), domains=('day', ))
    with pytest.raises(DataError, match="no sample of domain 'night'"):
        DomainPairSampler(dataset)
    with pytest.raises(ConfigError, match='even batch_size'):
        DomainPairSampler(FreiburgThermal(str(root))).set_position(3)
