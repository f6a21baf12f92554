"""Attacks on the web page: a real server in a process of its own, and the requests that an attacker would send."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip('gradio', reason="the page needs Gradio: pip install 'mmweather[web]'")
httpx = pytest.importorskip('httpx', reason='comes with Gradio')
pytestmark = pytest.mark.slow

# The command as a user starts it; a model whose answer is known stands in for the network, to which nothing is done.
SERVER = f'''
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests' / 'web')!r}]
from mmweather import cli
from mmweather.web import engine
from web_toy import StandIn
class Slow(StandIn):
    def __init__(self, *_):
        super().__init__('restore')
    def __call__(self, files, **options):
        time.sleep(2 if 'slow' in files['img'].name else 0)
        return super().__call__(files, **options)
engine.Inferencer = Slow
raise SystemExit(cli.main(['web', '--port', '0', '--max-mb', '1', '--max-mp', '1', *sys.argv[1:]]))
'''
RECEIVE, RECEIVE_PARTNER, RUN = 2, 3, 6
"""Numbers of the page's functions; :func:`test_the_functions_have_these_numbers` checks them."""


class Server:
    """A server, and the temporary folder in which it works."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        environment = {**os.environ, 'TMPDIR': str(folder), 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
        self.process = subprocess.Popen([sys.executable, '-c', SERVER, *words], env=environment, cwd=folder, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = self.process.stdout.readline()
        assert first.startswith('mmweather web: http://'), first + self.process.stderr.read()
        self.address = first.split()[2]

    def folders(self) -> list[Path]:
        """Folders of this and of earlier servers."""
        return sorted(self.folder.glob('mmweather-web-*'))

    def files(self) -> list[Path]:
        """What is served or kept."""
        return [path for folder in self.folders() for path in folder.rglob('*') if path.is_file()]

    def answers(self) -> bool:
        """Whether the page is there for everybody."""
        return httpx.get(self.address, timeout=5).status_code == 200

    def memory(self) -> float:
        """Resident megabytes."""
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        return int(status.split('VmRSS:')[1].split()[0]) / 1e3

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


class Visitor:
    """A visitor, with a browser's cookies, or an attacker."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=60, headers={'connection': 'close'})
        self.session = secrets.token_hex(6)
        assert self.client.get('/').status_code == 200
        components = self.client.get('/config').json()['components']
        self.model = next(item['props']['value'] for item in components if item['props'].get('elem_id') == 'model')

    def upload(self, data: bytes, name: str = 'street.png', **headers: str) -> Any:
        return self.client.post('/gradio_api/upload', files={'files': (name, data)}, headers=headers)

    def place(self, data: bytes, name: str = 'street.png') -> str:
        answer = self.upload(data, name)
        assert answer.status_code == 200, answer.text
        return answer.json()[0]

    def body(self, function: int, path: str | None) -> dict[str, Any]:
        file = None if path is None else {'path': path, 'orig_name': 'x.png', 'meta': {'_type': 'gradio.FileData'}}
        data = [self.model, file, None, 0.3] if function == RUN else [file]
        return {'data': data, 'fn_index': function, 'session_hash': self.session}

    def receive(self, path: str) -> list[Any]:
        return self.client.post('/gradio_api/run/predict', json=self.body(RECEIVE, path)).json()['data']

    def join(self, path: str | None, **headers: str) -> Any:
        return self.client.post('/gradio_api/queue/join', json=self.body(RUN, path), headers=headers)

    def listen(self) -> Iterator[dict[str, Any]]:
        """Messages of the session's event stream."""
        with self.client.stream('GET', '/gradio_api/queue/data', params={'session_hash': self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith('data: '):
                    yield json.loads(line[6:])

    def run(self, path: str) -> list[Any]:
        """What the page shows after a run."""
        joined = self.join(path)
        assert joined.status_code == 200, joined.text
        for message in self.listen():
            if message['msg'] == 'process_completed' and message['event_id'] == joined.json()['event_id']:
                assert message['success'], message
                return message['output']['data']
        raise AssertionError('the stream ended before the run')

    def fetch(self, path: str) -> Any:
        return self.client.get(f'/gradio_api/file={path}')


def png(size: tuple[int, int] = (32, 24), seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)).save(file, 'PNG')
    return file.getvalue()


@pytest.fixture(scope='module')
def server(tmp_path_factory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp('server'))
    yield running
    running.stop()


@pytest.fixture
def visitor(server) -> Visitor:
    return Visitor(server.address)


def test_the_functions_have_these_numbers(visitor):
    names = {item['id']: item['api_name'] for item in visitor.client.get('/config').json()['dependencies']}
    assert (names[RECEIVE], names[RECEIVE_PARTNER], names[RUN]) == ('receive', 'receive_partner', 'run')
    assert '32 x 24 pixels' in visitor.run(visitor.place(png()))[0]


# Files --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def foreign(tmp_path_factory, server) -> Iterator[dict[str, str]]:
    """Paths that no visitor may name."""
    folder = tmp_path_factory.mktemp('home')
    (folder / 'diary.png').write_bytes(png(seed=7) + b'private words')
    os.mkfifo(folder / 'pipe.png')
    other = Visitor(server.address)
    theirs = other.place(png(seed=8), 'theirs.png')
    own_root = Path(theirs).parents[1]
    yield {
        'picture': str(folder / 'diary.png'), 'missing': str(folder / 'no such file.png'), 'folder': str(folder),
        'fifo': str(folder / 'pipe.png'), 'device': '/dev/zero', 'passwords': '/etc/passwd', 'theirs': theirs,
        'dots': f'{own_root}/x/../../../../../../../../../../../etc/passwd', 'relative': 'diary.png',
        'address': 'http://127.0.0.1:1/x.png', 'file address': f'file://{folder}/diary.png',
        'no byte': f'{theirs}\0', 'empty': '',
    }


WAYS = ['queue/join', 'run/predict', 'run/receive', 'run/run', 'api/predict', 'call/receive', 'call/run',
        'call/v2/receive', 'component_server', 'stream/x', 'cancel', 'reset']


@pytest.mark.parametrize('way', WAYS)
def test_foreign_files_are_refused_on_every_way_and_by_every_function(server, visitor, foreign, way):
    before = set(server.files())
    texts = set()
    for path in foreign.values():
        for function in (RECEIVE, RECEIVE_PARTNER, RUN):
            body = visitor.body(function, path)
            body |= {'component_id': 6, 'fn_name': 'preprocess', 'event_id': 'x', 'path': {'path': path}}
            answer = visitor.client.post(f'/gradio_api/{way}', json=body)
            assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text)
            texts.add(answer.text)
    # Whether a file exists does not show, and nothing was read into the served folder.
    assert len(texts) == 1 and set(server.files()) == before
    assert server.answers()


