"""No scene is trained on and tested on: lists, configs, the doctor and the training script refuse it."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import Config
from sentinel_toy import write

from mmweather.cli import main
from mmweather.datasets.leakage import refuse_leaking_config, refuse_shared, shared_by_loaders, shared_scenes
from mmweather.engine.runner import train, train_parser
from mmweather.errors import DataError
from mmweather.utils.images import write_image

KEYS = ('ROIs1158_spring_1_p30', 'ROIs1158_spring_106_p30', 'ROIs1970_fall_139_p839')


def config(root, train_splits, test_splits='published', wrap=True) -> Config:
    data = dict(type='mmweather.SEN12MSCR', data_root=str(root), keys=('img', 'gt'))
    inner = dict(data, split='train', splits=train_splits)
    return Config(dict(
        train_dataloader=dict(dataset=dict(type='mmweather.SeededDataset', dataset=inner) if wrap else inner),
        val_dataloader=None,
        test_dataloader=dict(dataset=dict(data, split='test', splits=test_splits))))


def test_scenes_in_two_splits_are_named():
    assert shared_scenes({'train': 'abc', 'val': 'cd', 'test': 'ce'}) == {'c': ('train', 'val', 'test')}
    refuse_shared({'train': ['a'], 'test': ['b']}, 'lists')
    with pytest.raises(DataError) as error:
        refuse_shared({'train': map(str, range(20)), 'test': map(str, range(13))}, 'lists')
    text = str(error.value)
    assert text.startswith('lists: 13 scenes') and '0 (train and test)' in text and 'and 8 more' in text
    assert '\n' not in text


@pytest.mark.parametrize('wrap', [True, False])
def test_a_config_is_seen_through_its_wrappers_and_without_files(tmp_path, wrap):
    refuse_leaking_config(config(tmp_path / 'nowhere', 'published', wrap=wrap))
    leaking = config(tmp_path / 'nowhere', {'train': ['ROIs1158_spring_106', 'ROIs1158_spring_1']}, wrap=wrap)
    assert shared_by_loaders(leaking) == {'ROIs1158_spring_106': ('train', 'test')}
    with pytest.raises(DataError, match=r'ROIs1158_spring_106 \(train and test\)'):
        refuse_leaking_config(leaking)


def test_tests_on_several_sets_are_all_looked_at(tmp_path):
    several = config(tmp_path / 'nowhere', {'train': ['ROIs1158_spring_106', 'ROIs1158_spring_1']})
    several.test_dataloader = [dict(dataset=dict(type='mmagic.BasicImageDataset')), several.test_dataloader]
    assert set(shared_by_loaders(several)) == {'ROIs1158_spring_106'}
    several.test_dataloader = several.test_dataloader[:1]
    refuse_leaking_config(several)


def test_validating_on_the_test_images_is_no_leak_into_training(tmp_path):
    both = config(tmp_path, 'published')
    both.val_dataloader = both.test_dataloader
    refuse_leaking_config(both)


def rice(root, train, test):
    def one(split, stems):
        path = root / f'{split}.txt'
        path.write_text('\n'.join(stems))
        return dict(dataset=dict(type='mmweather.RICE', data_root=str(root), split=split, ann_file=path.name))
    return Config(dict(train_dataloader=one('train', train), test_dataloader=one('test', test)))


def test_stems_of_rice_are_scenes_and_those_of_street_scenes_are_not(tmp_path):
    for name in '012':
        for folder in ('cloud', 'label', 'train/Vis/input', 'test/Vis/input'):
            write_image(tmp_path / folder / f'{name}.png', np.full((8, 8, 3), int(name), np.uint8))
    refuse_leaking_config(rice(tmp_path, '01', '2'))
    with pytest.raises(DataError, match=r'1 scene .* 1 \(train and test\)'):
        refuse_leaking_config(rice(tmp_path, '01', '12'))
    # RoadScene-rain numbers both splits from 000: other pictures with the same names.
    street = dict(type='mmweather.RoadSceneRain', data_root=str(tmp_path), keys=('img', ))
    refuse_leaking_config(Config(dict(train_dataloader=dict(dataset=dict(street, split='train')),
                                      test_dataloader=dict(dataset=dict(street, split='test')))))


def test_the_doctor_and_the_training_script_refuse_it(tmp_path, capsys):
    pytest.importorskip('rasterio')
    root = write(tmp_path / 'set', KEYS)
    path = tmp_path / 'leaking.py'
    leaking = config(root, {'train': ['ROIs1158_spring_1', 'ROIs1158_spring_106']})
    leaking.update(model=dict(type='mmweather.Restorer'), optim_wrapper=dict(optimizer=dict(type='mmengine.SGD', lr=1)),
                   train_cfg=dict(type='mmengine.EpochBasedTrainLoop', max_epochs=1),
                   test_cfg=dict(type='mmengine.TestLoop'), test_evaluator=[])
    leaking.dump(str(path))
    assert main(['check', str(path)]) == 1
    out = capsys.readouterr().out
    assert 'scene leak' in out and 'ROIs1158_spring_106 (train and test)' in out and 'keep each scene' in out
    with pytest.raises(DataError, match=r"'leaking\.py': 1 scene.*ROIs1158_spring_106"):
        train(train_parser().parse_args([str(path), '--work-dir', str(tmp_path / 'work')]))
    config(root, {'train': ['ROIs1158_spring_1']}).dump(str(path))
    assert main(['check', str(path)]) == 0
    assert '8 images checked' not in capsys.readouterr().out
