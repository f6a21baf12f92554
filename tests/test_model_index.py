"""Model index, `list_models`, `get_model` and the commands `list` and `info`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from torch import nn

import mmweather
from mmweather import cli
from mmweather.apis import model_index
from mmweather.errors import CheckpointError, ConfigError
from mmweather.models.common.contract import InferenceContract
from mmweather.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module', autouse=True)
def blur():
    """A registered model of 28 parameters: a 3 x 3 convolution from three channels to one."""

    class Blur(nn.Module):
        inference_contract = InferenceContract(inputs=('img', ), multiple_of=48, minimum=96)

        def __init__(self, channels: int = 1) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, channels, 3, padding=1)
            self.drop = nn.Dropout()

        def forward(self, inputs, mode='tensor'):
            return self.conv(inputs['img'])

    MODELS.register_module(name='IndexTestBlur', module=Blur)
    yield Blur
    MODELS._module_dict.pop('IndexTestBlur')


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A repository with two models; returns a function that rewrites the metafile."""
    folder = tmp_path / 'configs' / 'blur'
    folder.mkdir(parents=True)
    (tmp_path / 'model-index.yml').write_text('Import:\n  - configs/blur/metafile.yml\n')
    (folder / 'blur_small.py').write_text("model = dict(type='mmweather.IndexTestBlur')\n")
    (folder / 'blur_wide.py').write_text("model = dict(type='mmweather.IndexTestBlur', channels=4)\n")
    meta = {
        'Collections': [{'Name': 'Blur'}],
        'Models': [
            {'Name': 'blur_wide', 'In Collection': 'Blur', 'Config': 'configs/blur/blur_wide.py'},
            {'Name': 'blur_small', 'In Collection': 'Blur', 'Config': 'configs/blur/blur_small.py', 'Status': 'parity',
             'Metadata': {'Training Data': 'none'}, 'Weights': ['weights.pth'],
             'Results': [{'Task': 'Deraining', 'Dataset': 'Mini', 'Metrics': {'PSNR': 30.5}}]},
        ],
    }

    def write(change=None) -> Path:
        if change:
            change(meta)
        (folder / 'metafile.yml').write_text(yaml.safe_dump(meta))
        return tmp_path

    write()
    monkeypatch.setattr(model_index, 'index_root', lambda: tmp_path)
    return write


def test_names_are_sorted_and_filtered_whatever_the_case(index):
    assert mmweather.list_models() == ['blur_small', 'blur_wide']
    assert mmweather.list_models('*WIDE') == ['blur_wide']
    assert mmweather.list_models('wide') == []


def test_an_entry_holds_what_the_metafile_says(index):
    entry = model_index.find_entry('blur_small')
    assert (entry.collection, entry.status, entry.weights) == ('Blur', 'parity', 'weights.pth')
    assert entry.config.name == 'blur_small.py' and entry.config.is_file()
    assert entry.results[0]['Metrics'] == {'PSNR': 30.5}
    assert model_index.find_entry('blur_wide').status == 'unverified'


@pytest.mark.parametrize('change, message', [
    (lambda meta: meta['Models'].append(meta['Models'][0]), "the model name 'blur_wide' is taken"),
    (lambda meta: meta['Models'][0].pop('Config'), "Models[0]: 'Config' is missing"),
    (lambda meta: meta['Models'][0].update({'Config': 'configs/blur/gone.py'}), 'configs/blur/gone.py does not exist'),
    (lambda meta: meta['Models'][0].update({'In Collection': 'Blurr'}), "'Blurr' is not among 'Collections'"),
    (lambda meta: meta['Models'][0].update({'Status': 'great'}), 'must be one of parity, retrained, unverified'),
    (lambda meta: meta.update({'Models': {}}), "'Models' must be a list"),
    (lambda meta: meta['Models'].append('blur'), 'Models[2]: must be a mapping'),
], ids=['twice', 'no-config', 'config-gone', 'collection', 'status', 'models', 'text'])
def test_a_wrong_metafile_is_named_in_one_line(index, change, message):
    root = index(change)
    with pytest.raises(ConfigError) as error:
        model_index.load_index(root)
    assert message in str(error.value)
    assert 'metafile.yml' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('text, message', [
    ('Import:\n  - configs/gone.yml\n', 'gone.yml: no such file'),
    ('Import: 3\n', "'Import' must be a list"),
    ('- a\n', 'must hold a YAML mapping'),
    ('Import: [a\n', 'cannot be read'),
    ('!!python/object/apply:os.getcwd []\n', 'cannot be read'),
])
def test_a_wrong_index_is_named_in_one_line(tmp_path, text, message):
    (tmp_path / 'model-index.yml').write_text(text)
    with pytest.raises(ConfigError) as error:
        model_index.load_index(tmp_path)
    assert message in str(error.value) and '\n' not in str(error.value)


