"""Mistakes in a config are reported in one line that names the key and the nearest right name."""

import sys
import warnings
from pathlib import Path

import pytest
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parents[1] / 'engine'))
import engine_toy

from mmweather.config.explain import config_errors
from mmweather.config.load import load_config
from mmweather.engine import runner as runner_module
from mmweather.engine.resume import find_resume_checkpoint, is_whole
from mmweather.engine.runner import test_config as make_test_config
from mmweather.engine.runner import test_parser as make_test_parser
from mmweather.engine.runner import train, train_config, train_parser
from mmweather.errors import CheckpointError, ConfigError, MissingToolboxError, MMWeatherError

ADAM = dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=0.01))
LOADER = dict(batch_size=2, num_workers=0, sampler=dict(type='mmweather.SeededInfiniteSampler'),
              dataset=dict(type='mmweather.ToyPairs'))


def line_of(call, error=ConfigError):
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, MMWeatherError)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def arguments(path, *more):
    return train_parser().parse_args([str(path), '--work-dir', str(path.parent / 'work'), *more])


def trained(tmp_path, *more, **changes):
    path = engine_toy.write_config(tmp_path, f'{tmp_path.name}.py', **changes)
    return line_of(lambda: train(arguments(path, *more)))


# reading

def test_a_missing_file_names_its_neighbour(tmp_path):
    engine_toy.write_config(tmp_path, 'cleannet.py')
    line = line_of(lambda: load_config(tmp_path / 'claennet.py'))
    assert 'claennet.py' in line and "did you mean 'cleannet.py'" in line
    assert 'does not exist' in line_of(lambda: load_config('nowhere/at_all.py'))


@pytest.mark.parametrize(('text', 'words'), [
    ('a = (1,\n', 'line 1'),
    ('a = undefined_name', 'undefined_name'),
    ("_base_ = './not_here.py'", 'not_here'),
    ("custom_imports = dict(imports=['no_such_module_anywhere'])", 'no_such_module_anywhere'),
])
def test_a_faulty_file(tmp_path, text, words):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    line = line_of(lambda: load_config(path), MMWeatherError)
    assert words in line and 'broken.py' in line


@pytest.mark.parametrize(('key', 'right'), [
    ('trian_dataloader', 'train_dataloader'), ('optim_wraper', 'optim_wrapper'), ('modle', 'model'),
    ('custom_hook', 'custom_hooks'), ('param_schedulers', 'param_scheduler'), ('workdir', 'work_dir'),
])
def test_a_misspelt_section(tmp_path, key, right):
    value = 'runs' if right == 'work_dir' else dict(a=1)
    path = engine_toy.write_config(tmp_path, **{key: value})
    line = line_of(lambda: load_config(path))
    assert f"'{key}'" in line and f"did you mean '{right}'" in line


def test_variables_are_left_alone(tmp_path):
    names = dict(train_pipeline=[], val_pipeline=[], test_pipeline=[], tta_pipeline=[], data_root='x',
                 image_keys=('a', ), train_dataset=dict(), base_lr=1, model_name='a', dataset_type='b',
                 max_iters=3, models_root='c', train_cfg_note='d', vis_backends=[], scheduler=dict())
    assert load_config(engine_toy.write_config(tmp_path, **names)).data_root == 'x'


