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
from mmweather.apis import hub as model_index
from mmweather.errors import CheckpointError, ConfigError
from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS
from mmweather.utils.checkpoint import save_state_dict

ROOT = Path(__file__).resolve().parents[2]


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
    (lambda meta: meta['Models'][0].update({'Alias': 'blur_small'}), "the alias 'blur_small' of 'blur_wide' is taken"),
    (lambda meta: [model.update({'Alias': 'blur'}) for model in meta['Models']], "the alias 'blur' of 'blur_small'"),
    (lambda meta: meta['Models'][0].update({'Alias': 'Blur wide.py'}), "'Alias' is 'Blur wide.py'"),
    (lambda meta: meta['Models'][0].update({'Weights': '../blur.safetensors'}), "'Weights' is '../blur.safetensors'"),
], ids=['twice', 'no-config', 'config-gone', 'collection', 'status', 'models', 'text', 'alias-name', 'alias-twice',
        'alias-word', 'weights'])
def test_a_wrong_metafile_is_named_in_one_line(index, change, message):
    root = index(change)
    with pytest.raises(ConfigError) as error:
        model_index.load_index(root)
    assert message in str(error.value)
    assert 'metafile.yml' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('text, message', [
    ('Models: 3\n', "'Models' must be a list"),
    ('- a\n', 'must hold a YAML mapping'),
    ('Models: [a\n', 'cannot be read'),
    ('!!python/object/apply:os.getcwd []\n', 'cannot be read'),
])
def test_a_broken_metafile_is_named_in_one_line(tmp_path, text, message):
    (tmp_path / 'configs' / 'blur').mkdir(parents=True)
    (tmp_path / 'configs' / 'blur' / 'metafile.yml').write_text(text)
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


@pytest.fixture
def shipped(index):
    """The index with an alias and weights in half precision for `blur_wide`; gives the weights in full."""
    def change(meta):
        meta['Models'][0].update({'Alias': 'wide', 'Weights': 'weights/blur_wide.safetensors'})

    root = index(change)
    state = mmweather.get_model('blur_wide').state_dict()
    save_state_dict(root / 'weights' / 'blur_wide.safetensors', {key: value.half() for key, value in state.items()},
                    {'seed': '7', 'data': 'noise'})
    return state


def test_an_alias_is_as_good_as_the_name(shipped, capsys):
    assert model_index.find_entry('wide') is not None
    assert mmweather.list_models('wide') == ['blur_wide']
    assert mmweather.get_model('wide').conv.weight.shape == (4, 3, 3, 3)
    with pytest.raises(ConfigError, match="no model is called 'wid'; did you mean 'wide'"):
        mmweather.get_model('wid')


def test_shipped_weights_are_loaded_in_the_precision_of_the_model(shipped):
    for source in ('wide', 'blur_wide', model_index.find_entry('wide').config):
        model = mmweather.get_model(source, checkpoint='shipped')
        assert model.conv.weight.dtype == torch.float32
        assert torch.equal(model.conv.weight, shipped['conv.weight'].half().float())
    assert not torch.equal(mmweather.get_model('wide').conv.weight, model.conv.weight), 'without a word it is random'


def test_shipped_weights_are_strict(shipped, index):
    file = model_index.find_entry('wide').weights_file
    save_state_dict(file, {'conv.weight': shipped['conv.weight']})
    with pytest.raises(CheckpointError, match='1 of 2 keys are missing'):
        mmweather.get_model('wide', checkpoint='shipped')
    # The file cannot switch that off: only what the class names as training's may be left out.
    save_state_dict(file, {'drop.x': torch.zeros(1)}, {'left_out': ['conv']})
    with pytest.raises(CheckpointError, match="'conv' is left out, but Blur needs it"):
        mmweather.get_model('wide', checkpoint='shipped')


@pytest.mark.parametrize('model, message', [
    ('blur_small', "'weights.pth', the weights of 'blur_small', is missing"),
    ('blur_far', "download https://example.org/blur.pth"),
    ('blur_bare', "no weights are shipped for 'blur_bare'; give a checkpoint (--checkpoint FILE), or take a model that "
                  'has some (wide)'),
    ('own.py', 'own.py: no weights are shipped for it'),
])
def test_weights_that_are_not_shipped(shipped, index, tmp_path, monkeypatch, model, message):
    def change(meta):
        small = meta['Models'][1]
        for name, weights in (('blur_far', 'https://example.org/blur.pth'), ('blur_bare', None)):
            meta['Models'].append({**small, 'Name': name, 'Weights': weights})

    index(change)
    monkeypatch.chdir(tmp_path)
    shutil.copy(model_index.find_entry('wide').config, 'own.py')
    with pytest.raises(CheckpointError) as error:
        mmweather.get_model(model, checkpoint='shipped')
    assert message in str(error.value) and '\n' not in str(error.value)


