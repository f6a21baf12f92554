"""Files that are no pictures, or harm who reads them, and commands with a time limit."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ('fifo', 'endless', 'socket', 'dangling', 'loop')


def make(path: Path, kind: str) -> Path:
    """Put something at ``path`` that is no regular file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'endless':
        path.symlink_to('/dev/zero')
    elif kind == 'socket':
        here = os.getcwd()
        os.chdir(path.parent)  # names of sockets are short
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)
    elif kind == 'dangling':
        path.symlink_to('not-there.jpg')
    elif kind == 'loop':
        path.symlink_to(path.name)
    else:
        path.mkdir()
    return path


def picture(path: Path, size: tuple[int, int] = (32, 24), seed: int = 0) -> Path:
    """Write a small picture of (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
    return path


def png_bomb(path: Path, side: int = 13000) -> Path:
    """Write a valid one-colour PNG of ``side`` squared pixels in few bytes, without holding it in memory."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b'\0' * (1 + side)
    packed = b''.join(packer.compress(row) for _ in range(side)) + packer.flush()
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0))
                     + chunk(b'IDAT', packed) + chunk(b'IEND', b''))
    return path


_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), ) * 2)
from mmweather.cli import main
try:
    sys.exit(main(sys.argv[2:]))
finally:
    print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def mmweather(*words: object, memory: float = 6e9, timeout: float = 240, **environment: str
              ) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which may not take more than ``memory`` bytes of addresses.

    Raises:
        subprocess.TimeoutExpired: it hangs.
    """
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', _LIMITED, str(int(memory)), *map(str, words)],
                          capture_output=True, text=True, errors='backslashreplace', timeout=timeout,
                          env={**os.environ, 'OMP_NUM_THREADS': '1', **environment})


def peak_of(done: subprocess.CompletedProcess[str]) -> int:
    """Most bytes of memory that the process of a command held."""
    return int(done.stderr.splitlines()[-1].split()[1]) * 1024


def assert_one_line(done: subprocess.CompletedProcess[str], *texts: str) -> str:
    """The error line of a command that ended with status 2; there is no traceback."""
    assert 'Traceback' not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 2 and len(lines) == 1, (done.returncode, done.stderr)
    assert all(text in lines[0] for text in texts), lines[0]
    return lines[0]
