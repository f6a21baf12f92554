"""A signal ends every command in one line, with its status, without orphans and half files."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from process_tree import ROOT, descendants, finish, is_alive, pictures, running, voc_set, wait_for

# The limits are for a busy machine, where a command takes minutes to start.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.skipif(not Path('/proc/self/task').is_dir(),
                                                            reason='process trees are read from /proc')]

SAYS = {signal.SIGTERM: 'stopped by SIGTERM', signal.SIGINT: 'interrupted', signal.SIGHUP: 'stopped by SIGHUP'}


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp('photos'), 150, (480, 640))


@pytest.fixture(scope='module')
def boxes(tmp_path_factory):
    return voc_set(tmp_path_factory.mktemp('boxes') / 'set', 120)


def results(folder: Path) -> list[Path]:
    return [path for path in folder.rglob('*') if path.is_file() and path.suffix in ('.jpg', '.png', '.tif')]


def commands(photos, boxes, out):
    return {
        'synth': ('synth', 'fog', photos, out, '--jobs', 2),
        'voc-fog': ('prepare', 'voc-fog', boxes, out, '--workers', 2),
        'mini': ('prepare', 'mini', out, '--train', 300, '--only', 'roadscene-rain', '--workers', 2),
        'restore': ('restore', photos, '--model', 'grey-world_dusty', '--out', out),
    }


@pytest.mark.parametrize(('name', 'number', 'to_all'), [
    ('synth', signal.SIGTERM, False), ('synth', signal.SIGINT, True), ('voc-fog', signal.SIGHUP, True),
    ('mini', signal.SIGTERM, True), ('restore', signal.SIGTERM, False),
])
def test_a_signal_ends_a_command_in_one_line(photos, boxes, tmp_path, name, number, to_all):
    out = tmp_path / 'out'
    with running(tmp_path, *commands(photos, boxes, out)[name]) as run:
        assert wait_for(lambda: len(results(out)) > 2 or run.process.poll() is not None, 400), run.text
        assert run.process.poll() is None, f'it ended before it was stopped: {run.text}'
        status, orphans = run.stop(number, to_all)
        assert status == 128 + number and not orphans, run.text
        assert run.lines[-1] == SAYS[number] and 'Traceback' not in run.text and 'Error' not in run.text, run.text
    assert not list(out.rglob('*.part'))
    for path in results(out):
        assert path.stat().st_size > 100


@pytest.mark.parametrize('name', ['synth', 'voc-fog'])
def test_workers_of_a_killed_command_end_and_the_next_run_finishes(photos, boxes, tmp_path, name):
    out = tmp_path / 'out'
    words = commands(photos, boxes, out)[name]
    with running(tmp_path, *words) as run:
        assert wait_for(lambda: len(results(out)) > 2 or run.process.poll() is not None, 400), run.text
        assert len(descendants(run.process.pid)) >= 2, 'its workers are there'
        status, orphans = run.stop(signal.SIGKILL)
        assert status == -signal.SIGKILL and not orphans, run.text
    left = len(results(out))
    status, text = finish(tmp_path, *words)
    assert status == 0 and len(results(out)) > left, text
    assert not list(out.rglob('*.part'))


def test_a_killed_worker_ends_the_command_in_one_line(photos, tmp_path):
    out = tmp_path / 'out'
    with running(tmp_path, 'synth', 'fog', photos, out, '--jobs', 2) as run:
        assert wait_for(lambda: len(results(out)) > 2 or run.process.poll() is not None, 400), run.text
        workers = [child for child in descendants(run.process.pid)
                   if b'spawn_main' in Path(f'/proc/{child}/cmdline').read_bytes()]
        os.kill(workers[0], signal.SIGKILL)
        assert run.process.wait(300) == 2
        assert 'one of 2 processes was killed' in run.lines[-1] and 'Traceback' not in run.text
        assert wait_for(lambda: not any(map(is_alive, workers)), 60)
    assert not list(out.rglob('*.part'))


# training

CONFIG = """
_base_ = [{runtime!r}]
custom_imports = dict(imports=['engine_toy'])
model = dict(type='mmweather.ToyNet')
train_dataloader = dict(
    batch_size=2, num_workers=2, persistent_workers=True, sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmweather.ToyPairs')))
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=1000000)
optim_wrapper = dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=0.01))
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=20, max_keep_ckpts=2))
"""


@pytest.fixture
def training(tmp_path):
    config = tmp_path / 'endless.py'
    config.write_text(CONFIG.format(runtime=str(ROOT / 'configs/_base_/default_runtime.py')))
    path = f'{ROOT}:{ROOT / "tests/engine"}'
    return lambda *launcher: running(
        tmp_path, ROOT / 'tools/train.py', config, '--work-dir', tmp_path / 'work',
        *(('--launcher', 'pytorch') if launcher else ()), command=[sys.executable, *launcher], PYTHONPATH=path)


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob('work/iter_*.pth'))


@pytest.mark.parametrize(('number', 'to_all'), [
    (signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGKILL, False)])
def test_a_signal_ends_a_training_and_its_loaders(training, tmp_path, number, to_all):
    with training() as run:
        assert wait_for(lambda: checkpoints(tmp_path) or run.process.poll() is not None, 400), run.text
        assert len(descendants(run.process.pid)) >= 2, 'the workers of its loader are there'
        status, orphans = run.stop(number, to_all)
        assert not orphans and 'Traceback' not in run.text, run.text
        if number != signal.SIGKILL:
            assert status == 128 + number and run.lines[-1] == SAYS[number], run.text


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_the_processes_of_a_distributed_training_end_with_their_launcher(training, tmp_path, number):
    launcher = ('-m', 'torch.distributed.run', '--nproc-per-node=2', '--master-port=29713', '-m', 'mmweather.compat')
    with training(*launcher) as run:
        assert wait_for(lambda: checkpoints(tmp_path) or run.process.poll() is not None, 600), run.text
        assert len(descendants(run.process.pid)) >= 4
        _, orphans = run.stop(number)
        assert not orphans, run.text
        assert run.text.count('stopped by SIGTERM') == 1, run.text
