"""Processes of a training that die, stop, end, or start in the same folder."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import reliability_toy  # noqa: E402

from mmweather.engine.runner import train, train_parser  # noqa: E402
from mmweather.errors import DataError  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402

toy = reliability_toy.engine_toy
TRAIN = toy.ROOT / 'tools' / 'train.py'
HOOKS = ('ExactResumeHook', 'RankMeanLogHook', 'NonFiniteLossHook')
pytestmark = pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='reads states of processes from /proc')


def config_with(folder, *hooks, **changes):
    return toy.write_config(folder, custom_imports=dict(imports=['engine_toy', 'reliability_toy']), custom_hooks=[
        *(dict(type=f'mmweather.{name}') for name in HOOKS), *hooks], **changes)


@pytest.mark.slow
def test_the_others_end_with_one_line_when_a_process_is_killed(tmp_path):
    config = config_with(tmp_path, dict(type='mmweather.ToySignalHook', signal_name='SIGKILL'))
    processes = reliability_toy.start_ranks(TRAIN, config, '--work-dir', tmp_path / 'work', '--launcher', 'pytorch')
    try:
        assert processes[1].wait(150) == -signal.SIGKILL
        start, text = time.monotonic(), ''
        for line in processes[0].stderr:
            text += line
            if line.startswith('error:'):
                break
        assert time.monotonic() - start < 10  # tenths of a second on an idle machine
    finally:
        (status, rest), _ = reliability_toy.finish(processes, 90)
    assert reliability_toy.last_words(text + rest) == [
        'error: another process ended (rank 1); its own message says why; continue from the last checkpoint with '
        '--resume']
    assert status == 2 and 'gloo' not in text + rest


@pytest.mark.slow
def test_a_process_that_is_stopped_ends_the_others_after_the_time_limit(tmp_path):
    config = config_with(tmp_path, dict(type='mmweather.ToySignalHook', signal_name='SIGSTOP', rank=0))
    processes = reliability_toy.start_ranks(TRAIN, config, '--work-dir', tmp_path / 'work', '--launcher', 'pytorch',
                                            '--cfg-options', 'env_cfg.dist_cfg.timeout=25')
    try:
        _, text = processes[1].communicate(timeout=240)
    finally:
        reliability_toy.finish([processes[1]], 1)
        processes[0].kill()
        processes[0].communicate()
    assert reliability_toy.last_words(text) == [
        'error: another process (rank 0, which is stopped) did not answer for 25 s (env_cfg.dist_cfg.timeout); end it '
        'and continue from the last checkpoint with --resume']
    assert processes[1].returncode == 2


@pytest.mark.slow
def test_a_second_training_in_the_folder_is_refused_until_the_first_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    work, flag = tmp_path / 'work', tmp_path / 'started'
    waiting = config_with(tmp_path, dict(type='mmweather.ToyWaitHook', file=str(flag)), train_dataloader=dict(
        batch_size=2, num_workers=1, sampler=dict(type='mmweather.SeededInfiniteSampler'),
        dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmweather.ToyPairs'))))
    first = subprocess.Popen([sys.executable, str(TRAIN), str(waiting), '--work-dir', str(work)],
                             env=reliability_toy.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    second = train_parser().parse_args([str(toy.write_config(tmp_path, 'second.py')), '--work-dir', str(work)])
    try:
        assert toy.wait_for(flag.exists, 150)
        before = sorted(work.rglob('*'))
        with pytest.raises(DataError, match=re.escape(
                f"'{work}' is in use by another training (process {first.pid} on {os.uname().nodename}); wait for it, "
                'stop it, or choose another folder (--work-dir)')):
            train(second)
        assert sorted(work.rglob('*')) == before
        (work / '.iter_4.pth.part').write_bytes(b'half')
    finally:
        first.kill()  # its worker process lives on for a moment and must not hold the lock
        first.wait()
    assert train(second).iter == 12
    assert not list(work.glob('.*.part')) and train(second).iter == 12


@pytest.mark.slow
def test_two_processes_validate_the_model_that_is_saved(tmp_path):
    config = config_with(
        tmp_path, dict(type='mmweather.ToyStateFileHook', folder=str(tmp_path)),
        model=dict(type='mmweather.ToyNormNet'),
        train_cfg=dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=5, val_interval=4))
    ended = reliability_toy.finish(reliability_toy.start_ranks(
        TRAIN, config, '--work-dir', tmp_path / 'work', '--launcher', 'pytorch'), 240)
    assert [status for status, _ in ended] == [0, 0], ended
    first, second = (torch.load(tmp_path / f'validated_4_{rank}.pth', weights_only=True) for rank in (0, 1))
    saved = load_checkpoint(tmp_path / 'work' / 'iter_4.pth')['state_dict']
    assert not torch.equal(saved['first.1.running_mean'], torch.zeros(4))
    for key, value in saved.items():
        assert torch.equal(first[key], value) and torch.equal(second[key], value), key


WORKER = '''
import sys
import torch
import mmweather.registry
from mmengine.dist import all_gather_object, all_reduce, init_dist
from mmengine.model import MMDistributedDataParallel
from mmweather.compat.cpu_dist import leave_group

init_dist('pytorch', backend='gloo')
model = MMDistributedDataParallel(torch.nn.Linear(4, 4))
for i in range(3):
    torch.nn.parallel.DistributedDataParallel.forward(model, torch.randn(3, 4)).sum().backward()
    all_reduce(torch.ones(2))
    all_gather_object(('object', i))
if sys.argv[1] == 'leaves':
    leave_group()
'''


@pytest.mark.slow
@pytest.mark.parametrize('how', ['leaves', 'ends'])
def test_two_processes_end_cleanly_on_a_loaded_machine(how, tmp_path):
    script = tmp_path / 'worker.py'
    script.write_text(WORKER)
    load = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(2)]
    try:
        for _ in range(int(os.environ.get('MMWEATHER_EXITS', '3'))):
            ended = reliability_toy.finish(reliability_toy.start_ranks(script, how), 150)
            assert [status for status, _ in ended] == [0, 0], ended
            assert not any('terminate' in text for _, text in ended)
    finally:
        for process in load:
            process.kill()
            process.wait()