def test_the_shipped_configs_pass():
    paths = [p for p in (engine_toy.ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts]
    if not paths:
        pytest.skip('no config yet')
    for path in paths:
        load_config(path)


# --cfg-options

@pytest.mark.parametrize(('option', 'words'), [
    ('trian_dataloader.batch_size=2', "did you mean 'train_dataloader'"),
    ('train_dataloader.bath_size=2', "did you mean 'batch_size'"),
    ('optim_wrapper.optimiser.lr=1', "did you mean 'optimizer'"),
    ('custom_hooks.9.limit=1', 'index from 0 to 2'),
    ('train_dataloader.batch_size.x=1', "'train_dataloader.batch_size' is 2 and has no keys"),
    ('gibberish=1', "no 'gibberish'"),
])
def test_a_misspelt_option(tmp_path, option, words):
    args = arguments(engine_toy.write_config(tmp_path), '--cfg-options', option)
    line = line_of(lambda: train_config(args))
    assert words in line and option.split('=')[0] in line


def test_good_options_are_merged(tmp_path):
    args = arguments(engine_toy.write_config(tmp_path), '--cfg-options', 'optim_wrapper.clip_grad.max_norm=1',
                     'train_dataloader.batch_size=3', 'custom_hooks.0.priority=LOW', 'model.dropout=0',
                     'auto_scale_lr.base_batch_size=4', 'train_cfg.val_begin=3', 'randomness.deterministic=True')
    config = train_config(args)
    assert config.train_dataloader.batch_size == 3 and config.custom_hooks[0].priority == 'LOW'
    assert config.optim_wrapper.clip_grad.max_norm == 1 and config.auto_scale_lr.base_batch_size == 4
    assert config.train_cfg.val_begin == 3


def test_changing_a_plain_variable_warns(tmp_path):
    path = engine_toy.write_config(tmp_path, data_root='old')
    with pytest.warns(UserWarning, match='data_root'):
        assert load_config(path, {'data_root': 'new'}).data_root == 'new'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        load_config(path, {'randomness.seed': 3})


def test_a_malformed_option_is_a_usage_error(tmp_path, capsys):
    for pair in ('no_equals_sign', 'a=[(1,2]'):
        with pytest.raises(SystemExit) as caught:
            arguments(tmp_path / 'x.py', '--cfg-options', pair)
        assert caught.value.code == 2 and 'KEY=VALUE' in capsys.readouterr().err


# building

@pytest.mark.parametrize(('changes', 'words'), [
    (dict(model=dict(type='mmweather.ToyNett')),
     ("model.type: there is no model 'mmweather.ToyNett'", 'mmweather.ToyNet')),
    (dict(model=dict(type='ClenaNet')), ("'ClenaNet'", 'mmweather.CleanNet')),
    (dict(model=dict(type='mmweather.ToyNet', widht=3)), ('model: ToyNet', "'widht'", "'width'")),
    (dict(model=dict(tpye='mmweather.ToyNet')), ("model: 'type' is missing", "'tpye'")),
    (dict(train_dataloader=dict(LOADER, bath_size=2)), ('train_dataloader: DataLoader', "'bath_size'", "'batch_size'")),
    (dict(train_dataloader=dict(LOADER, dataset=dict(type='mmweather.ToyPairs', lenght=2))),
     ('train_dataloader.dataset: ToyPairs', "'lenght'", "'length'")),
    (dict(train_dataloader=dict(LOADER, dataset=dict(type='mmweather.SeededDataset'))),
     ('train_dataloader.dataset: SeededDataset needs', "'dataset'")),
    (dict(train_dataloader=dict(LOADER, sampler=dict(type='mmweather.SeededInfinitSampler'))),
     ('train_dataloader.sampler.type', 'mmweather.SeededInfiniteSampler')),
    (dict(custom_hooks=[dict(type='mmweather.SavePicturesHook', limitt=2)]),
     ('custom_hooks.0: SavePicturesHook', "'limit'")),
    (dict(optim_wrapper=dict(ADAM, optimizer=dict(type='mmengine.Adam', betass=1))),
     ('optim_wrapper.optimizer: Adam', "'betass'", "'betas'")),
    (dict(optim_wrapper=dict(ADAM, optimizer=dict(type='mmengine.Adam', lr=-1.0))),
     ('optim_wrapper.optimizer: Adam refuses', '-1.0')),
    (dict(param_scheduler=dict(type='mmengine.CosineAnealingLR', T_max=3)),
     ('param_scheduler.type', 'mmengine.CosineAnnealingLR')),
    (dict(randomness=dict(sede=1)), ('randomness', "'sede'", "'seed'")),
    (dict(train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iter=3)),
     ('train_cfg: SeededIterBasedTrainLoop', "'max_iter'", "'max_iters'")),
    (dict(train_cfg=None), ("no 'train_cfg'", )),
    (dict(val_cfg=None), ("no 'val_cfg'", 'val_evaluator')),
    (dict(model=None), ("no 'model'", )),
], ids=lambda value: None if isinstance(value, tuple) else next(iter(value)))
def test_a_mistake_that_shows_when_parts_are_built(tmp_path, changes, words):
    line = trained(tmp_path, **changes)
    assert all(word in line for word in words), line


