"""Checkpoints given by address: downloaded to a file once, checked, and kept where PyTorch keeps its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import CheckpointError
from .atomic import unnamed_file
from .text import did_you_mean

#: Seconds without a byte after which a server is given up.
TIMEOUT = 30
#: Largest file that is downloaded, in bytes.
LARGEST = 64 * 2**30
_CHUNK = 2**20
# The first digits of the file's SHA-256, as PyTorch and OpenMMLab name files: `resnet18-f37072fd.pth`; a date is none.
_CHECKSUM = re.compile(r'-(?!20\d\d[01]\d[0-3]\d\.)([0-9a-f]{8,64})\.\w+$')
_ZOOS = ('modelzoo', 'torchvision', 'open-mmlab', 'openmmlab', 'mmcls')


def is_address(source: str | os.PathLike[str]) -> bool:
    """Whether a source of weights is an address rather than a file."""
    return '://' in os.fspath(source)


def local_file(source: str | os.PathLike[str]) -> Path:
    """Return the file of a source of weights, downloaded first if it is an address.

    A download is kept in ``checkpoints`` of PyTorch's hub folder (``TORCH_HOME``) and used again. A file whose name
    carries a checksum is checked against it each time. One without lies in a folder of its address, so two
    ``best.pth`` of two servers are not confused. Several processes download one file once.

    Args:
        source: a path, ``http://`` or ``https://``, a name in a zoo of MMEngine (``torchvision://``,
            ``modelzoo://``, ``open-mmlab://``, ``openmmlab://``, ``mmcls://``).

    Raises:
        CheckpointError: the scheme or the name is unknown, or the download failed or is not what its name says.
    """
    text = os.fspath(source)
    if not is_address(text):
        return Path(text).expanduser()
    scheme = text.partition('://')[0].lower()
    if scheme in ('http', 'https'):
        return _downloaded(text)
    if scheme in _ZOOS:
        found = _in_zoo(text, scheme)
        return _downloaded(found) if is_address(found) else Path(found)
    fix = ('give the path itself' if scheme == 'file' else
           'download the file and give its path, or give an http(s) address')
    raise CheckpointError(f"{text}: weights are not read from '{scheme}://'; {fix}")


def _cache() -> Path:
    import torch
    return Path(torch.hub.get_dir()) / 'checkpoints'


def _downloaded(address: str) -> Path:
    try:
        name = unquote(urlsplit(address).path).rpartition('/')[2]
    except ValueError as error:
        raise CheckpointError(f'{address}: is no address ({error}); check it') from None
    if not re.fullmatch(r'[\w.+=@ ~()-]{1,200}', name) or name.startswith('.'):
        raise CheckpointError(f'{address}: the address does not end in the name of a file; give the full address of '
                              'the checkpoint')
    checksum = _CHECKSUM.search(name)
    folder = _cache() if checksum else _cache() / hashlib.sha256(address.encode()).hexdigest()[:16]
    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f'.{name}.lock'):
            if file.is_file() and (checksum is None or _sha256(file).startswith(checksum[1])):
                return file
            with unnamed_file(file) as part:
                _fetch(address, Path(part), file, checksum[1] if checksum else '')
    except OSError as error:
        raise CheckpointError(f'{address}: cannot be written to {folder} ({error.strerror or error}); make room, or '
                              'set TORCH_HOME to another folder') from None
    return file


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process of the machine through at a time; where files cannot be locked, all."""
    with path.open('ab') as stream:
        with contextlib.suppress(ImportError, OSError):
            import fcntl
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s) only, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        before, after = (urlsplit(url).scheme for url in (req.full_url, newurl))
        if after != 'https' and (after, before) != ('http', 'http'):
            raise urllib.error.URLError(f'redirected to {after}://')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(address: str, part: Path, file: Path, checksum: str) -> None:
    """Download into ``part``.

    Raises:
        CheckpointError: the server refuses or stops, or the content is not what its name says.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
                    urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor, _Redirects):
        opener.add_handler(handler())
    request = urllib.request.Request(address, headers={'User-Agent': 'mmweather', 'Accept-Encoding': 'identity'})
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            _copy(answer, address, part, file, checksum)
    except urllib.error.HTTPError as error:
        raise CheckpointError(f'{address}: the server answers {error.code} {error.reason}; check the address') from None
    except urllib.error.URLError as error:
        reason = getattr(error.reason, 'strerror', None) or error.reason
        raise CheckpointError(f'{address}: cannot be fetched ({reason}); check the address and the network, or '
                              'download the file elsewhere and give its path') from None
    except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException, UnicodeError) as error:
        raise CheckpointError(f'{address}: the download broke off ({str(error) or type(error).__name__}); try again, '
                              'or download the file elsewhere and give its path') from None


def _copy(answer: Any, address: str, part: Path, file: Path, checksum: str) -> None:
    from tqdm import tqdm

    stated = answer.headers.get('Content-Length', '')
    size = int(stated) if stated.isdecimal() else None
    if size is not None and size > min(LARGEST, shutil.disk_usage(file.parent).free):
        raise CheckpointError(f'{address}: {size / 1e9:.1f} GB do not fit into {file.parent}; make room, or set '
                              'TORCH_HOME to another folder')
    digest, got = hashlib.sha256(), 0
    with part.open('wb') as stream, tqdm(total=size, desc=f'downloading {file.name}', unit='B', unit_scale=True,
                                         disable=None) as bar:
        while chunk := answer.read(_CHUNK):
            got += len(chunk)
            if got > LARGEST:
                raise CheckpointError(f'{address}: is larger than {LARGEST / 2**30:.0f} GiB; download it by hand and '
                                      'give its path')
            stream.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
    if size is not None and got != size:
        raise CheckpointError(f'{address}: the download broke off after {got} of {size} bytes; try again')
    if not digest.hexdigest().startswith(checksum):
        raise CheckpointError(f'{address}: its SHA-256 is {digest.hexdigest()[:max(8, len(checksum))]}..., not the '
                              f'{checksum} of its name; it is damaged or another file, so it was not kept')


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _in_zoo(address: str, scheme: str) -> str:
    """Return the address, or the file below MMEngine's home, of a name in one of MMEngine's zoos."""
    from mmengine.runner import checkpoint as zoo

    name = address.partition('://')[2]
    if scheme in ('modelzoo', 'torchvision'):
        known = zoo.get_torchvision_models()
    elif scheme == 'mmcls':
        known = zoo.get_mmcls_models()
    else:
        known = zoo.get_external_models()
        name = zoo.get_deprecated_model_names().get(name, name)
    found = known.get(name)
    if not isinstance(found, str):
        raise CheckpointError(f'{address}: unknown name in {scheme}://'
                              + did_you_mean(name, map(str, known), '; give the address or the path of the file'))
    if is_address(found):
        if urlsplit(found).scheme not in ('http', 'https'):
            raise CheckpointError(f'{address}: stands for {found}, which is no http(s) address; give a file')
        return found
    return os.path.join(zoo._get_mmengine_home(), found)
