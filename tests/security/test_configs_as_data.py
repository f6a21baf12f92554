"""Configs in YAML and JSON run nothing: not when they are read, not by what they name."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from mmweather import cli
from mmweather.apis.hub import index_root
from mmweather.config.load import load_config
from mmweather.engine.runner import train, train_parser
from mmweather.errors import ConfigError, MMWeatherError
from mmweather.utils.config_file import read_config

MODEL = {'type': 'mmweather.Restorer', 'generator': {'type': 'mmweather.MSFF'}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with Python files that leave a mark when they run; it is on the path of modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run = f'open({str(tmp_path / "PWNED")!r}, "w").close()\n'
    (tmp_path / 'evil_base.py').write_text(f'{run}model = dict(type="mmweather.Restorer")\n')
    (tmp_path / 'evil_module.py').write_text(run)
    (tmp_path / 'evil_package').mkdir()
    (tmp_path / 'evil_package/__init__.py').write_text(run)
    (tmp_path / 'evil_package/registry.py').write_text(run)
    (tmp_path / 'middle.yaml').write_text('_base_: evil_base.py\n')
    return tmp_path


def mark(folder) -> str:
    return f'touch {folder}/PWNED'


ATTACKS = {
    'tag': lambda folder: f'model: !!python/object/apply:os.system ["{mark(folder)}"]',
    'tag in a list': lambda folder: f'model: [1, !!python/object/apply:subprocess.getoutput ["{mark(folder)}"]]',
    'tag of a new object': lambda folder: 'model: !!python/object/new:evil_module.x []',
    'tag of a name': lambda folder: 'model: !!python/name:evil_module.x',
    'tag of a module': lambda folder: 'model: !!python/module:evil_module',
    'tag of its own': lambda folder: 'model: !evil {a: 1}',
    'base in Python': lambda folder: {'_base_': 'evil_base.py', 'model': MODEL},
    'base in Python, list': lambda folder: {'_base_': ['./evil_base.py'], 'model': MODEL},
    'base in Python, absolute': lambda folder: {'_base_': f'{folder}/evil_base.py', 'model': MODEL},
    'base of a base': lambda folder: {'_base_': 'middle.yaml', 'model': MODEL},
    'base by a variable': lambda folder: {'_base_': '{{fileDirname}}/evil_base.py', 'model': MODEL},
    'base out of a package': lambda folder: {'_base_': f'mmweather::{"../" * 12}{folder}/evil_base.py', 'model': MODEL},
    'custom imports': lambda folder: {'custom_imports': {'imports': ['evil_module']}, 'model': MODEL},
    'function as a type': lambda folder: {'model': {'type': 'os.system', 'command': mark(folder)}},
    'function behind a package': lambda folder: {'model': {'type': 'mmengine.utils.path.os.system',
                                                           'command': mark(folder)}},
    'reader of pickles as a type': lambda folder: {'model': {'type': 'mmengine.load', 'file': 'x.pkl'}},
    'module as a type': lambda folder: {'model': {'type': 'evil_module'}},
    'module as a scoped type': lambda folder: {'model': {'type': 'mmweather.evil_module'}},
    'package as a scope': lambda folder: {'model': {'type': 'evil_package.X'}},
    'package as the scope of all': lambda folder: {'default_scope': 'evil_package', 'model': MODEL},
    'package as an inner scope': lambda folder: {'model': {**MODEL, '_scope_': 'evil_package'}},
    'expression as a type': lambda folder: {'model': MODEL, 'test_cfg': {'nms': {
        'type': f'__import__("os").system("{mark(folder)}")'}}},
    'constructor': lambda folder: {'model': MODEL, 'optim_wrapper': {'constructor': 'evil_module.Constructor'}},
    'runner': lambda folder: {'model': MODEL, 'runner_type': 'evil_module.Runner'},
}


@pytest.mark.parametrize('suffix', ['.yaml', '.json'])
@pytest.mark.parametrize('attack', ATTACKS)
def test_nothing_of_a_data_config_runs(folder, capsys, attack, suffix):
    content = ATTACKS[attack](folder)
    if isinstance(content, str) and suffix == '.json':
        pytest.skip('JSON has no tags')
    file = folder / f'x{suffix}'
    file.write_text(content if isinstance(content, str) else
                    json.dumps(content) if suffix == '.json' else yaml.safe_dump(content))
    for words in (['info', str(file)], ['check', str(file)]):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith('error: ') and error.count('\n') == 1 and file.name in error
    with pytest.raises(MMWeatherError) as caught:
        train(train_parser().parse_args([str(file), '--work-dir', str(folder / 'work')]))
    assert '\n' not in str(caught.value)
    assert not (folder / 'PWNED').exists()


def test_the_attacks_work_on_python_configs_which_are_code(folder):
    (folder / 'x.py').write_text("_base_ = 'evil_base.py'\n")
    load_config(folder / 'x.py')
    assert (folder / 'PWNED').exists()


@pytest.mark.parametrize('suffix', ['.yaml', '.json'])
def test_honest_data_configs_are_read(folder, suffix, monkeypatch):
    monkeypatch.setenv('HOW_MANY', '7')
    shipped = next((index_root() / 'configs').glob('ssdie_net/*msff*.py'))
    wanted = read_config(shipped)
    wanted.dump(folder / f'dumped{suffix}')
    again = read_config(folder / f'dumped{suffix}')
    assert again.model.to_dict().keys() == wanted.model.to_dict().keys()
    assert again.model.type == wanted.model.type
    base = folder / f'base{suffix}'
    write = json.dumps if suffix == '.json' else yaml.safe_dump
    base.write_text(write({'model': MODEL, 'name': '{{fileBasenameNoExtension}}', 'number': '{{$HOW_MANY:3}}'}))
    (folder / f'top{suffix}').write_text(write({'_base_': base.name, 'extra': 1}))
    found = read_config(folder / f'top{suffix}')
    assert found.model.to_dict() == MODEL and found.name == 'base' and found.extra == 1 and str(found.number) == '7'
    (folder / f'packaged{suffix}').write_text(write({'_base_': f'mmweather::ssdie_net/{shipped.name}'}))
    assert read_config(folder / f'packaged{suffix}').model.type == wanted.model.type


def test_tuples_of_a_dumped_config_are_tuples(folder):
    (folder / 'x.yaml').write_text('model: {type: mmweather.Restorer, size: !!python/tuple [1, [2]]}\n')
    assert read_config(folder / 'x.yaml').model.size == (1, [2])


def test_mmengine_s_own_loading_of_yaml_runs_nothing_either(folder):
    import mmengine
    from mmengine.config import Config
    (folder / 'x.yaml').write_text(ATTACKS['tag'](folder))
    for read in (mmengine.load, Config.fromfile):
        with pytest.raises(yaml.YAMLError, match='refused'):
            read(str(folder / 'x.yaml'))
    assert not (folder / 'PWNED').exists()


def test_a_refusal_names_the_file(folder):
    (folder / 'x.yaml').write_text('custom_imports: {imports: [evil_module]}\n')
    with pytest.raises(ConfigError, match=r'x\.yaml: custom_imports'):
        read_config(folder / 'x.yaml')


def test_aliases_that_blow_up_are_refused_at_once(tmp_path):
    lines = ['a: &a [x, x, x, x, x, x, x, x, x]', *(f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]'
                                                    for before, name in zip('abcdefgh', 'bcdefghi', strict=True))]
    (tmp_path / 'x.yaml').write_text('\n'.join(lines))
    started = time.process_time()
    with pytest.raises(ConfigError, match=r'x\.yaml.*aliases') as caught:
        load_config(tmp_path / 'x.yaml')
    assert time.process_time() - started < 5 and '\n' not in str(caught.value)
    (tmp_path / 'y.yaml').write_text('a: &a [1, 2]\nb: [*a, *a]\n')
    assert read_config(tmp_path / 'y.yaml').b == [[1, 2], [1, 2]]


def test_a_config_that_ends_the_process_is_one_line(tmp_path):
    (tmp_path / 'x.py').write_text('import sys\nsys.exit(3)\n')
    with pytest.raises(ConfigError, match=r"x\.py' ends the process .*status 3"):
        load_config(tmp_path / 'x.py')