def test_a_model_is_built_by_name_path_and_config_in_eval_mode(index):
    root = index()
    path = root / 'configs' / 'blur' / 'blur_wide.py'
    for source in ('blur_wide', path, str(path), Config.fromfile(path)):
        model = mmweather.get_model(source)
        assert model.conv.weight.shape == (4, 3, 3, 3)
        assert not any(module.training for module in model.modules())


def test_the_given_config_is_not_changed(index):
    config = Config.fromfile(index() / 'configs' / 'blur' / 'blur_small.py')
    before = config.dump()
    mmweather.get_model(config)
    assert config.dump() == before


def test_the_default_scope_of_the_caller_is_kept(index):
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmengine'):
        mine = DefaultScope.get_current_instance().instance_name
        mmweather.get_model('blur_small')
        assert DefaultScope.get_current_instance().instance_name == mine


def test_the_device_is_honoured(index):
    assert mmweather.get_model('blur_small', device='meta').conv.weight.device.type == 'meta'


def test_a_checkpoint_is_loaded(index, tmp_path):
    model = mmweather.get_model('blur_small')
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'blur.pth')
    again = mmweather.get_model('blur_small', checkpoint=tmp_path / 'blur.pth')
    other = mmweather.get_model('blur_small')
    assert torch.equal(again.conv.weight, model.conv.weight)
    assert not torch.equal(other.conv.weight, model.conv.weight)


def test_a_checkpoint_of_another_model_is_refused(index, tmp_path):
    torch.save({'state_dict': mmweather.get_model('blur_wide').state_dict()}, tmp_path / 'wide.pth')
    with pytest.raises(CheckpointError, match='wide.pth'):
        mmweather.get_model('blur_small', checkpoint=tmp_path / 'wide.pth')


def test_a_checkpoint_with_code_is_refused(index, tmp_path):

    class Trap:

        def __reduce__(self):
            return Path.touch, (tmp_path / 'ran', )

    torch.save({'state_dict': Trap()}, tmp_path / 'trap.pth')
    with pytest.raises(CheckpointError):
        mmweather.get_model('blur_small', checkpoint=tmp_path / 'trap.pth')
    assert not (tmp_path / 'ran').exists()


def test_an_unknown_name_names_the_nearest(index):
    with pytest.raises(ConfigError, match="no model is called 'blur_smal'; did you mean 'blur_small'"):
        mmweather.get_model('blur_smal')


