"""A network with bad gradients and processes of a run, for the tests of this folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

sys.path.insert(0, str(Path(__file__).parents[1] / 'engine'))
import engine_toy  # noqa: E402

from mmweather.registry import HOOKS, MODELS  # noqa: E402


class _Gradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


@MODELS.register_module()
class ToyBadGradient(engine_toy.ToyNet):
    """Finite losses; in the training step ``at``, counted from 1, the first layer's gradient gets a factor."""

    def __init__(self, at: int, factor: float = float('nan'), **kwargs) -> None:
        super().__init__(dropout=0., **kwargs)
        self.at, self.factor, self.steps = at, factor, 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'loss':
            self.steps += 1
            if self.steps == self.at:
                hook = self.first.register_forward_hook(lambda m, i, o: _Gradient.apply(o, self.factor))
                try:
                    return super().forward(inputs, data_samples, mode)
                finally:
                    hook.remove()
        return super().forward(inputs, data_samples, mode)


@MODELS.register_module()
class ToyNormNet(engine_toy.ToyNet):
    """With a batch norm after the first layer."""

    def __init__(self, **kwargs) -> None:
        super().__init__(dropout=0., **kwargs)
        self.first = torch.nn.Sequential(self.first, torch.nn.BatchNorm2d(4))


@HOOKS.register_module()
class ToyStateFileHook(Hook):
    """Writes the model that each process validates."""

    priority = 'LOWEST'

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def before_val_epoch(self, runner) -> None:
        model = getattr(runner.model, 'module', runner.model)
        torch.save(model.state_dict(), Path(self.folder) / f'validated_{runner.iter}_{get_rank()}.pth')


@HOOKS.register_module()
class ToySignalHook(Hook):
    """Sends one process of a run a signal after an iteration."""

    def __init__(self, signal_name: str, rank: int = 1, after: int = 3) -> None:
        self.signal_name, self.rank, self.after = signal_name, rank, after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.after and get_rank() == self.rank:
            os.kill(os.getpid(), getattr(signal, self.signal_name))


@HOOKS.register_module()
class ToyWaitHook(Hook):
    """Writes a file after the first iteration and waits."""

    def __init__(self, file: str) -> None:
        self.file = file

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        Path(self.file).touch()
        time.sleep(300)


def environment() -> dict[str, str]:
    """Of a subprocess that finds this folder's toys as well."""
    found = engine_toy.environment()
    return {**found, 'PYTHONPATH': os.pathsep.join([found['PYTHONPATH'], str(Path(__file__).parent)])}


def start_ranks(script, *arguments, count=2, **options):
    """Start the processes of a run, as a launcher does."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    return [subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**environment(), 'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': str(count),
             'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}, **options) for rank in range(count)]


def finish(processes, seconds: float) -> list[tuple[int, str]]:
    """Return status and stderr of each process; none is left running."""
    try:
        return [(process.returncode, text) for process in processes
                for text in [process.communicate(timeout=seconds)[1]]]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def last_words(text: str) -> list[str]:
    """Lines of stderr that a user would have to explain: errors, tracebacks, aborts."""
    return [line for line in text.splitlines() if line.startswith(('error:', 'Traceback', 'terminate', '  File'))]