def test_foreign_files_are_not_served(server, visitor, foreign):
    texts = set()
    for path in foreign.values():
        for url in (f'file={path}', f'file/{path}', f'file=//{path}', f'proxy=http://{path}', f'stream/{path}'):
            with contextlib.suppress(httpx.InvalidURL):  # the client does not send control characters
                answer = visitor.client.get(f'/gradio_api/{url}')
                assert answer.status_code in (403, 404) and b'private words' not in answer.content
                texts.add(answer.text)
    assert len(texts) == 2 and server.answers()


def test_raw_requests_with_odd_paths_are_refused(server, foreign):
    address = urlsplit(server.address)
    for path in ('%2fetc%2fpasswd', '..%2f..%2f..%2f..%2fetc/passwd', '/etc/passwd%00.png', '%c0%ae%c0%ae/etc/passwd'):
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            connection.sendall(f'GET /gradio_api/file={path} HTTP/1.1\r\nHost: {address.netloc}\r\n'
                               'Connection: close\r\n\r\n'.encode())
            data = b''.join(iter(lambda: connection.recv(4096), b''))  # noqa: B023
        assert data.split()[1] in (b'403', b'404') and b'root:' not in data


def test_gradios_own_guard_works_behind_the_door(tmp_path, monkeypatch):
    """Without the door, Gradio itself refuses to copy a foreign file; without its guard, it does copy."""
    from starlette.testclient import TestClient

    app, engine_ = build(tmp_path, monkeypatch)
    gradio_app = app.routes[-1].app
    secret = tmp_path / 'diary.png'
    secret.write_bytes(b'private words')
    body = {'data': [{'path': str(secret), 'meta': {'_type': 'gradio.FileData'}}], 'fn_index': RECEIVE}

    def copies() -> list[Path]:
        files = [path for path in (tmp_path / 'web').rglob('*') if path.is_file()]
        return [path for path in files if path.read_bytes() == b'private words']

    with TestClient(app, base_url='http://127.0.0.1'):
        client = TestClient(gradio_app, base_url='http://127.0.0.1')
        assert client.post('/gradio_api/run/predict', json=body).status_code == 500 and not copies()
        gradio_app.get_blocks().has_launched = False
        client.post('/gradio_api/run/predict', json=body)
        assert copies()  # so the guard is what refused


