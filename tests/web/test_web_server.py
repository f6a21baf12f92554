"""The server around the page: addresses, headers, limits, files, and what stands in the page."""

from __future__ import annotations

import logging
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from web_toy import StandIn

from mmweather import cli
from mmweather.errors import ConfigError, MissingToolboxError
from mmweather.utils.images import write_image
from mmweather.web import engine, visitors
from mmweather.web.choices import Choice
from mmweather.web.engine import Engine, Limits
from mmweather.web.server import bind, build_app, quiet_gradio
from mmweather.web.visitors import Visitors, new_token

quiet_gradio()
pytest.importorskip('gradio', reason="the page needs Gradio: pip install 'mmweather[web]'")
from mmweather.web.door import VISITOR  # noqa: E402


@pytest.fixture
def stand_ins(monkeypatch):
    monkeypatch.setattr(engine, 'Inferencer', StandIn)
    monkeypatch.setenv('GRADIO_TEMP_DIR', '')  # build_app sets it; afterwards it is as before
    return Engine([Choice(name, name) for name in ('restore', 'detect', 'segment')], limits=Limits(megabytes=0.1))


@pytest.fixture
def client(stand_ins, tmp_path):
    from starlette.testclient import TestClient

    with TestClient(build_app(stand_ins, tmp_path / 'web'), base_url='http://127.0.0.1') as client:
        yield client


@pytest.fixture
def visitor(tmp_path):
    return Visitors(tmp_path / 'visitors').visitor(new_token())


@pytest.fixture
def request_(visitor):
    return SimpleNamespace(request=SimpleNamespace(scope={VISITOR: visitor}))


@pytest.fixture
def handlers(stand_ins, request_):
    from mmweather.web.page import _Handlers

    class Bound(_Handlers):
        """Handlers as this visitor calls them."""

        def receive(self, path):
            return super().receive(path, request_)

        def receive_partner(self, path):
            return super().receive_partner(path, request_)

        def run(self, *values):
            return super().run(*values, request_)

    return Bound(stand_ins)


@pytest.fixture
def picture(visitor):
    return str(write_image(visitor.new_folder() / 'a&b.png', np.zeros((48, 64, 3), np.uint8)))


# Server -----------------------------------------------------------------------------------------------------------


def test_a_port_in_use_and_a_wrong_address_are_one_line():
    with bind('127.0.0.1', 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f'cannot listen at 127.0.0.1:{port} .*--port'):
            bind('127.0.0.1', port)
    for host, port in [('no.such.host.invalid', 0), ('127.0.0.1', 70000)]:
        with pytest.raises(ConfigError, match='cannot listen at') as error:
            bind(host, port)
        assert '\n' not in str(error.value)


def test_the_page_allows_no_other_host_and_asks_for_none(client):
    answer = client.get('/')
    assert answer.status_code == 200 and 'mmweather' in answer.text
    policy = answer.headers['content-security-policy']
    assert "default-src 'self'" in policy and 'http' not in policy and '*' not in policy
    config = client.get('/config').json()
    assert config['analytics_enabled'] is False and not config['footer_links'] and not config['run_history']
    assert 'http' not in ''.join(sheet or '' for sheet in config.get('stylesheets') or [])


@pytest.mark.parametrize('name, status', [('127.0.0.1', 200), ('localhost:7860', 200), ('evil.example', 400)])
def test_a_local_page_answers_to_local_names_alone(client, name, status):
    assert client.get('/config', headers={'host': name}).status_code == status


@pytest.mark.parametrize('host', ['::1', '127.0.0.2', 'LOCALHOST'])
def test_every_local_address_is_guarded(host, stand_ins, tmp_path):
    from starlette.testclient import TestClient
    with TestClient(build_app(stand_ins, tmp_path / 'local', host)) as local:
        names = {f'[{host}]:7860' if ':' in host else f'{host}:7860': 200, 'localhost': 200, 'evil.example': 400}
        for name, status in names.items():
            assert local.get('/config', headers={'host': name}).status_code == status, name


def test_files_of_the_machine_are_not_served(client, tmp_path):
    (tmp_path / 'diary.txt').write_text('private words')
    for path in (tmp_path / 'diary.txt', '/etc/passwd', f'{tmp_path}/web/results/../../diary.txt'):
        answer = client.get(f'/gradio_api/file={path}')
        assert answer.status_code in (403, 404) and 'private' not in answer.text and 'root:' not in answer.text