def test_list_and_info_tell_of_alias_and_weights(shipped, capsys):
    assert cli.main(['list']) == 0
    assert capsys.readouterr().out.splitlines() == ['blur_small  Blur  parity',
                                                    'blur_wide   Blur  unverified  wide  weights']
    assert cli.main(['list', '--weights']) == 0
    assert capsys.readouterr().out.split()[0] == 'blur_wide'
    assert cli.main(['list', '*small', '--weights']) == 1
    capsys.readouterr()
    assert cli.main(['info', 'wide']) == 0
    rows = [line.split('  ', 1) for line in capsys.readouterr().out.splitlines() if '  ' in line.strip()]
    rows = {key.strip(): value.strip() for key, value in rows if key}
    assert rows['alias'] == 'wide' and rows['weights'].startswith('weights/blur_wide.safetensors, 0.00 MB')


def test_the_checkpoint_tells_classes(index, tmp_path):
    model = mmweather.get_model('blur_small')
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': ('rain', )}}},
               tmp_path / 'blur.pth')
    again = mmweather.get_model('blur_small', checkpoint=tmp_path / 'blur.pth')
    assert again.dataset_meta == {'classes': ('rain', )} and again.cfg.model.type == 'mmweather.IndexTestBlur'


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
    monkeypatch.setattr(model_index, '__file__', str(package / 'apis' / 'hub.py'))
    with pytest.raises(ConfigError, match='no metafile found there; install mmweather'):
        model_index.index_root()
    (tmp_path / 'site' / 'configs' / 'blur').mkdir(parents=True)
    (tmp_path / 'site' / 'configs' / 'blur' / 'metafile.yml').write_text('Models: []\n')
    assert model_index.index_root() == (tmp_path / 'site').resolve()
    shutil.copytree(tmp_path / 'site' / 'configs', package / '.mim' / 'configs')
    assert model_index.index_root() == (package / '.mim').resolve()


@pytest.mark.parametrize('linked', [False, True], ids=['wheel', 'editable'])
def test_weights_are_found_in_a_wheel_and_beside_the_links_of_an_editable_install(tmp_path, monkeypatch, linked):
    package = tmp_path / 'mmweather'
    (package / 'apis').mkdir(parents=True)
    (package / '.mim').mkdir()
    home = tmp_path if linked else package / '.mim'
    (home / 'configs' / 'b').mkdir(parents=True)
    (home / 'weights').mkdir()
    (home / 'configs' / 'b' / 'blur.py').write_text("model = dict(type='mmweather.IndexTestBlur')\n")
    (home / 'configs' / 'b' / 'metafile.yml').write_text(
        'Collections: [{Name: B}]\nModels: [{Name: blur, In Collection: B, Config: configs/b/blur.py, '
        'Weights: weights/blur.safetensors}]\n')
    if linked:
        for name in ('configs', 'weights'):
            (package / '.mim' / name).symlink_to(tmp_path / name)
    monkeypatch.setattr(model_index, '__file__', str(package / 'apis' / 'hub.py'))
    model = mmweather.get_model('blur')
    save_state_dict(home / 'weights' / 'blur.safetensors', model.state_dict())
    assert torch.equal(mmweather.get_model('blur', 'shipped').conv.weight, model.conv.weight)


def test_the_shipped_index_is_sound():
    entries = model_index.load_index(ROOT)
    assert entries
    listed = {entry.config.resolve() for entry in entries.values()}
    shipped = {path.resolve() for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts}
    # Configs for the drawn mini world serve the demo and the tests; they need no entry.
    assert not {path for path in shipped - listed if not path.stem.endswith('_mini')}
    for name, entry in entries.items():
        assert entry.config.stem == name, 'OpenMIM finds a config by the name of its model'
        if entry.weights and '://' not in entry.weights:
            assert entry.weights == f'weights/{name}.safetensors' and entry.weights_file, f'{name}: no such weights'
        for result in entry.results:
            assert {'Task', 'Dataset', 'Metrics'} <= set(result)