def test_handlers_check_paths_themselves(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from mmweather.web.door import VISITOR
    from mmweather.web.page import _Handlers
    from mmweather.web.visitors import NOT_YOURS, Visitors, new_token

    _, engine_ = build(tmp_path, monkeypatch)
    handlers = _Handlers(engine_)
    visitors = Visitors(tmp_path / 'visitors')
    me, other = (visitors.visitor(new_token()) for _ in range(2))
    request = SimpleNamespace(request=SimpleNamespace(scope={VISITOR: me}))
    (tmp_path / 'diary.png').write_bytes(png())
    mine = me.keep('street.png', io.BytesIO(png()))
    os.mkfifo(mine.parent / 'pipe.png')
    (mine.parent / 'link.png').symlink_to(tmp_path / 'diary.png')
    assert 'role="alert"' not in handlers.receive(str(mine), request)[1]
    for path in (tmp_path / 'diary.png', other.keep('street.png', io.BytesIO(png())), mine.parent / 'pipe.png',
                 mine.parent / 'link.png', mine.parent, mine.parent / 'none.png', '/dev/zero', 7, {'path': str(mine)}):
        path = str(path) if isinstance(path, Path) else path
        for message in (handlers.receive(path, request)[1], handlers.receive_partner(path, request)[0],
                        handlers.run('restore', path, None, 0.3, request)[0],
                        handlers.run('restore', str(mine), path, 0.3, request)[0]):
            assert NOT_YOURS in message


def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Any, Any]:
    """An application in this process, and its engine."""
    monkeypatch.syspath_prepend(str(ROOT / 'tests' / 'web'))
    from web_toy import StandIn

    from mmweather.web import engine
    from mmweather.web.choices import Choice
    from mmweather.web.server import build_app

    monkeypatch.setattr(engine, 'Inferencer', StandIn)
    monkeypatch.setenv('GRADIO_TEMP_DIR', '')
    made = engine.Engine([Choice('restore', 'restore')], limits=engine.Limits(megabytes=0.01))
    return build_app(made, tmp_path / 'web', **options), made


# Other visitors -----------------------------------------------------------------------------------------------------


