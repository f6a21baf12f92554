"""Locks that end with their processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mmweather.utils import locks
from mmweather.utils.locks import FileLock, LockedError


def test_one_holder_alone_or_several_together(tmp_path):
    first, second, third = (FileLock(tmp_path / 'lock') for _ in range(3))
    first.take()
    with pytest.raises(LockedError, match=f'process {os.getpid()} on '):
        second.take()
    with pytest.raises(LockedError):
        second.take(shared=True)
    first.take(shared=True)
    second.take(shared=True)
    with pytest.raises(LockedError):
        third.take()
    first.release()
    with pytest.raises(LockedError):
        third.take()
    second.release()
    third.take()
    third.release()
    third.release()


def test_the_lock_of_a_killed_process_does_not_block_even_while_its_child_lives(tmp_path):
    code = ('import os, sys, time\n'
            'from mmweather.utils.locks import FileLock\n'
            f'lock = FileLock({str(tmp_path / "lock")!r}); lock.take()\n'
            'child = os.fork()\n'
            'if child == 0:\n    time.sleep(60); os._exit(0)\n'
            'print(child, flush=True); time.sleep(60)\n')
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    try:
        with pytest.raises(LockedError, match=f'process {process.pid} on '):
            FileLock(tmp_path / 'lock').take()
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)
        lock = FileLock(tmp_path / 'lock')
        for _ in range(50):  # the child may not have run yet
            try:
                lock.take()
                break
            except LockedError:
                time.sleep(0.1)
        else:
            pytest.fail('the child holds the lock')
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_a_file_system_without_flock_uses_lockf_and_one_without_locks_says_so(tmp_path, monkeypatch):
    def refuse(handle, operation):
        raise OSError(locks.errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(locks.fcntl, 'flock', refuse)
    lock = FileLock(tmp_path / 'lock')
    lock.take()
    assert lock.works
    code = f'from mmweather.utils.locks import FileLock\nlock = FileLock({str(tmp_path / "lock")!r})\n' \
           'import fcntl\nfcntl.flock = fcntl.lockf\nlock.take()'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'LockedError' in done.stderr
    lock.release()
    monkeypatch.setattr(locks.fcntl, 'lockf', refuse)
    lock.take()
    assert not lock.works
