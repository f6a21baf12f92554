"""Values of a wrong type or size in a config end in one line with the key, status 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'engine'))
import engine_toy

from mmweather.config.load import load_config
from mmweather.engine.runner import train, train_parser
from mmweather.errors import ConfigError, one_line_errors

WRAPPER = dict(type='mmengine.OptimWrapper')
SAMPLER = dict(type='mmweather.SeededInfiniteSampler')


def adam(**values):
    return dict(optim_wrapper=dict(WRAPPER, optimizer=dict(dict(type='mmengine.Adam', lr=0.01), **values)))


def loader(**values):
    return dict(train_dataloader=dict(batch_size=2, num_workers=0, sampler=SAMPLER, dataset=dict(
        type='mmweather.ToyPairs', **values)))


@pytest.mark.parametrize(('changes', 'words'), [
    (adam(type='mmengine.Addam'), ('optim_wrapper.optimizer.type', 'mmengine.Addam', 'mmengine.Adam')),
    (adam(lr='fast'), ('optim_wrapper.optimizer: Adam', "lr='fast'")),
    (adam(betas=3), ('optim_wrapper.optimizer: Adam', )),
    (dict(param_scheduler=dict(type='mmengine.CosineAnnealingLR', T_max='x', by_epoch=False)),
     ('param_scheduler.T_max: CosineAnnealingLR takes a number', "'x'")),
    (dict(custom_hooks=[dict(type='mmengine.EMAHook', begin_iter='3')]), ('custom_hooks.0.begin_iter: EMAHook', "'3'")),
    (adam(weight_decay=[0.1]), ('optim_wrapper.optimizer.weight_decay: Adam', '[0.1]')),
    (dict(model=dict(type='mmweather.CleanNet', dim='16')), ('model', 'CleanNet', "'16'")),
    (dict(model=dict(type='mmweather.CleanNet', dim=-16)), ('model', 'CleanNet', '-16')),
    (dict(model=dict(type='mmweather.CleanNet', num_blocks=None)), ('model', 'CleanNet', 'None')),
    (dict(randomness=dict(seed='zero')), ('randomness.seed', "'zero'")),
    (dict(log_level='LOUD'), ('log_level', "'LOUD'", 'INFO')),
    (dict(custom_hooks=['name']), ('custom_hooks.0', "'name'")),
    (dict(custom_hooks='name'), ('custom_hooks', "'name'")),
    (dict(train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=0)), ('train_cfg.max_iters', 'is 0')),
    (dict(train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=-5)), ('train_cfg.max_iters', '-5')),
    (dict(train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters='9')), ('train_cfg.max_iters', "'9'")),
    (dict(train_dataloader='abc'), ('train_dataloader', "'abc'")),
    (dict(test_dataloader=[dict(batch_size=1)], test_cfg=dict(type='mmengine.TestLoop')),
     ('test_dataloader: give a dict', )),
    (dict(train_dataloader=dict(batch_size=2, num_workers=0, sampler=SAMPLER, dataset=dict(
        type='mmweather.RoadSceneRain', data_root='.', pipeline='abc'))), ('train_dataloader.dataset', )),
], ids=lambda value: None if isinstance(value, tuple) else str(value)[:70])
def test_a_wrong_value_is_one_line_with_its_key(tmp_path, capsys, changes, words):
    path = engine_toy.write_config(tmp_path, f'{tmp_path.name}.py', **changes)
    with pytest.raises(SystemExit) as caught, one_line_errors():
        train(train_parser().parse_args([str(path), '--work-dir', str(tmp_path / 'work')]))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(('error', 'internal', 'Trace'))]
    assert caught.value.code == 2 and len(lines) == 1, lines
    assert all(word in lines[0] for word in words), lines[0]


def test_a_cycle_of_base_configs_is_named(tmp_path):
    for name, base in (('a', 'b'), ('b', 'c'), ('c', 'a')):
        (tmp_path / f'{name}.py').write_text(f"_base_ = './{base}.py'\n")
    with pytest.raises(ConfigError, match=r"_base_ forms a cycle: a.py -> b.py -> c.py -> a.py"):
        load_config(tmp_path / 'a.py')
    (tmp_path / 'own.py').write_text("_base_ = ['./own.py']\n")
    with pytest.raises(ConfigError, match=r"own.py -> own.py"):
        load_config(tmp_path / 'own.py')