def test_results_and_uploads_are_served_to_their_visitor_only(server, visitor):
    upload = visitor.place(png())
    shown = visitor.run(upload)
    paths = [upload, shown[3]['value']['path'], *(side['path'] for side in shown[2])]
    stranger, nobody = Visitor(server.address), httpx.Client(base_url=server.address, timeout=60)
    for path in paths:
        assert visitor.fetch(path).status_code == 200
        assert stranger.fetch(path).status_code == nobody.get(f'/gradio_api/file={path}').status_code == 403
        assert stranger.client.post('/gradio_api/queue/join', json=stranger.body(RUN, path)).status_code == 403
        for folder in Path(path).parents[:3]:
            assert visitor.fetch(str(folder)).status_code == 403
        # 24 random bytes for the file, 16 of a hash for the visitor.
        assert len(Path(path).parts[-2]) == 32 == len(Path(path).parts[-3])
    assert len({Path(path).parts[-2] for path in paths}) == 2
    np.testing.assert_array_equal(read(visitor.fetch(paths[1]).content), read(png()) // 2)


def read(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert('RGB'))


def test_a_session_can_be_heard_by_its_visitor_only(server, visitor):
    eavesdropper = Visitor(server.address)
    eavesdropper.session = visitor.session
    event = visitor.join(visitor.place(png())).json()['event_id']
    assert all(message['msg'] == 'unexpected_error' for message in stopped(eavesdropper.listen()))
    heard = [message for message in visitor.listen() if message['msg'] == 'process_completed']
    assert heard and heard[0]['event_id'] == event


def stopped(messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(httpx.RemoteProtocolError):  # Gradio breaks a stream of an unknown session off
        yield from messages


def test_a_cookie_of_the_attackers_making_opens_no_folder(server, visitor):
    path = visitor.place(png())
    for cookie in ('', '../..', Path(path).parts[-3], 'x' * 43, '*' * 43):
        headers = {'cookie': f'mmweather_visitor={cookie}'}
        answer = httpx.get(f'{server.address}/gradio_api/file={path}', headers=headers)
        assert answer.status_code == 403


# Origins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('headers', [
    {'origin': 'http://evil.example'}, {'origin': 'http://localhost:1'}, {'origin': 'http://127.0.0.1'},
    {'origin': 'null'}, {'origin': 'http://[broken'}, {'sec-fetch-site': 'cross-site'},
    {'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'navigate'},
    {'origin': 'http://evil.example', 'x-forwarded-host': 'evil.example'},
])
def test_requests_of_other_sites_are_refused(server, visitor, headers):
    path = visitor.place(png())
    before = set(server.files())
    answers = [visitor.upload(png(seed=3), 'evil.png', **headers), visitor.join(path, **headers),
               visitor.client.post('/gradio_api/run/predict', json=visitor.body(RECEIVE, path), headers=headers),
               visitor.client.post('/gradio_api/cancel', json={}, headers=headers)]
    assert [answer.status_code for answer in answers] == [403] * 4 and set(server.files()) == before
    if 'origin' in headers:
        for method in ('GET', 'OPTIONS'):
            asked = {**headers, 'access-control-request-method': 'GET'}
            answer = visitor.client.request(method, '/config', headers=asked)
            assert answer.status_code == 403 and 'access-control-allow-origin' not in answer.headers


def test_requests_of_the_page_itself_and_links_to_it_pass(server, visitor):
    own = {'origin': server.address, 'sec-fetch-site': 'same-origin'}
    assert visitor.upload(png(), **own).status_code == 200
    assert visitor.join(visitor.place(png()), **own).status_code == 200
    link = {'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate'}
    assert visitor.client.get('/', headers=link).status_code == 200


# Uploads ------------------------------------------------------------------------------------------------------------


def test_a_visitor_keeps_a_limited_amount_and_the_oldest_goes_first(server, visitor):
    paths = [Path(visitor.place(secrets.token_bytes(900_000))) for _ in range(15)]
    there = [path.exists() for path in paths]
    assert sum(there) <= 11
    assert not any(there[:4]) and all(there[-8:])
    small = [Path(visitor.place(b'x')) for _ in range(120)]
    assert sum(path.exists() for path in small) <= 100 and small[-1].exists()


def test_uploads_of_many_visitors_have_a_limit_too(tmp_path, monkeypatch):
    from starlette.testclient import TestClient

    app, _ = build(tmp_path, monkeypatch)
    with TestClient(app, base_url='http://127.0.0.1') as client:
        statuses = []
        for _ in range(100):
            client.cookies.clear()
            answer = client.post('/gradio_api/upload', files={'files': ('a.png', bytes(9_900))})
            statuses.append(answer.status_code)
        held = sum(path.stat().st_size for path in (tmp_path / 'web').rglob('*') if path.is_file())
        assert 503 in statuses and statuses[:50] == [200] * 50 and held <= 800_000
        assert 'try again in some minutes' in answer.text
        # What is old makes room.
        for folder in (tmp_path / 'web' / 'visitors').glob('*/*'):
            os.utime(folder, (time.time() - 400, ) * 2)
        assert client.post('/gradio_api/upload', files={'files': ('a.png', bytes(9_900))}).status_code == 200


def test_an_upload_that_breaks_off_leaves_nothing(server, visitor):
    before = set(server.files())
    address = urlsplit(server.address)
    for _ in range(30):
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            connection.sendall(f'POST /gradio_api/upload HTTP/1.1\r\nHost: {address.netloc}\r\n'
                               'Content-Length: 1000000\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n'
                               '--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'.encode())
            connection.sendall(bytes(200_000))
    time.sleep(1)
    assert set(server.files()) == before
    assert visitor.upload(png()).status_code == 200


@pytest.mark.parametrize('name', ['', '.', '..', '/', '\\', '...', ' '])
def test_an_upload_without_a_name_is_refused_and_the_next_one_works(server, name):
    body = (f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\nx\r\n--b--\r\n').encode()
    head = {'content-type': 'multipart/form-data; boundary=b'}
    with httpx.Client(base_url=server.address, timeout=60) as client:  # one connection
        assert client.post('/gradio_api/upload', content=body, headers=head).status_code == 400
        assert client.post('/gradio_api/upload', files={'files': ('a.png', png())}).status_code == 200


def test_broken_uploads_are_refused(server, visitor):
    for content, kind in [(b'', 'multipart/form-data; boundary=b'), (b'x' * 99, 'multipart/form-data; boundary=b'),
                          (b'x', 'multipart/form-data'), (b'{}', 'application/json')]:
        answer = visitor.client.post('/gradio_api/upload', content=content, headers={'content-type': kind})
        assert 400 <= answer.status_code < 500, (content, kind, answer.status_code)
    many = [('files', (f'{number}.png', b'x')) for number in range(20)]
    assert visitor.client.post('/gradio_api/upload', files=many).status_code == 400
    chunked = visitor.client.post('/gradio_api/upload', content=iter([b'x']),
                                  headers={'content-type': 'multipart/form-data; boundary=b'})
    assert chunked.status_code == 411
    assert server.answers()


def test_names_of_uploads_stay_in_the_folder(visitor, server):
    for name in ('../../../evil.png', '..\\..\\evil.png', '/etc/cron.d/evil.png', 'a' * 300 + '.png', '\u202eevil.png',
                 '.hidden.png', '雪' * 200 + '.png'):
        path = Path(visitor.place(png(), name))
        assert path.is_file() and path.is_relative_to(server.folders()[0]) and len(path.name) <= 60
        assert visitor.run(str(path))[3]['value']['path'].endswith('_restore.png')


def test_bombs_and_large_files_are_named_with_their_size(visitor):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    for width, words in [(20000, "'bomb.png' has 200 megapixels; at most 1 megapixels"),
                         (200, "'bomb.png' has 200 x 10000 pixels; at most 1 megapixels")]:
        bomb = (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, 10000, 8, 2, 0, 0, 0)) +
                chunk(b'IDAT', zlib.compress(bytes(9999))) + chunk(b'IEND', b''))
        path = visitor.place(bomb, 'bomb.png')
        assert words.replace("'", '&#x27;') in str(visitor.receive(path)), visitor.receive(path)
    answer = visitor.upload(bytes(1_030_000), 'heavy.png')
    assert answer.status_code == 413 and "'heavy.png' has 1.03 MB; at most 1 MB" in answer.text


