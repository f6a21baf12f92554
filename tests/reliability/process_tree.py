"""Commands in processes of their own, which the tests stop and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, '-m', 'mmweather.cli']
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
XML = ('<annotation><filename>{name}</filename><size><width>{w}</width><height>{h}</height><depth>3</depth></size>'
       '<object><name>car</name><bndbox><xmin>10</xmin><ymin>12</ymin><xmax>{right}</xmax><ymax>40</ymax></bndbox>'
       '</object></annotation>')


def pictures(folder: Path, count: int, size: tuple[int, int] = (240, 320)) -> Path:
    """Write photos of noise called ``000.jpg`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / f'{index:03d}.jpg', quality=90)
    return folder


def voc_set(folder: Path, count: int, right: int = 30) -> Path:
    """Write photos with a box each in PASCAL VOC's layout."""
    pictures(folder / 'JPEGImages', count)
    (folder / 'Annotations').mkdir()
    for file in sorted((folder / 'JPEGImages').iterdir()):
        annotate(folder, file.stem, right)
    return folder


def annotate(folder: Path, stem: str, right: int) -> None:
    """Write the annotation of one photo."""
    (folder / 'Annotations' / f'{stem}.xml').write_text(XML.format(name=f'{stem}.jpg', w=320, h=240, right=right))


def descendants(process: int) -> set[int]:
    """Processes that a process has started, and those that they have started."""
    found: set[int] = set()
    for task in Path(f'/proc/{process}/task').glob('*'):
        try:
            children = {int(word) for word in (task / 'children').read_text().split()}
        except OSError:
            continue
        found |= children
        for child in children:
            found |= descendants(child)
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _heed_signals() -> None:
    """Undo that the tests were started by ``nohup`` or in the background of a script."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Running:
    """A command that runs.

    Args:
        process: of the command, first of a session of its own.
        log: file of what it prints.
    """

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process, self.log = process, log

    def stop(self, number: int, to_all: bool = False, seconds: float = 300) -> tuple[int, set[int]]:
        """Send a signal, to the whole group as a terminal does or to the main process alone; status and orphans."""
        others = descendants(self.process.pid)
        (os.killpg if to_all else os.kill)(self.process.pid, number)
        status = self.process.wait(seconds)
        wait_for(lambda: not any(map(is_alive, others)), 30)
        return status, {other for other in others if is_alive(other)}

    @property
    def text(self) -> str:
        return self.log.read_text(errors='replace')

    @property
    def lines(self) -> list[str]:
        """What it printed, without progress bars and warnings."""
        lines = (line.split('\r')[-1] for line in self.text.splitlines())
        return [line for line in lines if line.strip()]


@contextmanager
def running(folder: Path, *words: object, command: list[str] | None = None, **environment: str) -> Iterator[Running]:
    """Start a command; what is left of it is killed at the end."""
    log = folder / f'log_{time.monotonic_ns()}.txt'
    with log.open('wb') as file:
        process = subprocess.Popen([*(command or COMMAND), *map(str, words)], stdout=file, stderr=subprocess.STDOUT,
                                   cwd=folder, env={**ENVIRONMENT, **environment}, start_new_session=True,
                                   preexec_fn=_heed_signals)
    try:
        yield Running(process, log)
    finally:
        for left in {process.pid, *descendants(process.pid)}:
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.wait()


def finish(folder: Path, *words: object, command: list[str] | None = None, seconds: float = 900,
           **environment: str) -> tuple[int, str]:
    """Run a command to its end; status and what it printed."""
    done = subprocess.run([*(command or COMMAND), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd=folder, env={**ENVIRONMENT, **environment}, timeout=seconds, check=False)
    return done.returncode, done.stdout.decode(errors='replace')
