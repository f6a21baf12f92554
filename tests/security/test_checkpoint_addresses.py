"""A server that hands out a pickle with code runs nothing by any way in, and an honest one is read by each."""

from __future__ import annotations

import hashlib
import http.server
import os
import pickle
import re
import socket
import sys
import threading
import warnings

import pytest
import torch

sys.path.insert(0, os.path.dirname(__file__))
import forged_files  # noqa: E402

pytest.importorskip('mmagic')
pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

import mmengine.runner  # noqa: E402
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint, _load_checkpoint_with_prefix  # noqa: E402
from torch import nn  # noqa: E402

import mmweather.registry  # noqa: E402, F401
from mmweather import cli, get_model  # noqa: E402
from mmweather.apis.hub import load_config, shipped_weights  # noqa: E402
from mmweather.engine.runner import test, test_parser, train, train_parser  # noqa: E402
from mmweather.errors import CheckpointError  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402
from mmweather.utils import download  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'engine'))
import engine_toy  # noqa: E402

test.__test__ = False  # the tool, not a test


class Server:
    """A real server of a dict of bodies; it counts what was asked for."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                name = self.path.lstrip('/').partition('?')[0]
                if name.startswith('to/'):
                    self.send_response(302)
                    self.send_header('Location', name[3:].replace('!', ':'))
                    self.end_headers()
                    return
                body = outer.bodies.get(name)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header('Content-Length', str(10**15 if name.startswith('huge') else len(body)))
                self.end_headers()
                self.wfile.write(body[:len(body) // 2] if name.startswith('cut') else body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.address = f'http://127.0.0.1:{self.http.server_port}'
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture(autouse=True)
def _hub(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path / 'home'))


@pytest.fixture
def server():
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def trap(server, tmp_path):
    """Address of a file that leaves a mark when it is unpickled, and the mark."""
    mark = tmp_path / 'PWNED'
    server.bodies['trap.pth'] = pickle.dumps({'state_dict': forged_files.Call(os.system, f'touch {mark}')}, 2)
    return f'{server.address}/trap.pth', mark


def toy_config(folder, **options):
    engine_toy.write_config(folder, 'toy.py')
    return folder / 'toy.py'


def by_train(address, folder, *options):
    words = [str(toy_config(folder)), '--work-dir', str(folder / 'work'), *options]
    train(train_parser().parse_args(words))


def by_backbone(address, folder):
    model = MODELS.build(dict(type='mmdet.ResNet', depth=18, init_cfg=dict(type='Pretrained', checkpoint=address)))
    model.init_weights()


def by_backbone_with_prefix(address, folder):
    MODELS.build(dict(type='mmdet.ResNet', depth=18, init_cfg=dict(
        type='Pretrained', checkpoint=address, prefix='backbone.'))).init_weights()


def by_init_detector(address, folder):
    from mmdet.apis import init_detector
    init_detector(load_config('togethernet'), address, device='cpu')


def by_init_model(address, folder):
    from mmseg.apis import init_model
    init_model(load_config('heatnet'), address, device='cpu')


def by_start(address, folder):
    from mmweather.models.togethernet.start import load_start
    load_start(nn.Linear(1, 1), address)


WAYS = {
    'load_from': lambda address, folder: by_train(address, folder, '--cfg-options', f'load_from={address}'),
    'resume': lambda address, folder: by_train(address, folder, '--resume', address),
    'test': lambda address, folder: test(test_parser().parse_args(
        [str(toy_config(folder)), address, '--work-dir', str(folder / 'work')])),
    'start_from': by_start,
    'stock backbone': by_backbone,
    'stock backbone with a prefix': by_backbone_with_prefix,
    'init_detector': by_init_detector,
    'init_model': by_init_model,
    'get_model': lambda address, folder: get_model('ssdie-net', address),
    'mmengine.runner.load_checkpoint': lambda address, folder: mmengine.runner.load_checkpoint(
        nn.Linear(1, 1), address),
    '_load_checkpoint': lambda address, folder: _load_checkpoint(address),
    '_load_checkpoint_with_prefix': lambda address, folder: _load_checkpoint_with_prefix('x', address),
    'CheckpointLoader': lambda address, folder: CheckpointLoader.load_checkpoint(address, 'cpu'),
    'load_url': lambda address, folder: mmengine.utils.dl_utils.load_url(address),
    'load_from_http': lambda address, folder: mmengine.runner.checkpoint.load_from_http(address),
}


@pytest.fixture
def loads(monkeypatch):
    """How PyTorch and pickle are asked to read, while everything still does its work."""
    seen = []
    original = torch.load

    def load(*args, weights_only=None, **kwargs):
        seen.append(weights_only)
        return original(*args, weights_only=weights_only, **kwargs)

    class Unpickler(pickle._Unpickler):

        def load(self):
            seen.append('pickle')
            return super().load()

    monkeypatch.setattr(torch, 'load', load)
    monkeypatch.setattr(torch.serialization, 'load', load)
    monkeypatch.setattr(pickle, 'Unpickler', Unpickler)
    # Makes MMEngine's own torch.load run code; who says weights_only=True is not concerned.
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    return seen


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('place', ['address', 'file'])
def test_a_pickle_with_code_runs_by_no_way(trap, server, tmp_path, loads, way, place):
    address, mark = trap
    if place == 'file':
        if way in ('load_url', 'load_from_http'):
            pytest.skip('takes addresses only')
        address = str(tmp_path / 'trap.pth')
        (tmp_path / 'trap.pth').write_bytes(server.bodies['trap.pth'])
    with pytest.raises(CheckpointError) as caught:
        WAYS[way](address, tmp_path)
    assert "'posix.system'" in str(caught.value) and '\n' not in str(caught.value)
    assert not mark.exists()
    assert loads and set(loads) == {True}
    assert server.asked == ['/trap.pth'] * (place == 'address')


@pytest.mark.parametrize('command', ['restore', 'convert'])
def test_commands_take_addresses_and_run_nothing(trap, tmp_path, capsys, command):
    from PIL import Image
    address, mark = trap
    Image.new('RGB', (16, 16)).save(tmp_path / 'x.png')
    words = {'restore': ['restore', str(tmp_path / 'x.png'), '--model', 'ssdie-net', '--checkpoint', address, '--out',
                         str(tmp_path / 'out'), '--device', 'cpu'],
             'convert': ['convert', 'ssdie_net/msff', address, str(tmp_path / 'out.safetensors')]}[command]
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and error.startswith('error: ') and "'posix.system'" in error
    assert not mark.exists()


def test_the_trap_works_where_nothing_guards(trap, server, tmp_path):
    pickle.loads(server.bodies['trap.pth'])
    assert trap[1].exists()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_honest_files_load_by_address_everywhere(server, tmp_path, suffix):
    model = nn.Linear(2, 3)
    data = forged_files.good_bytes(model.state_dict(), suffix)
    name = f'good-{hashlib.sha256(data).hexdigest()[:8]}{suffix}'
    server.bodies[name] = data
    address = f'{server.address}/{name}?token=1'
    other = nn.Linear(2, 3)
    mmengine.runner.load_checkpoint(other, address, strict=True)
    assert torch.equal(other.weight, model.weight)
    loaded = _load_checkpoint(address)
    assert torch.equal(loaded['state_dict']['weight'], model.weight) and 'meta' in loaded
    assert (tmp_path / 'hub/hub/checkpoints' / name).is_file()
    assert server.asked == [f'/{name}?token=1'], 'fetched once'


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_stock_backbone_and_start_take_honest_files(server, tmp_path, suffix):
    backbone = MODELS.build(dict(type='mmdet.ResNet', depth=18))
    state = {f'backbone.{key}': value.contiguous() for key, value in backbone.state_dict().items()}
    server.bodies[f'r18{suffix}'] = forged_files.good_bytes(state, suffix)
    other = MODELS.build(dict(type='mmdet.ResNet', depth=18, init_cfg=dict(
        type='Pretrained', checkpoint=f'{server.address}/r18{suffix}', prefix='backbone.')))
    other.init_weights()
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in backbone.state_dict().items())


def test_stock_init_model_takes_shipped_weights():
    from mmseg.apis import init_model
    weights = shipped_weights('heatnet')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the classes are in the config
        model = init_model(load_config('heatnet'), str(weights), device='cpu')
    state = model.state_dict()
    loaded = load_checkpoint(weights)
    assert loaded and all(torch.equal(value, state[key].to(value.dtype)) for key, value in loaded.items())


def test_two_servers_with_one_file_name_are_not_confused(tmp_path):
    servers = [Server(), Server()]
    for number, each in enumerate(servers):
        each.bodies['best.pth'] = forged_files.good_bytes({'x': torch.full((1, ), float(number))}, '.pth')
    for number, each in enumerate(servers):
        for _ in range(2):
            assert load_checkpoint(f'{each.address}/best.pth')['state_dict']['x'] == number
        assert len(each.asked) == 1
        each.http.shutdown()


def refused(address: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(address)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_what_goes_wrong_with_a_download_is_one_line_and_leaves_nothing(server, tmp_path):
    good = forged_files.good_bytes({'x': torch.zeros(1000)}, '.pth')
    server.bodies.update({'cut.pth': good, 'huge.pth': good, 'x-0123456789ab.pth': good})
    at = server.address
    assert 'answers 404' in refused(f'{at}/gone.pth')
    assert re.search(r'broke off after \d+ of|IncompleteRead', refused(f'{at}/cut.pth'))
    assert 'do not fit' in refused(f'{at}/huge.pth')
    assert 'SHA-256' in refused(f'{at}/x-0123456789ab.pth')
    for target in ('file:///etc/passwd', 'ftp://127.0.0.1/x.pth'):
        assert 'etc/passwd:' not in refused(f'{at}/to/{target}/x.pth')
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
    assert 'cannot be fetched (Connection refused)' in refused(f'http://127.0.0.1:{port}/x.pth')
    assert 'does not end in the name of a file' in refused(f'{at}/')
    for scheme in ('file', 'ftp', 's3', 'petrel', 'pavi', 'cluster:s3', 'ssh'):
        assert f"'{scheme}://'" in refused(f'{scheme}://host/x.pth')
    assert 'unknown name' in refused('torchvision://resnet5')
    assert 'unknown name' in refused('open-mmlab://detectron2/resnet5')
    assert 'unknown name' in refused('mmcls://resnet5')
    assert not [path for path in (tmp_path / 'hub').rglob('*') if path.is_file() and path.suffix != '.lock']


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(download, 'TIMEOUT', 1)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        assert 'timed out' in refused(f'http://127.0.0.1:{silent.getsockname()[1]}/x.pth')


def test_a_name_in_a_zoo_is_read_by_the_same_door(server, tmp_path):
    import json
    (tmp_path / 'home').mkdir()
    good, mark = tmp_path / 'home/good.pth', tmp_path / 'PWNED'
    good.write_bytes(forged_files.good_bytes({'x': torch.ones(1)}, '.pth'))
    server.bodies['trap.pth'] = pickle.dumps(forged_files.Call(os.system, f'touch {mark}'), 2)
    (tmp_path / 'home/open_mmlab.json').write_text(json.dumps(
        {'mine': 'good.pth', 'trap': f'{server.address}/trap.pth', 'file': 'file:///etc/passwd'}))
    for scheme in ('open-mmlab', 'openmmlab'):
        assert _load_checkpoint(f'{scheme}://mine')['state_dict']['x'] == 1
        with pytest.raises(CheckpointError, match='posix.system'):
            _load_checkpoint(f'{scheme}://trap')
        with pytest.raises(CheckpointError, match='no http'):
            _load_checkpoint(f'{scheme}://file')
    assert not mark.exists()


def test_a_checksum_in_the_name_is_checked_again_when_the_file_is_used_again(server, tmp_path):
    data = forged_files.good_bytes({'x': torch.ones(1)}, '.pth')
    name = f'x-{hashlib.sha256(data).hexdigest()[:8]}.pth'
    server.bodies[name] = data
    load_checkpoint(f'{server.address}/{name}')
    file = tmp_path / 'hub/hub/checkpoints' / name
    file.write_bytes(data[:-10])
    assert load_checkpoint(f'{server.address}/{name}')['state_dict']['x'] == 1
    assert file.read_bytes() == data and len(server.asked) == 2
