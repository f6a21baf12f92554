"""Serving the page, to this machine alone unless told otherwise."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, missing_toolbox
from .engine import Engine

if TYPE_CHECKING:
    from fastapi import FastAPI

LOCAL_HOSTS = ('127.0.0.1', 'localhost')
# The browser is told to load nothing from other hosts, whatever the page or a library in it asks for.  Gradio's own
# scripts stand in the page and are compiled in the browser, hence the exceptions.
POLICY = ("default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
          "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; form-action 'self'; object-src 'none'")


def quiet_gradio() -> None:
    """Switch off what Gradio and the hub's client would tell their makers; to be called before they are imported."""
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ConfigError: the address or the port cannot be had.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or str(error)
        raise ConfigError(f"cannot listen at {host}:{port} ({reason}); give another --host or --port, 0 for a free "
                          'port') from None


def build_app(engine: Engine, folder: Path, host: str = '127.0.0.1') -> FastAPI:
    """The application: the page at ``/``, behind headers that keep it to itself.

    Args:
        engine: what answers.
        folder: where uploads and results are kept.
        host: where it will listen; a local one is not answered under other names.

    Raises:
        MissingToolboxError: Gradio is not installed.
    """
    quiet_gradio()
    os.environ['GRADIO_TEMP_DIR'] = str(folder / 'uploads')
    try:
        import gradio
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from .page import CSS, build_page
    except ModuleNotFoundError as error:
        if (error.name or '').split('.')[0] == 'mmweather':
            raise
        raise missing_toolbox("'mmweather web'", error) from error
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Headers)
    if host in LOCAL_HOSTS:
        # Or a page elsewhere could give its own name this machine's address and read along.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL_HOSTS))
    results = folder / 'results'
    theme = gradio.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
    return gradio.mount_gradio_app(
        app, build_page(engine, results), path='/', theme=theme, css=CSS, allowed_paths=[str(results)],
        max_file_size=int(engine.limits.megabytes * 1e6), show_error=False, ssr_mode=False, footer_links=[],
        run_history=False, enable_monitoring=False, mcp_server=False, pwa=False)


class _Headers:
    """Adds headers to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
        async def with_headers(message: Any) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message.get('headers', []), (b'content-security-policy', POLICY.encode()),
                                      (b'referrer-policy', b'no-referrer'), (b'x-content-type-options', b'nosniff')]
            await send(message)

        await self.app(scope, receive, with_headers)


def serve(engine: Engine, host: str = '127.0.0.1', port: int = 7860, open_browser: bool = False) -> None:
    """Serve the page until interrupted; uploads and results are deleted at the end.

    Args:
        engine: what answers.
        host: address to listen at; other machines reach the page if it is not a local one.
        port: 0 takes a free one.
        open_browser: show the page in the default browser.

    Raises:
        ConfigError: the address or the port cannot be had.
        MissingToolboxError: Gradio is not installed.
        MMWeatherError: the first model cannot be loaded.
    """
    with bind(host, port) as listener, tempfile.TemporaryDirectory(prefix='mmweather-web-') as folder:
        app = build_app(engine, Path(folder), host)
        import uvicorn

        # Before the page is there, so that a mistake is told here, and the first visitor does not wait.
        engine.load(next(iter(engine.choices)))

        shown = f'[{host}]' if ':' in host else host
        address = f'http://{shown}:{listener.getsockname()[1]}'
        if host not in (*LOCAL_HOSTS, '::1'):
            print('warning: other machines can reach this page, and there is no password', file=sys.stderr)
        print(f'mmweather web: {address} (Ctrl-C ends it)', flush=True)
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        config = uvicorn.Config(app, log_level='warning', access_log=False, timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[listener])
