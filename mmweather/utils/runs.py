"""What runs over many files share: the claim of an output folder, the record of results, and the process pool."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

from ..errors import DataError, cannot_write
from .atomic import remove_leftovers, write_json
from .files import read_json
from .text import cut

_PDEATHSIG = 1  # of prctl(2)
_DIGEST = 64  # characters of a SHA-256 in hexadecimal
RECORD = '.mmweather.jsonl'
"""Hidden file of a folder of results: what each was made from."""

Job = TypeVar('Job')
Result = TypeVar('Result')


# Output folders ---------------------------------------------------------------------------------------------------


def check_target(target: str | Path) -> Path:
    """Return the path of a folder to be made.

    Raises:
        DataError: it exists and holds something, or is a file.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"'{target}' exists and is not an empty folder; choose another or remove it")
    return target


def claim(folder: str | Path, name: str, settings: Mapping[str, Any], remedy: str,
          loose: Sequence[str] = ('complete', ), overwrite: bool = False, exact: bool = False) -> dict[str, Any]:
    """Make sure that a folder is empty or holds an earlier run of the same settings, and write the manifest.

    What a killed run has left unfinished is removed first.

    Args:
        folder: of the results.
        name: of the manifest in it.
        settings: what the results depend on, as JSON.
        remedy: end of the message where the folder was made with other settings.
        loose: keys that may differ.
        overwrite: accept any folder that holds a manifest, whatever is in it.
        exact: refuse a manifest with further keys, too.

    Returns:
        The manifest that was found; empty if there was none.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    path = folder / name
    found: dict[str, Any] = {}
    settings = json.loads(json.dumps(settings))
    if path.is_file():
        if not overwrite:
            found = _read_manifest(path)
            keys = {**settings, **found} if exact else settings
            changed = [key for key in keys if key not in loose and found.get(key) != settings.get(key)]
            if changed:
                shown = ', '.join(f'{key} {cut(found.get(key))} instead of {cut(settings.get(key))}'
                                  for key in changed[:3])
                raise DataError(f"'{folder}' holds results of other settings ({shown}); {remedy}")
        remove_leftovers(folder)
    else:
        check_target(folder)
    if found != settings:
        try:
            write_json(path, {**found, **settings})
        except OSError as error:
            raise cannot_write(folder, error) from error
    return found


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); delete the folder or choose another") from error
    return found if isinstance(found, dict) else {}


# What each result was made from -----------------------------------------------------------------------------------


def stamp(*files: Path) -> list[list[int] | None]:
    """Return size in bytes and time of change in nanoseconds of each file; None for one that is not found."""
    found: list[list[int] | None] = []
    for file in files:
        try:
            state = file.stat()
            found.append([state.st_size, state.st_mtime_ns])
        except OSError:
            found.append(None)
    return found


def is_newer(inputs: Iterable[Path], result: Path) -> bool:
    """Whether an input has changed since the result was written."""
    return any(state is not None and state[1] > result.stat().st_mtime_ns for state in stamp(*inputs))


class Record:
    """Record of what the results in a folder were made from, one JSON line each in :data:`RECORD`.

    A line is added before a result is written and another one after it, so a run that is killed in between leaves a
    result that is known to be uncertain and is made again.  Lines are only appended, so that several runs can share a
    folder.

    Args:
        folder: of the results.
        identity: what all results of this run depend on, such as model, weights and options, as JSON.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.path = folder / RECORD
        self.identity = json.loads(json.dumps(identity))
        self.key = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]
        self._entries: dict[str, dict[str, Any]] = {}
        self._makers: dict[str, dict[str, Any]] = {}
        self.states: dict[Path, str] = {}
        self._read()

    def _read(self) -> None:
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):  # the last line of a killed run
                entry = json.loads(line)
                if isinstance(entry, dict) and isinstance(entry.get('file'), str):
                    self._entries[entry['file']] = entry
                elif isinstance(entry, dict) and isinstance(entry.get('made_by'), dict):
                    self._makers[str(entry.get('key'))] = entry['made_by']

    def state(self, result: Path, inputs: Sequence[Path]) -> str:
        """Return how a result stands.

        Args:
            result: file in the folder.
            inputs: files that it was made from.

        Returns:
            ``'missing'``; ``'same'``: made from these inputs by this identity; ``'other'``: made by another identity;
            ``'stale'``: the inputs have changed, or its run was killed; ``'unknown'``: there is no record of this file.
        """
        there = stamp(result)
        if there == [None]:
            return 'missing'
        entry = self._entries.get(self._name(result))
        if entry is None or ('result' in entry and entry['result'] != there[0]):
            return 'unknown'
        if 'result' not in entry:
            return 'stale'
        if entry.get('key') != self.key:
            return 'other'
        return 'same' if entry.get('inputs') == stamp(*inputs) else 'stale'

    def check(self, results: Mapping[Path, Sequence[Path]], remedy: str) -> dict[Path, str]:
        """Return the :meth:`state` of each result.

        Args:
            results: files with the inputs that they are made from.
            remedy: end of the message.

        Raises:
            DataError: another identity made some of them.
        """
        states = self.states = {result: self.state(result, inputs) for result, inputs in results.items()}
        others = [result for result, state in states.items() if state == 'other']
        if others:
            maker = self._makers.get(str(self._entries[self._name(others[0])].get('key')), {})
            count = f'{len(others)} results' if len(others) > 1 else f"'{self._name(others[0])}'"
            raise DataError(f"'{self.folder}' holds {count} made with {_difference(maker, self.identity)}; {remedy}")
        return states

    def keeps(self, result: Path) -> bool:
        """Whether :meth:`check` found a result that need not be made again."""
        return self.states.get(result) in ('same', 'unknown')

    def begin(self, result: Path, inputs: Sequence[Path]) -> None:
        """Record that a result is about to be written; until :meth:`done` it is stale.

        Raises:
            DataError: the folder cannot be written.
        """
        self._note({'file': self._name(result), 'inputs': stamp(*inputs)})

    def done(self, result: Path, inputs: Sequence[Path]) -> None:
        """Record that a result is written; see :meth:`begin`."""
        self._note({'file': self._name(result), 'inputs': stamp(*inputs), 'result': stamp(result)[0]})

    def _note(self, entry: dict[str, Any]) -> None:
        entry['key'] = self.key
        made_by = [] if self.key in self._makers else [{'key': self.key, 'made_by': self.identity}]
        self._append(*made_by, entry)
        self._makers[self.key] = self.identity

    def _name(self, result: Path) -> str:
        return os.path.relpath(result, self.folder)

    def _append(self, *entries: dict[str, Any]) -> None:
        text = ''.join(json.dumps(entry) + '\n' for entry in entries)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open('ab', buffering=0) as file:
                # After a line that was cut short by a kill, start a new one.
                file.write(('\n' + text if self._is_cut() else text).encode())
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        for entry in entries:
            if 'file' in entry:
                self._entries[entry['file']] = entry

    def _is_cut(self) -> bool:
        with self.path.open('rb') as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
            return file.read() not in (b'', b'\n')


