"""Serving the page, by default to this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import os
import re
import shutil
import signal
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, missing_toolbox, print_stopped
from . import visitors as visitors_module
from .engine import Engine
from .visitors import Quota, Visitors

if TYPE_CHECKING:
    from fastapi import FastAPI

LOCAL_HOSTS = ('127.0.0.1', 'localhost')
_PREFIX = 'mmweather-web-'
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def quiet_gradio() -> None:
    """Switch off what Gradio and the hub's client would tell their makers; to be called before they are imported."""
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    os.environ['GRADIO_ANALYTICS_MAX_EVENTS'] = '100'  # kept in memory, and gone through after every run


def is_local(host: str) -> bool:
    """Whether only this machine reaches what listens at an address: ``localhost``, ``127.0.0.0/8``, ``::1``."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.partition('%')[0]).is_loopback
    return host.lower() in LOCAL_HOSTS


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


def build_app(engine: Engine, folder: Path, host: str = '127.0.0.1', allowed_hosts: Sequence[str] = (),
              root_path: str = '') -> FastAPI:
    """Build the application: the page at ``/``, behind :class:`mmweather.web.door.Door`.

    Args:
        engine: what answers.
        folder: where uploads and results are kept.
        host: where it will listen; a local one is not answered under other names.
        allowed_hosts: names of the machine at which a proxy shows the page; with them no other is answered.
        root_path: path at which a proxy shows the page, such as ``/weather``.

    Raises:
        ConfigError: the root path does not start with one slash.
        MissingToolboxError: Gradio is not installed.
    """
    root_path = root_path.rstrip('/')
    if root_path and not re.fullmatch(r'(/[\w.~-]+)+', root_path, re.ASCII):
        raise ConfigError(f"'{root_path}' cannot be a root path; give one like /weather")
    quiet_gradio()
    limits = engine.limits
    # Ten of the largest files for a visitor, which is as much as one restored picture may take.
    visitors = Visitors(folder / 'visitors', Quota(megabytes=10 * limits.megabytes))
    os.environ['GRADIO_TEMP_DIR'] = str(visitors.root)
    try:
        import gradio
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from .door import UPLOAD, Door
        from .page import CSS, build_page
        from .uploads import PROGRESS, progress, take
    except ModuleNotFoundError as error:
        if (error.name or '').split('.')[0] == 'mmweather':
            raise
        raise missing_toolbox("'mmweather web'", error) from error
    page = build_page(engine)
    max_bytes = int(limits.megabytes * 1e6)

    @contextlib.asynccontextmanager
    async def sweeping(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep(visitors, page.temp_file_sets))
        yield
        task.cancel()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=sweeping)
    app.add_middleware(Door, visitors=visitors, hosts=allowed_hosts, root_path=root_path, max_bytes=max_bytes)
    if is_local(host) or allowed_hosts:
        # Or a page elsewhere could give its own name this machine's address and read along. Of '[::1]:7860' releases of
        # Starlette see '::1', '[::1]' or '['; a name that somebody could redirect does not begin so.
        own = (host, '::1', '[::1]', '[') if ':' in host else (host, )
        app.add_middleware(TrustedHostMiddleware, www_redirect=False, allowed_hosts=[
            *LOCAL_HOSTS, *(own if is_local(host) else ()), *allowed_hosts])
    app.add_route(UPLOAD, take(max_bytes), methods=['POST'])
    app.add_route(PROGRESS, progress)
    theme = gradio.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
    gradio.mount_gradio_app(
        app, page, path='/', theme=theme, css=CSS, max_file_size=max_bytes, show_error=False, ssr_mode=False,
        footer_links=[], run_history=False, enable_monitoring=False, mcp_server=False, pwa=False, root_path=root_path)
    # Gradio's own guard of files returns at once while this is False, and only `launch` sets it.
    page.has_launched = True
    return app


async def _sweep(visitors: Visitors, temp_files: list[set[str]]) -> None:
    """Delete what is old, and let Gradio forget the names of files that it believes to keep."""
    while True:
        await asyncio.sleep(min(60, visitors_module.KEPT))
        await asyncio.to_thread(visitors.sweep)
        for files in temp_files:
            files.clear()


def serve(engine: Engine, host: str = '127.0.0.1', port: int = 7860, open_browser: bool = False,
          allowed_hosts: Sequence[str] = (), root_path: str = '') -> None:
    """Serve the page until interrupted; uploads and results are deleted at the end.

    Args:
        engine: what answers.
        host: address to listen at; other machines reach the page if it is not a local one.
        port: 0 takes a free one.
        open_browser: show the page in the default browser.
        allowed_hosts: see :func:`build_app`.
        root_path: see :func:`build_app`.

    Raises:
        ConfigError: the address or the port cannot be had, or the root path is no path.
        KeyboardInterrupt: Ctrl-C ended it.
        MissingToolboxError: Gradio is not installed.
        MMWeatherError: the first model cannot be loaded.
        SystemExit: a signal ended it; with 128 and the number of the signal.
    """
    with bind(host, port) as listener, _signals_exit(), _own_folder() as folder:
        app = build_app(engine, folder, host, allowed_hosts, root_path)
        import uvicorn

        # Before the page is there, so that a mistake is reported here, and the first visitor does not wait.
        engine.load(next(iter(engine.choices)))

        shown = f'[{host}]' if ':' in host else host
        address = f'http://{shown}:{listener.getsockname()[1]}'
        if not is_local(host):
            print('warning: other machines can reach this page, and there is no password', file=sys.stderr)
        print(f'mmweather web: {address} (Ctrl-C ends it)', flush=True)
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        # uvicorn shuts down on these, then raises the signal again for the handler that was there before.
        uvicorn.server.HANDLED_SIGNALS = (signal.SIGINT, *_SIGNALS)  # type: ignore[assignment]
        config = uvicorn.Config(app, log_level='warning', access_log=False, timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _signals_exit() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exit that cleans up, unless a handler for them is there already."""

    def leave(number: int, _: Any) -> None:
        print_stopped(number)
        raise SystemExit(128 + number)

    mine = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL
            and threading.current_thread() is threading.main_thread()]
    for number in mine:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """Yield a temporary folder, deleted at the end, after deleting those of servers that were killed."""
    for old in Path(tempfile.gettempdir()).glob(f'{_PREFIX}*'):
        with contextlib.suppress(OSError):  # another user's, or in use
            if stat.S_ISDIR(old.lstat().st_mode) and old.lstat().st_uid == os.geteuid():
                with _locked(old, fcntl.LOCK_NB):
                    shutil.rmtree(old, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        folder: Path | None = None
        while folder is None or not folder.exists():  # deleted by another start before it was locked
            with contextlib.suppress(FileNotFoundError):
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                stack.enter_context(_locked(folder))
        yield folder


@contextlib.contextmanager
def _locked(folder: Path, flags: int = 0) -> Iterator[None]:
    """Hold the lock of a folder, which ends with the process; with ``fcntl.LOCK_NB``, raise OSError if it is held."""
    handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(handle)
