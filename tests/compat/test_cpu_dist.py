"""Two processes on the CPU train as one with twice the batch, through MMEngine's own launcher argument."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest
import torch

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.compat import cpu_dist
from mmweather.compat.scripts import run_script

TRAIN = textwrap.dedent('''
    import argparse
    import sys
    import torch
    from mmengine.dist import get_backend, get_rank
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Line(BaseModel):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.SyncBatchNorm(2) if ARGS.norm else torch.nn.Identity()
            self.layer = torch.nn.Linear(2, 1)
            torch.nn.init.constant_(self.layer.weight, 0.25)
            torch.nn.init.zeros_(self.layer.bias)

        def forward(self, x, y, mode):
            return dict(loss=(self.layer(self.norm(x)) - y).square().mean())

    parser = argparse.ArgumentParser()
    parser.add_argument('work_dir')
    parser.add_argument('--launcher', default='none')
    parser.add_argument('--batch', type=int)
    parser.add_argument('--norm', action='store_true')
    parser.add_argument('--wrapper', action='store_true')
    ARGS = parser.parse_args()
    data = [(torch.tensor([float(i), 1.0]), torch.tensor([3.0 * i])) for i in range(8)]
    runner = Runner(
        Line(), ARGS.work_dir, launcher=ARGS.launcher,
        cfg=dict(model_wrapper_cfg=dict(find_unused_parameters=True)) if ARGS.wrapper else None,
        train_dataloader=dict(dataset=data, batch_size=ARGS.batch, collate_fn=dict(type='default_collate'),
                              sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=False, max_iters=2), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(checkpoint=None), log_level='WARNING')
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    # One write a line: torchrun's processes are unbuffered and share the pipe.
    words = ['rank', get_rank(), 'on', get_backend(), type(runner.model).__name__, type(model.norm).__name__,
             torch.cat([p.detach().flatten() for p in model.layer.parameters()]).tolist()]
    sys.stdout.write(' '.join(map(str, words)) + '\\n')
''')


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def _run(folder, *arguments, processes=1, fixed=True):
    """Train with MMEngine's launcher; one process is its own process group, without torchrun's start-up."""
    (folder / 'line.py').write_text(TRAIN)
    script = [*(['-m', 'mmweather.compat'] if fixed else []), str(folder / 'line.py'), str(folder / 'work'),
              '--launcher', 'pytorch', '--batch', '2', *arguments]
    launch = []
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'}
    if processes == 1:
        env.update(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(_free_port()))
    else:
        launch = ['-m', 'torch.distributed.run', f'--nproc-per-node={processes}', f'--master-port={_free_port()}']
    return subprocess.run([sys.executable, *launch, *script], capture_output=True, text=True, env=env, timeout=200)


def _weights(result):
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [line for line in result.stdout.splitlines() if line.startswith('rank')]
    return [[float(number) for number in line.split('[')[1].strip(']').split(',')] for line in lines]


def _by_hand(batches):
    """Two steps of gradient descent on the mean of squares, written out."""
    weight, bias = torch.tensor([0.25, 0.25], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for batch in batches:
        x = torch.tensor([[float(i), 1.0] for i in batch], dtype=torch.float64)
        error = x @ weight + bias - 3 * x[:, 0]
        weight, bias = weight - 0.01 * 2 * (error[:, None] * x).mean(0), bias - 0.01 * 2 * error.mean()
    return [*weight.tolist(), *bias.tolist()]


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path):
    result = _run(tmp_path, processes=2)
    weights = _weights(result)
    assert result.stdout.count('on gloo MMDistributedDataParallel') == 2
    # MMEngine's sampler deals 0, 2, 4, 6 to the first process and 1, 3, 5, 7 to the second.
    assert weights == [pytest.approx(_by_hand([(0, 2, 1, 3), (4, 6, 5, 7)]), rel=1e-5)] * 2


def test_sync_bn_and_a_wrapper_config_run_on_the_cpu_too(tmp_path):
    result = _run(tmp_path, '--norm', '--wrapper')
    assert len(_weights(result)) == 1
    assert 'SyncBatchNorm' not in result.stdout
    assert 'SyncBN needs GPUs' in result.stdout + result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='the fault shows without a GPU only')
def test_without_the_fix_mmengine_asks_for_a_gpu(tmp_path):
    result = _run(tmp_path, fixed=False)
    assert result.returncode != 0
    assert 'set_device' in result.stderr


def test_with_an_accelerator_the_call_goes_through_unchanged(monkeypatch):
    calls = []
    fixed = cpu_dist._without_gpu(lambda backend, **kwargs: calls.append((backend, kwargs, torch.cuda.set_device)))
    real = torch.cuda.set_device
    monkeypatch.setattr(cpu_dist, 'on_cpu_only', lambda: False)
    fixed('nccl', timeout=3)
    monkeypatch.setattr(cpu_dist, 'on_cpu_only', lambda: True)
    fixed('nccl', timeout=3)
    fixed('mpi')
    assert calls[0] == ('nccl', {'timeout': 3}, real)
    assert [call[0] for call in calls] == ['nccl', 'gloo', 'mpi']
    assert calls[1][2] is not real
    assert torch.cuda.set_device is real


def test_a_model_on_another_device_keeps_its_device_ids():
    calls = []
    fixed = cpu_dist._for_cpu_models(lambda self, module, **kwargs: calls.append(kwargs))
    fixed(None, torch.nn.Linear(1, 1, device='meta'), device_ids=[1])
    fixed(None, torch.nn.Linear(1, 1), device_ids=[1], find_unused_parameters=True)
    assert calls == [{'device_ids': [1]}, {'find_unused_parameters': True}]


def test_a_script_that_ends_well_leaves_the_group(tmp_path):
    script = tmp_path / 'joins.py'
    script.write_text(f"import torch.distributed as dist\n"
                      f"dist.init_process_group('gloo', init_method='file://{tmp_path}/meet', rank=0, world_size=1)\n")
    run_script(script, [])
    assert not torch.distributed.is_initialized()


def test_leaving_no_group_is_nothing():
    cpu_dist.leave_group()
    assert not torch.distributed.is_initialized()