def test_large_uploads_are_refused_by_the_server_too(client):
    assert client.post('/gradio_api/upload', files={'files': ('a.png', bytes(50_000))}).status_code == 200
    for size in (120_000, 200_000):
        answer = client.post('/gradio_api/upload', files={'files': ('a.png', bytes(size))})
        assert answer.status_code == 413 and f'{size / 1e6:g} MB; at most 0.1 MB' in answer.text, answer.text


def test_uploads_and_results_are_deleted_after_a_while(stand_ins, tmp_path, monkeypatch):
    from starlette.testclient import TestClient

    monkeypatch.setattr(visitors, 'KEPT', 1)
    with TestClient(build_app(stand_ins, tmp_path / 'web'), base_url='http://127.0.0.1') as client:
        upload = Path(client.post('/gradio_api/upload', files={'files': ('a.png', bytes(500))}).json()[0])
        assert upload.is_relative_to(tmp_path / 'web' / 'visitors') and upload.is_file()
        result = Visitors(tmp_path / 'web' / 'visitors').visitor(new_token()).new_folder() / 'result.png'
        result.write_bytes(bytes(9))
        until = time.monotonic() + 120
        while upload.exists() or result.exists():
            assert time.monotonic() < until
            time.sleep(0.2)


def test_without_gradio_the_line_names_the_extra(stand_ins, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(MissingToolboxError, match=r"pip install 'mmweather\[web\]'"):
        build_app(stand_ins, tmp_path)


def test_mistakes_on_the_command_line_end_with_status_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(['web', '--model', 'nothing-like-this'])
    assert exit_.value.code == 2 and "no model is called 'nothing-like-this'" in capsys.readouterr().err
    for words in (['--max-mb', '0'], ['--max-mp', 'nan'], ['--dtype', 'int8']):
        with pytest.raises(SystemExit) as exit_:
            cli.main(['web', *words])
        assert exit_.value.code == 2


def test_other_machines_are_let_in_only_when_asked_for():
    from mmweather.commands import web

    parser = cli._parser('web', web)
    assert parser.parse_args([]).host == '127.0.0.1'
    with bind('127.0.0.1', 0) as listener:
        assert listener.getsockname()[0] == '127.0.0.1' and listener.family == socket.AF_INET


# Page -------------------------------------------------------------------------------------------------------------


def test_choosing_a_model_shows_what_it_needs(handlers):
    about, picture, partner, score, message = handlers.choose('detect')
    assert 'Finds and boxes' in about and '&lt;b&gt;sky' in about and message == ''
    assert picture['label'] == 'Image' and partner['visible'] is False and score['visible'] is True
    assert handlers.choose('segment')[3]['visible'] is False


def test_an_answer_has_files_to_download(handlers, picture):
    message, preview, pair, download, clean, boxes, found = handlers.run('detect', picture, None, 0.3)
    assert '64 x 48 pixels' in message and preview['visible'] is False and len(pair) == 2
    assert download['value'].endswith('a&b_detect.png') and download['interactive']
    assert clean['value'].endswith('_restored.png') and boxes['value'].endswith('.json')
    assert 'person' in found and '0.75' in found
    *_, clean, boxes, found = handlers.run('segment', picture, None, 0.3)
    assert clean['visible'] is boxes['visible'] is False
    assert 'rgb(7, 8, 9)' in found and '&lt;b&gt;sky&lt;/b&gt;' in found and '<b>' not in found
    assert 'Nothing was found' in handlers.run('detect', picture, None, 0.9)[-1]


def test_errors_stand_in_the_page_and_the_last_result_does_not(handlers, visitor):
    wrong = visitor.new_folder() / '<img src=x>.png'
    wrong.write_text('no picture')
    preview, message = handlers.receive(str(wrong))
    assert preview['visible'] is False and 'role="alert"' in message
    assert '&lt;img src=x&gt;.png' in message and '<img' not in message
    message, _, pair, download, *_ = handlers.run('restore', str(wrong), None, 0.3)
    assert 'not an image' in message and pair is None and download['interactive'] is False
    assert 'choose a file first' in handlers.run('restore', None, None, 0.3)[0]
    assert handlers.receive(None)[1] == handlers.receive_partner(None)[0] == handlers.forget()[1] == ''
    assert 'role="alert"' in handlers.receive_partner(str(wrong))[0]


def test_a_fault_of_the_program_does_not_show_its_insides(handlers, picture, monkeypatch, caplog):
    def fault(*_, **__):
        raise ZeroDivisionError('secret detail')

    monkeypatch.setattr(StandIn, '__call__', fault)
    with caplog.at_level(logging.ERROR, logger='mmweather'):
        message = handlers.run('restore', picture, None, 0.3)[0]
    assert 'fault in the program' in message and 'secret' not in message
    assert 'secret detail' in caplog.text
