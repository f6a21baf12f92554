"""The door of the server: the page's own requests about the visitor's own files pass, all others are refused.

Gradio serves more than this page needs, and reads files that a request names before a handler sees them.  So requests
are checked here, before Gradio.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse

from ..errors import DataError
from .visitors import NOT_YOURS, Visitor, Visitors, new_token

VISITOR = 'mmweather.visitor'
"""Key of the ASGI scope under which handlers find the visitor."""
COOKIE = 'mmweather_visitor'
# The browser is asked to load nothing from other hosts, whatever the page or a library in it asks for.  Gradio's own
# scripts stand in the page and are compiled in the browser, hence the exceptions.
POLICY = ("default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
          "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; form-action 'self'; object-src 'none'")
_API = '/gradio_api/'
_FILE = f'{_API}file='
UPLOAD = f'{_API}upload'
_READS = re.compile(rf'/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|(assets|static)/.+'
                    rf'|{_API[1:]}(app_id|startup-events|queue/data|upload_progress|file=.+))?')
_WRITES = re.compile(rf'{_API}(upload|queue/join|cancel|reset|run/[^/]+)')
_LONGEST_JSON = 1 << 18
_FRAME = 1 << 16
"""Bytes of a multipart body around its file, at most."""


class Refused(Exception):
    """A request that does not pass.

    Args:
        status: HTTP status.
        reason: what the visitor reads.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Door:
    """ASGI middleware that refuses foreign requests, and names the visitor of the others.

    Args:
        app: what is behind the door.
        visitors: folders of the visitors.
        hosts: names, other than the one in the Host header, from which requests may come; those of a proxy.
        root_path: path at which a proxy shows the page; taken off where the proxy has not done it.
        max_bytes: size of the largest upload.
    """

    def __init__(self, app: Any, visitors: Visitors, hosts: Collection[str], root_path: str, max_bytes: int) -> None:
        self.app, self.visitors, self.hosts = app, visitors, hosts
        self.root_path, self.max_bytes = root_path, max_bytes

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Answer a request, or hand it on."""
        if scope['type'] == 'lifespan':
            return await self.app(scope, receive, send)
        if scope['type'] != 'http':
            return await send({'type': 'websocket.close', 'code': 1008})
        headers = MutableHeaders(raw=[item for item in scope['headers']
                                      if item[0] not in (b'x-forwarded-host', b'x-gradio-server')])
        token = _cookie(headers)
        secret = token or new_token()
        visitor = self.visitors.visitor(secret)

        async def answer(message: Any) -> None:
            if message['type'] == 'http.response.start':
                added = MutableHeaders(raw=list(message.get('headers', [])))
                added['content-security-policy'] = POLICY
                added['referrer-policy'] = 'no-referrer'
                added['x-content-type-options'] = 'nosniff'
                if token is None and (scope['method'] == 'POST' or path == '/'):
                    added.append('set-cookie', f'{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict')
                message = {**message, 'headers': added.raw}
            await send(message)

        path = scope['path']
        if self.root_path and path.startswith(f'{self.root_path}/'):
            path = path[len(self.root_path):]
        scope = {**scope, 'path': path, 'raw_path': path.encode(), 'headers': headers.raw, VISITOR: visitor}
        try:
            self._check_origin(scope['method'], headers)
            await self._check(scope, headers, receive, visitor)
        except Refused as error:
            # The page shows the text of a refused upload as it is, and the detail of other requests.
            response = (PlainTextResponse(error.reason, error.status) if path == UPLOAD else
                        JSONResponse({'detail': error.reason}, error.status))
            return await response(scope, receive, answer)
        return await self.app(scope, scope.pop('mmweather.receive', receive), answer)

    def _check_origin(self, method: str, headers: Headers) -> None:
        """Refuse what another site's page sends; links from there to the page are fine."""
        origin, host = headers.get('origin'), headers.get('host', '')
        followed = method in ('GET', 'HEAD') and headers.get('sec-fetch-mode') == 'navigate'
        foreign = headers.get('sec-fetch-site', 'none') not in ('same-origin', 'none') and not followed
        if origin is not None:
            try:
                parts = urlsplit(origin)
                foreign |= parts.netloc.lower() != host.lower() and parts.hostname not in self.hosts
            except ValueError:
                foreign = True
        if foreign:
            raise Refused(403, 'requests of other sites are refused')

    async def _check(self, scope: Any, headers: Headers, receive: Callable[[], Any], visitor: Visitor) -> None:
        """Refuse what the page does not send, and files that are not the visitor's."""
        path = scope['path']
        if scope['method'] in ('GET', 'HEAD'):
            if not _READS.fullmatch(path):
                raise Refused(404, 'not found')
            if path.startswith(_FILE):
                _own(visitor, path[len(_FILE):])
            if 'queue/data' in path:
                session = parse_qs(scope['query_string'].decode('latin-1')).get('session_hash', [''])[0]
                scope['query_string'] = urlencode({'session_hash': visitor.private(session)}).encode()
        elif scope['method'] != 'POST' or not _WRITES.fullmatch(path):
            raise Refused(404 if scope['method'] == 'POST' else 405, 'not found')
        elif path == UPLOAD:
            length = headers.get('content-length', '')
            if not re.fullmatch('[0-9]{1,18}', length):
                raise Refused(411, 'an upload states its length')
            if int(length) > self.max_bytes + _FRAME:
                raise Refused(413, f'the upload has {int(length) / 1e6:.3g} MB; at most {self.max_bytes / 1e6:g} MB '
                              'are taken here')
        else:
            body = _checked(await _read(receive), visitor)
            # What is handed on is what was checked, in one spelling.
            headers_ = MutableHeaders(raw=scope['headers'])
            headers_['content-length'] = str(len(body))
            scope['headers'] = headers_.raw
            scope['mmweather.receive'] = _replay(body, receive)


def _cookie(headers: Headers) -> str | None:
    try:
        value = SimpleCookie(headers.get('cookie', '')).get(COOKIE)
    except CookieError:
        return None
    return value.value if value is not None and re.fullmatch(r'[\w-]{43}', value.value, re.ASCII) else None


def _own(visitor: Visitor, path: object) -> None:
    try:
        visitor.own(path)
    except DataError:
        raise Refused(403, NOT_YOURS) from None


async def _read(receive: Callable[[], Any]) -> bytes:
    body = b''
    while True:
        message = await receive()
        if message['type'] == 'http.disconnect':
            raise Refused(400, 'the request was not sent to its end')
        body += message.get('body', b'')
        if len(body) > _LONGEST_JSON:
            raise Refused(413, 'the request is too long')
        if not message.get('more_body'):
            return body


def _checked(body: bytes, visitor: Visitor) -> bytes:
    """The JSON of a request: each file in it is the visitor's, and the session has a name that others cannot give."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, 'the request is not JSON') from None
    if not isinstance(value, dict):
        raise Refused(400, 'the request is not a JSON object')
    found: list[Any] = [value]
    while found:
        item = found.pop()
        if isinstance(item, dict):
            if 'path' in item:
                _own(visitor, item['path'])
            found += item.values()
        elif isinstance(item, list):
            found += item
    if value.get('session_hash') is not None:
        value['session_hash'] = visitor.private(str(value['session_hash']))
    return json.dumps(value).encode()


def _replay(body: bytes, receive: Callable[[], Any]) -> Callable[[], Any]:
    left = [{'type': 'http.request', 'body': body, 'more_body': False}]

    async def replayed() -> Any:
        return left.pop() if left else await receive()

    return replayed