def test_a_missing_toolbox_is_named(monkeypatch):
    from mmweather.config import explain
    monkeypatch.setattr(explain, 'find_spec', lambda name: None)
    from mmweather.registry import MODELS
    with pytest.raises(MissingToolboxError, match='mmdet.*pip install'), config_errors(Config({})):
        MODELS.build(dict(type='mmdet.NoSuchDetector'))


def test_faults_of_the_program_keep_their_traceback():
    def helper(a):
        return a

    for fault in (lambda: helper(b=1), lambda: {}['x'], lambda: [].index(3)):
        with pytest.raises((TypeError, KeyError, ValueError)) as caught, config_errors(Config({'b': 1})):
            fault()
        assert not isinstance(caught.value, MMWeatherError)


# arguments

def test_work_dir_comes_from_the_argument_the_config_or_the_name(tmp_path):
    path = engine_toy.write_config(tmp_path, 'recipe.py')
    assert train_config(train_parser().parse_args([str(path)])).work_dir == './work_dirs/recipe'
    path = engine_toy.write_config(tmp_path, 'recipe.py', work_dir='mine')
    assert train_config(train_parser().parse_args([str(path)])).work_dir == 'mine'
    assert train_config(arguments(path)).work_dir == str(tmp_path / 'work')


def test_resume_and_auto_scale_lr(tmp_path):
    path = engine_toy.write_config(tmp_path)
    config = train_config(arguments(path, '--resume'))
    assert config.resume is True and config.load_from is None
    assert 'no such file' in line_of(lambda: train_config(arguments(path, '--resume', 'gone.pth')), CheckpointError)
    assert train_config(arguments(path, '--resume', str(path))).load_from == str(path)
    assert 'base_batch_size' in line_of(lambda: train_config(arguments(path, '--auto-scale-lr')))
    path = engine_toy.write_config(tmp_path, auto_scale_lr=dict(enable=False, base_batch_size=8))
    assert train_config(arguments(path, '--auto-scale-lr')).auto_scale_lr == dict(enable=True, base_batch_size=8)


def test_amp_sets_every_wrapper_or_says_why_not(tmp_path, monkeypatch):
    path = engine_toy.write_config(tmp_path)
    monkeypatch.setattr(runner_module.torch.cuda, 'is_available', lambda: False)
    assert 'needs a GPU' in line_of(lambda: train_config(arguments(path, '--amp')))
    monkeypatch.setattr(runner_module.torch.cuda, 'is_available', lambda: True)
    assert train_config(arguments(path, '--amp')).optim_wrapper.type == 'mmengine.AmpOptimWrapper'
    two = dict(constructor='x', a=dict(ADAM), b=dict(ADAM, type='mmengine.AmpOptimWrapper', loss_scale=2.0))
    config = train_config(arguments(engine_toy.write_config(tmp_path, optim_wrapper=two), '--amp'))
    assert config.optim_wrapper.a.loss_scale == 'dynamic' and config.optim_wrapper.b.loss_scale == 2.0
    for wrong in (dict(ADAM, type='Other'), dict(type='mmengine.OptimWrapper')):
        path = engine_toy.write_config(tmp_path, optim_wrapper=wrong)
        assert '--amp' in line_of(lambda path=path: train_config(arguments(path, '--amp')))