# Requests that the page does not send -------------------------------------------------------------------------------


@pytest.mark.parametrize('path', ['openapi.json', 'docs', 'redoc', 'gradio_api/openapi.json', 'gradio_api/info',
                                  'monitoring', 'gradio_api/queue/status', 'gradio_api/runs', 'login', 'token',
                                  'gradio_api/vibe-code', 'gradio_api/deep_link', 'gradio_api/heartbeat/x',
                                  'gradio_api/custom_component/a/b/c/d', 'svelte/x', 'config/', '//evil.example/'])
def test_other_routes_of_gradio_are_closed(visitor, path):
    assert visitor.client.get(f'/{path}').status_code == 404


BROKEN = [b'', b'[]', b'no json', b'{"data": [' + b'[' * 200_000, b'{"x": "' + b'y' * 300_000,
          b'{"data": [], "fn_index": 99, "session_hash": "a"}', b'{"session_hash": {}}', b'\xff\xfe{',
          b'{"data": null, "fn_index": 2}', b'{"data": [1e999], "fn_index": 2}']


@pytest.mark.parametrize('content', BROKEN, ids=range(len(BROKEN)))
def test_broken_requests_do_not_stop_the_server(server, visitor, content):
    headers = {'content-type': 'application/json'}
    for way in ('queue/join', 'run/predict', 'cancel'):
        answer = visitor.client.post(f'/gradio_api/{way}', content=content, headers=headers)
        assert answer.status_code >= 400 or way == 'cancel'
    assert server.answers()