def _difference(maker: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """What differs between two identities, in words; digests are not shown."""
    words = []
    for key in {**identity, **maker}:
        old, new = maker.get(key), identity.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            words.append(_difference(old, new))
        elif isinstance(new, str) and len(new) == _DIGEST:
            words.append(f'other {key}')
        else:
            words.append(f'{key} {cut(old)} instead of {cut(new)}')
    return ', '.join(words[:3]) or 'other settings'


# Processes --------------------------------------------------------------------------------------------------------


def map_jobs(work: Callable[[Job], Result], jobs: Sequence[Job], processes: int,
             start: Callable[[], None] | None = None) -> Iterator[Result]:
    """Do jobs in this process or in several, and yield the results in order.

    Processes are spawned, because a forked child could inherit locked threads of a numerical library.  They leave
    signals to this process and end when it ends, whatever ends it.

    Args:
        work: function of a module.
        jobs: its arguments.
        processes: number of processes; with 1, or for one job, this process does the work.
        start: called first in each spawned process.

    Raises:
        DataError: a process was killed.
    """
    count = min(processes, len(jobs))
    if count <= 1:
        yield from map(work, jobs)
        return
    # The pool's helper process and, in `map`, its workers are started with these signals blocked.
    with _signals_blocked():
        pool = ProcessPoolExecutor(count, multiprocessing.get_context('spawn'), _start_worker, (start, ))
    try:
        with _signals_blocked():
            results = pool.map(work, jobs)
        yield from results
    except BrokenProcessPool:
        raise DataError(f'one of {count} processes was killed, perhaps for want of memory; run again with fewer '
                        '(--jobs 1 or --workers 1)') from None
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.terminate()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Hold back what a terminal sends to all processes; a spawned process inherits this until it ignores them."""
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(start: Callable[[], None] | None) -> None:
    for number in (signal.SIGINT, getattr(signal, 'SIGHUP', signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, 'pthread_sigmask'):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGHUP))
    end_with_parent()
    if start is not None:
        start()


def end_with_parent() -> None:
    """Let this spawned process end as soon as its parent process has ended, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel, ), daemon=True).start()


def _watch(sentinel: Any) -> None:
    wait([sentinel])
    os._exit(1)


@functools.cache
def end_forks_with_parent() -> None:
    """Let every process that this one forks from now on, such as workers of a data loader, end with it (Linux)."""
    prctl = _prctl()
    if prctl is None:
        return
    forking: dict[str, int] = {}

    def before() -> None:
        # The signal is sent when the thread that forked ends, so only forks of the main thread ask for it.
        is_main = threading.current_thread() is threading.main_thread()
        forking['parent'] = os.getpid() if is_main else 0

    def in_child() -> None:
        for name in ('SIGTERM', 'SIGHUP'):
            if callable(signal.getsignal(getattr(signal, name))):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        sys.excepthook = _quiet_about_the_parent
        if forking['parent']:
            prctl(_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != forking['parent']:  # it ended in between
                os._exit(1)

    os.register_at_fork(before=before, after_in_child=in_child)


def _quiet_about_the_parent(kind: type[BaseException], *rest: Any) -> None:
    """Hook of a worker: its thread that sends tensors prints no traceback where the parent has hung up."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, *rest)


def end_with_launcher() -> None:
    """Let a process that ``torchrun`` started end when ``torchrun`` is killed (Linux)."""
    prctl = _prctl()
    if prctl is not None and 'TORCHELASTIC_RUN_ID' in os.environ:
        prctl(_PDEATHSIG, signal.SIGTERM)


def _prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith('linux'):
        return None
    import ctypes
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None).prctl
    return None


def map_threads(work: Callable[[Job], Result], jobs: Iterable[Job], threads: int) -> Iterator[Result]:
    """Do jobs in threads and yield the results in order; what has not begun is dropped when the caller stops."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(max(threads, 1))
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