@pytest.mark.parametrize('text, message', [
    (None, 'no such config file'),
    ('model = dict(\n', 'cannot be read as a config'),
    ("_base_ = './gone.py'\n", 'cannot be read as a config'),
    ('lr = 1\n', "has no 'model'"),
    ('model = 3\n', "has no 'model'"),
], ids=['gone', 'syntax', 'base-gone', 'no-model', 'model-3'])
def test_a_wrong_config_file_is_named_in_one_line(tmp_path, text, message):
    path = tmp_path / 'some.py'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as error:
        mmweather.get_model(path)
    assert str(error.value).startswith(str(path)) and message in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('model, message', [
    (dict(type='mmweather.IndexTestBlurr'), "did you mean 'mmweather.IndexTestBlur'"),
    (dict(type='mmweather.IndexTestBlur', chanels=3),
     "model: Blur has no parameter 'chanels'; did you mean 'channels'?"),
], ids=['name', 'keyword'])
def test_a_model_that_cannot_be_built_names_the_key(tmp_path, model, message):
    path = tmp_path / 'some.py'
    path.write_text(f'model = {model!r}\n')
    with pytest.raises(ConfigError) as error:
        mmweather.get_model(path)
    assert message in str(error.value) and '\n' not in str(error.value)


def test_the_command_list(index, capsys):
    assert cli.main(['list']) == 0
    assert capsys.readouterr().out.splitlines() == ['blur_small  Blur  parity', 'blur_wide   Blur  unverified']
    assert cli.main(['list', 'nothing*']) == 1
    assert 'no model matches' in capsys.readouterr().out


def test_the_command_info_counts(index, capsys):
    assert cli.main(['info', 'blur_small']) == 0
    rows = dict(line.split('  ', 1) for line in capsys.readouterr().out.splitlines())
    rows = {key.strip(): value.strip() for key, value in rows.items()}
    assert rows['parameters'] == '28 (conv 28)'
    # 256 rounded up to a multiple of 48 is 288: 288 * 288 pixels, 27 products each.
    assert rows['multiply-adds'].startswith('2.24 M at 288 x 288')
    assert rows['sizes'] == 'padded to multiples of 48, at least 96; tiling supported'
    assert rows['result'] == 'Deraining on Mini: PSNR 30.5'
    assert rows['status'] == 'parity'


def test_the_command_info_takes_a_path_and_tells_a_missing_toolbox(index, capsys, monkeypatch):
    path = index() / 'configs' / 'blur' / 'blur_small.py'
    assert cli.main(['info', str(path)]) == 0
    assert '28 (conv 28)' in capsys.readouterr().out

    from mmweather.errors import MissingToolboxError

    def missing(*args, **kwargs):
        raise MissingToolboxError("needs 'mmagic'")

    monkeypatch.setattr(model_index, 'get_model', missing)
    assert cli.main(['info', 'blur_small']) == 0
    out = capsys.readouterr().out
    assert "not counted: needs 'mmagic'" in out and 'PSNR 30.5' in out


def test_an_installed_package_reads_its_own_folder(tmp_path, monkeypatch):
    package = tmp_path / 'site' / 'mmweather'
    (package / 'apis').mkdir(parents=True)
    monkeypatch.setattr(model_index, '__file__', str(package / 'apis' / 'model_index.py'))
    with pytest.raises(ConfigError, match='reinstall mmweather'):
        model_index.index_root()
    (tmp_path / 'site' / 'model-index.yml').write_text('Import: []\n')
    assert model_index.index_root() == (tmp_path / 'site').resolve()
    (package / '.mim').mkdir()
    shutil.copy(tmp_path / 'site' / 'model-index.yml', package / '.mim')
    assert model_index.index_root() == (package / '.mim').resolve()


def test_the_shipped_index_is_sound():
    missing = [item for item in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
               if not (ROOT / item).is_file()]
    assert not missing
    entries = model_index.load_index(ROOT)
    assert entries
    listed = {entry.config.resolve() for entry in entries.values()}
    shipped = {path.resolve() for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts}
    # Configs for the drawn mini world serve the demo and the tests; they need no entry.
    assert not {path for path in shipped - listed if not path.stem.endswith('_mini')}
    for name, entry in entries.items():
        assert entry.config.stem == name, 'OpenMIM finds a config by the name of its model'
        for result in entry.results:
            assert {'Task', 'Dataset', 'Metrics'} <= set(result)


def test_every_metafile_is_in_the_index():
    imports = set(yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import'])
    assert imports == {path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('metafile.yml')}
