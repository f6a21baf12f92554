"""The page in a real browser, without a screen: upload, run, see, download, and a bad file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from web_toy import small_model

from mmweather.utils.images import read_image, write_image

webdriver = pytest.importorskip('selenium.webdriver', reason='selenium drives the browser: pip install selenium')
ROOT = Path(__file__).resolve().parents[2]
BROWSER, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason='no browser: apt-get install chromium chromium-driver'),
]
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage',
         '--disable-background-networking', '--disable-component-update', '--disable-sync', '--window-size=1300,1000')
# In the server, every connection to another machine is written down.
WATCH = '''
import socket
real = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX and not str(address[0]).startswith(('127.', '::1')):
        with open({log!r}, 'a') as file:
            print(address, file=file)
    return real(self, address)
socket.socket.connect = connect
'''


def wait_for(what: Callable[[], Any], seconds: float = 180) -> Any:
    """What it returns once that is true; faults of a page that is being redrawn are passed over."""
    from selenium.common.exceptions import WebDriverException

    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(WebDriverException):
            if found := what():
                return found
        assert time.monotonic() < until, f'not within {seconds} s: {what}'
        time.sleep(0.1)


@pytest.fixture(scope='module')
def server(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The address of the page, and the file where its connections to other machines would stand."""
    pytest.importorskip('gradio', reason="the page needs Gradio: pip install 'mmweather[web]'")
    folder = tmp_path_factory.mktemp('server')
    log = folder / 'connections.txt'
    (folder / 'sitecustomize.py').write_text(WATCH.format(log=str(log)))
    words = ['web', '--port', '0', '--device', 'cpu', '--max-mb', '0.5', '--max-mp', '0.05']
    for name in ('clean', 'fuse'):
        config, weights = small_model(folder, name)
        words += ['--model', config, '--checkpoint', weights]
    environment = {**os.environ, 'PYTHONPATH': f'{folder}{os.pathsep}{ROOT}', 'TMPDIR': str(folder)}
    process = subprocess.Popen([sys.executable, '-m', 'mmweather.cli', *words], stdout=subprocess.PIPE, text=True,
                               cwd=folder, env=environment)
    try:
        first = process.stdout.readline()
        assert first.startswith('mmweather web: http://127.0.0.1:'), first
        yield first.split()[2], log
        # Ctrl-C is how the page is left: no traceback, no error, nothing stays behind.
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        assert not list(folder.glob('mmweather-web-*'))
    finally:
        process.kill()
        process.wait(timeout=120)
        process.stdout.close()


@pytest.fixture(scope='module')
def browser(server, tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    downloads = tmp_path_factory.mktemp('downloads')
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.add_experimental_option('prefs', {'download.default_directory': str(downloads)})
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL'})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.downloads = downloads
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page as a visitor uses it."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        driver.get(address)
        wait_for(lambda: 'Restores pictures.' in self.text('#about'))

    def find(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements('css selector', selector))

    def text(self, selector: str) -> str:
        return ' '.join(item.text for item in self.find(selector))

    def upload(self, where: str, file: Path) -> None:
        # A file that is there has a button to take it away, and no input.
        for item in self.find(f'{where} button[aria-label="Clear"]'):
            item.click()
        wait_for(lambda: self.find(f'{where} input[type=file]'))[0].send_keys(str(file))

    def press(self) -> None:
        wait_for(lambda: self.find('#run'))[0].click()

    def pictures(self) -> list[tuple[int, int]]:
        """Width and height of the two pictures below the slider, once they are loaded."""
        size = 'return [arguments[0].naturalWidth, arguments[0].naturalHeight]'
        return [tuple(self.driver.execute_script(size, item)) for item in self.find('#result img')]

    def choose(self, label: str) -> None:
        self.find('#model input')[0].click()
        wait_for(lambda: [item for item in self.find('#model [role=option]') if label in item.text])[0].click()


@pytest.fixture(scope='module')
def page(browser, server) -> Page:
    return Page(browser, server[0])


@pytest.fixture(scope='module')
def street(tmp_path_factory) -> Path:
    rows, columns = np.mgrid[:91, :123]
    picture = np.stack([columns * 2, rows * 2, (rows + columns) % 256], axis=2).astype(np.uint8)
    return write_image(tmp_path_factory.mktemp('pictures') / 'rainy street.png', picture)


def test_a_visitor_uploads_a_picture_sees_the_result_and_takes_it_home(page, street):
    assert page.driver.title == 'mmweather' and not page.find('#download:enabled')
    page.upload('#picture', street)
    wait_for(lambda: page.find('#preview img'))
    page.press()
    wait_for(lambda: '123 x 91 pixels' in page.text('#message'))
    wait_for(lambda: page.pictures() == [(123, 91), (123, 91)])
    wait_for(lambda: page.find('#download:enabled'))[0].click()
    file = page.driver.downloads / 'rainy street_restore.png'
    wait_for(file.exists)
    result = read_image(file)
    assert result.shape == (91, 123, 3) and not np.array_equal(result, read_image(street))


def test_a_bad_file_gets_a_message_and_no_result(page, tmp_path):
    bad = tmp_path / 'notes.png'
    bad.write_text('these are no pixels')
    page.upload('#picture', bad)
    wait_for(lambda: "'notes.png' is not an image" in page.text('#message [role=alert]'))
    page.press()
    wait_for(lambda: not page.pictures() and "'notes.png' is not an image" in page.text('#message [role=alert]'))
    assert not page.find('#download:enabled')


def test_pictures_that_are_too_large_get_a_message(page, tmp_path):
    Image.new('RGB', (400, 300)).save(tmp_path / 'many.png')
    page.upload('#picture', tmp_path / 'many.png')
    wait_for(lambda: 'at most 0.05 megapixels' in page.text('#message [role=alert]'))
    heavy = tmp_path / 'heavy.png'
    heavy.write_bytes(bytes(600_000))
    page.upload('#picture', heavy)
    wait_for(lambda: 'exceed the maximum allowed size' in page.text('body'))


def test_a_model_of_two_pictures_asks_for_the_second(page, street):
    assert not page.find('#partner input[type=file]')
    page.choose('fuse')
    wait_for(lambda: page.find('#partner input[type=file]'))
    page.upload('#picture', street)
    wait_for(lambda: page.find('#preview img'))
    page.press()
    wait_for(lambda: 'Infrared image: choose a file first' in page.text('#message [role=alert]'))
    page.upload('#partner', street)
    wait_for(lambda: 'rainy street' in page.text('#partner'))
    page.press()
    wait_for(lambda: page.pictures() == [(123, 91), (123, 91)])


def test_neither_page_nor_server_asked_another_machine(page, server):
    requests = [json.loads(entry['message'])['message'] for entry in page.driver.get_log('performance')]
    urls = [item['params']['request']['url'] for item in requests if item['method'] == 'Network.requestWillBeSent']
    hosts = {urlsplit(url).hostname for url in urls if url.startswith(('http', 'ws'))}
    assert hosts == {'127.0.0.1'}
    assert not server[1].exists(), server[1].read_text()