# Many visitors ------------------------------------------------------------------------------------------------------


def test_a_visitor_who_leaves_does_not_block_the_next(server):
    leaving = [Visitor(server.address) for _ in range(4)]
    for number, gone in enumerate(leaving):
        assert gone.join(gone.place(png(), 'slow.png')).status_code == 200
        if number % 2:  # two leave in the middle of their event stream, two never listen
            next(iter(gone.listen()))
        gone.client.close()
    started = time.monotonic()
    after = Visitor(server.address)
    assert '32 x 24 pixels' in after.run(after.place(png()))[0]
    # At most the two whose streams were never opened, and the one that is at work, are waited for.
    assert time.monotonic() - started < 30


def test_a_run_asked_for_while_the_last_event_ends_is_heard_of(server):
    """What hung the page in Chromium: it asks for a run before it has read that its event stream is closed.

    The visitor does as Gradio's script does: functions without queue are called directly; the others join the queue,
    and a stream is opened if none is believed to be open.
    """
    visitor = Visitor(server.address)
    queued = {item['id'] for item in visitor.client.get('/config').json()['dependencies'] if item['queue']}
    path = visitor.place(png())
    stream = None

    def call(function: int) -> str | None:
        nonlocal stream
        if function not in queued:
            answer = visitor.client.post('/gradio_api/run/predict', json=visitor.body(function, path))
            assert answer.status_code == 200
            return None
        answer = visitor.client.post('/gradio_api/queue/join', json=visitor.body(function, path))
        stream = stream or visitor.listen()
        return answer.json()['event_id']

    # The second upload is answered on the server, and the stream closed, before the page reads on.
    first = call(RECEIVE_PARTNER)
    if first:
        next(stream)
    time.sleep(2)
    event = call(RUN)
    heard = [message.get('event_id') for message in stream if message['msg'] == 'process_completed']
    assert event in heard