def test_arguments_of_a_test_run(tmp_path):
    path = engine_toy.write_config(tmp_path, train_cfg=None, train_dataloader=None, optim_wrapper=None)

    def config(*more):
        return make_test_config(make_test_parser().parse_args([str(path), str(path), *more]))

    shown = config('--show-dir', 'out', '--wait-time', '1').custom_hooks[-1]
    assert shown.type == 'mmweather.SavePicturesHook' and shown.out_dir.endswith('/out') and shown.limit is None
    assert '.pkl' in line_of(lambda: config('--out', 'a.json'))
    assert 'tta_model' in line_of(lambda: config('--tta'))
    engine_toy.write_config(tmp_path, tta_model=dict(type='T'), tta_pipeline=[1])
    tta = config('--tta')
    assert tta.model.type == 'T' and tta.model.module.type == 'mmweather.ToyNet'
    assert tta.test_dataloader.dataset.pipeline == [1]
    engine_toy.write_config(tmp_path, default_hooks=dict(visualization=dict(type='mmdet.DetVisualizationHook')))
    drawn = config('--show', '--show-dir', 'out').default_hooks.visualization
    assert drawn.draw and drawn.show and drawn.test_out_dir == 'out'
    engine_toy.write_config(tmp_path, default_hooks=dict(visualization=dict(type='mmseg.SegVisualizationHook')))
    drawn = config('--show-dir', 'out')
    assert drawn.visualizer.save_dir == 'out' and 'test_out_dir' not in drawn.default_hooks.visualization
    gone = make_test_parser().parse_args([str(path), 'gone.pth'])
    assert 'gone.pth' in line_of(lambda: make_test_config(gone), CheckpointError)


# which checkpoint --resume takes

def test_resume_passes_over_checkpoints_that_were_cut_short(tmp_path):
    import torch
    assert find_resume_checkpoint(tmp_path) is None
    for i in (4, 8, 12):
        torch.save({'i': torch.arange(2000)}, tmp_path / f'iter_{i}.pth')
    torch.save({}, tmp_path / 'best_psnr_iter_99.pth')
    note = tmp_path / 'last_checkpoint'
    note.write_text(str(tmp_path / 'iter_8.pth'))
    assert find_resume_checkpoint(tmp_path).name == 'iter_8.pth'
    last = tmp_path / 'iter_12.pth'
    last.write_bytes(last.read_bytes()[:5000])
    assert not is_whole(last)
    for broken_note in ('', str(last), '/elsewhere/iter_8.pth'):
        note.write_text(broken_note)
        assert find_resume_checkpoint(tmp_path).name == 'iter_8.pth'
    for path in tmp_path.glob('iter_*'):
        path.write_bytes(b'')
    assert find_resume_checkpoint(tmp_path) is None


# the shipped runtime

def test_every_name_of_the_default_runtime_resolves_without_mmagic(tmp_path, monkeypatch):
    import sys

    from mmweather.engine.runner import build_runner
    for name in [name for name in sys.modules if name.split('.')[0] == 'mmagic']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'mmagic', None)  # importing it would fail
    messages = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda message, *a, **k: messages.append(message))
    path = engine_toy.write_config(tmp_path, f'{tmp_path.name}.py')
    built = build_runner(train_config(arguments(path)))
    names = [type(hook).__name__ for hook in built.hooks]
    assert {'ExactResumeHook', 'NonFiniteLossHook', 'RankMeanLogHook', 'CheckpointHook'} <= set(names)
    assert names.index('RankMeanLogHook') < names.index('RuntimeInfoHook')
    assert not [message for message in messages if 'Failed to search' in str(message)]

    def types(node):
        if isinstance(node, dict):
            yield from [node['type']] if 'type' in node else []
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
            yield from types(value)

    shipped = Config.fromfile(engine_toy.ROOT / 'configs' / '_base_' / 'default_runtime.py')
    assert all('.' in name for name in types(shipped.to_dict())) and len(list(types(shipped.to_dict()))) >= 11
