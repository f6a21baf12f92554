"""The base config trains on crops of the published size and keeps its three parts apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmweather.mini.write import make_mini

CONFIG = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'roadscene_rain.py'


def test_loaders_of_the_base_config_on_the_mini_set(tmp_path):
    pytest.importorskip('mmagic.structures', exc_type=(ImportError, AttributeError))
    make_mini(tmp_path / 'mini', train=11, test=1, size=(72, 96), only=['roadscene-rain'], progress=False)
    config = Config.fromfile(str(CONFIG))
    keys = {}
    for name in ('train', 'val', 'test'):
        loader = config[f'{name}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        inner = loader.dataset.get('dataset', loader.dataset)
        inner.data_root = str(tmp_path / 'mini/roadscene_rain')
        built = Runner.build_dataloader(loader, seed=0)
        batch = next(iter(built))
        dataset = getattr(built.dataset, 'dataset', built.dataset)
        keys[name] = {dataset.get_data_info(index)['img_path'] for index in range(len(dataset))}
        shapes = {tuple(image.shape) for image in batch['inputs']['img']} if isinstance(batch['inputs'], dict) else {
            tuple(one['img'].shape) for one in batch['inputs']}
        if name == 'train':
            assert shapes == {(3, 64, 64)} and len(batch['data_samples']) == 4
        else:
            assert len(batch['data_samples']) == 1
    assert [len(keys[name]) for name in ('train', 'val', 'test')] == [9, 2, 1]
    assert not (keys['train'] & keys['val'] | keys['train'] & keys['test'] | keys['val'] & keys['test'])