def test_eight_visitors_at_once_get_their_own_results_and_memory_stays_flat(server):
    def visit(seed: int) -> None:
        me = Visitor(server.address)
        for turn in range(4):
            data = png((200, 150), seed=100 * seed + turn)
            shown = me.run(me.place(data))
            np.testing.assert_array_equal(read(me.fetch(shown[3]['value']['path']).content), read(data) // 2)

    memory = []
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(visit, range(8)))
        memory.append(server.memory())
    assert memory[-1] - memory[0] < 40, memory


# Ends ---------------------------------------------------------------------------------------------------------------


ENDS = [('SIGTERM', 143, 'stopped by SIGTERM'), ('SIGHUP', 129, 'stopped by SIGHUP'), ('SIGINT', 130, 'interrupted')]


@pytest.mark.parametrize('name, status, line', ENDS)
def test_a_signal_ends_the_server_in_one_line_and_nothing_stays(tmp_path, name, status, line):
    server = Server(tmp_path)
    try:
        guest = Visitor(server.address)
        guest.run(guest.place(png()))
        assert len(server.files()) >= 4
        server.process.send_signal(getattr(signal, name))
        out, err = server.process.communicate(timeout=60)
        assert server.process.returncode == status
        assert out == '' and err.strip() == line
        assert not server.folders()
    finally:
        server.stop()


def test_what_a_killed_server_left_is_removed_by_the_next_one(tmp_path):
    first = Server(tmp_path)
    second = third = None
    try:
        guest = Visitor(first.address)
        path = guest.place(png())
        second = Server(tmp_path)  # leaves a server at work alone
        assert len(first.folders()) == 2 and Path(path).exists()
        first.process.kill()
        first.process.wait(timeout=60)
        assert Path(path).exists()
        third = Server(tmp_path)
        assert not Path(path).exists() and len(third.folders()) == 2
        assert second.answers()
    finally:
        for server in (first, second, third):
            if server is not None:
                server.stop()


# A proxy ------------------------------------------------------------------------------------------------------------


def test_behind_a_proxy_the_page_knows_its_name_and_path(tmp_path, monkeypatch):
    from starlette.testclient import TestClient

    from mmweather.errors import ConfigError

    app, engine_ = build(tmp_path, monkeypatch, root_path='/weather/', allowed_hosts=['pictures.example'])
    seen = {'host': 'pictures.example', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example'}
    with TestClient(app, base_url='http://127.0.0.1') as client:
        for path in ('/config', '/weather/config'):  # whether the proxy takes the path off or not
            assert client.get(path, headers=seen).json()['root'] == 'https://pictures.example/weather'
        upload = client.post('/weather/gradio_api/upload', files={'files': ('a.png', png((8, 8)))},
                             headers={**seen, 'origin': 'https://pictures.example'})
        path = upload.json()[0]
        body = {'data': [{'path': path, 'meta': {'_type': 'gradio.FileData'}}], 'fn_index': RECEIVE}
        shown = client.post('/gradio_api/run/predict', json=body, headers=seen).json()['data'][0]['value']
        assert shown['url'] == f"https://pictures.example/weather/gradio_api/file={shown['path']}"
        assert client.get(f"/weather/gradio_api/file={shown['path']}", headers=seen).status_code == 200
        assert client.get(f"/weather/gradio_api/file={tmp_path}/secret", headers=seen).status_code == 403
        for host in ('evil.example', 'pictures.example.evil.example', ''):
            assert client.get('/config', headers={'host': host}).status_code == 400
        assert client.get('/weather/docs').status_code == 404
        answer = client.post('/gradio_api/upload', headers={**seen, 'origin': 'https://evil.example'},
                             files={'files': ('a.png', b'x')})
        assert answer.status_code == 403
    from mmweather.web.server import build_app
    for wrong in ('weather', '//evil.example', '/a b', 'https://evil.example'):
        with pytest.raises(ConfigError, match='cannot be a root path'):
            build_app(engine_, tmp_path / 'web', root_path=wrong)
