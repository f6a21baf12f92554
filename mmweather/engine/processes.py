"""One training in a work folder, and processes of a training that end together."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import all_gather_object, barrier, get_rank, is_distributed

from ..errors import DataError, MMWeatherError
from ..utils.locks import FileLock, LockedError

LOCK = '.training.lock'
_RANK_KEYS = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK', 'PMI_RANK')
_TRANSPORT = re.compile(r'gloo|NCCL|ProcessGroup|TCPStore|c10d', re.IGNORECASE)
_LOST = re.compile(r'Connection (closed|reset|refused)|Broken pipe|timed? ?out|remote process|by peer', re.IGNORECASE)
_LATE = re.compile(r'timed? ?out', re.IGNORECASE)
# Seconds in which a process that is ending is gone for the others to see.
_GONE = 1.0


class LostProcessError(MMWeatherError, RuntimeError):
    """Another process of the same run ended or does not answer."""


class Company:
    """The processes of one run, by host and process number.

    Args:
        timeout: seconds after which a process that does not answer counts as lost, for the message.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self.timeout = timeout
        self._others: list[tuple[int, int]] = []

    def meet(self) -> None:
        """Learn the other processes; all processes of the run must call it."""
        if is_distributed():
            host = socket.gethostname()
            everybody = all_gather_object((get_rank(), host, os.getpid()))
            self._others = [(rank, pid) for rank, where, pid in everybody if where == host and rank != get_rank()]

    @contextlib.contextmanager
    def end_together(self) -> Iterator[None]:
        """Turn the failure of a collective call, because another process is gone, into one line.

        Raises:
            LostProcessError: another process ended or does not answer.
        """
        try:
            yield
        except MMWeatherError:
            raise
        except Exception as error:
            text = str(error)
            if not (is_distributed() and _TRANSPORT.search(text) and _LOST.search(text)):
                raise
            raise LostProcessError(self._describe(late=bool(_LATE.search(text)))) from None

    def _describe(self, late: bool) -> str:
        remedy = 'continue from the last checkpoint with --resume'
        end = time.monotonic() + _GONE
        while True:
            states = {rank: _state(pid) for rank, pid in self._others}
            ended = [rank for rank, state in states.items() if state in 'ZX']
            stopped = [rank for rank, state in states.items() if state in 'Tt']
            if ended or late or time.monotonic() > end:
                break
            time.sleep(0.05)
        if ended:
            return f'another process ended ({_ranks(ended)}); its own message says why; {remedy}'
        if late:
            who = f'({_ranks(stopped)}, which is stopped)' if stopped else '(which one is unknown)'
            limit = f' for {self.timeout:g} s' if self.timeout else ''
            return f'another process {who} did not answer{limit} (env_cfg.dist_cfg.timeout); end it and {remedy}'
        return f'another process ended (which one is unknown); its own message says why; {remedy}'


def _ranks(ranks: list[int]) -> str:
    return ('rank ' if len(ranks) == 1 else 'ranks ') + ', '.join(map(str, ranks))


def _state(pid: int) -> str:
    """Return the state of a process as Linux names it; X where it is gone, ? where that is unknown."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        pass
    except OSError:
        return '?'
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 'X'
    except OSError:
        pass
    return '?'


class OneRun:
    """The lock that keeps a second training out of a work folder, held by all processes of the first.

    The first process takes it alone before the run writes anything; when the processes have met they share it, so that
    it lasts until the last of them ends.

    Args:
        work_dir: folder of logs and checkpoints; it is created.
        distributed: a launcher started several processes, whose rank the environment gives.
    """

    def __init__(self, work_dir: str | os.PathLike[str], distributed: bool) -> None:
        self.folder = Path(work_dir)
        self._lock = FileLock(self.folder / LOCK)
        rank = next((os.environ[key] for key in _RANK_KEYS if key in os.environ), '0') if distributed else '0'
        self._first = rank == '0'

    def __enter__(self) -> OneRun:
        """Take the lock, and remove what a killed run left half written.

        Raises:
            DataError: another training holds it, or the folder cannot be written.
        """
        if self._first:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._take(shared=False)
                for path in self.folder.glob('.*.pth.part'):
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise DataError(f"'{self.folder}' cannot be written ({error.strerror or error}); choose another folder "
                                '(--work-dir)') from None
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back."""
        self._lock.release()

    def share(self) -> None:
        """Let every process hold the lock; all processes of the run must call it."""
        if is_distributed():
            if self._first:
                self._take(shared=True)
            barrier()
            if not self._first:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._take(shared=True)

    def _take(self, shared: bool) -> None:
        try:
            self._lock.take(shared)
        except LockedError as error:
            holder = f' ({error})' if str(error) else ''
            raise DataError(f"'{self.folder}' is in use by another training{holder}; wait for it, stop it, or choose "
                            'another folder (--work-dir)') from None
        if not self._lock.works:
            from mmengine.logging import print_log
            print_log(f"The file system of '{self.folder}' has no locks: two trainings in it would not be noticed.")
