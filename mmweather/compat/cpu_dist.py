"""Several processes on a machine without an accelerator.

Fault: mmengine 0.10.7 calls ``torch.cuda.set_device`` when it sets up any process group, asks for NCCL by default, and
hands ``DistributedDataParallel`` a GPU index, which that refuses for a model on the CPU.  OpenMMLab's segmentation
configs also use ``SyncBN``, which PyTorch has for GPUs only.

Fix, where neither CUDA nor another accelerator of MMEngine is there: gloo stands in for NCCL, no GPU is chosen, and
``MMDistributedDataParallel`` takes a CPU model as such, with its ``SyncBN`` reverted to plain batch normalisation (each
process then normalises over its own batch, as the log says).  So ``torchrun --nproc-per-node=2 -m mmweather.compat
tools/train.py CONFIG --launcher pytorch`` runs with no change to the config.  With an accelerator nothing is changed.

Second fault: MMEngine never leaves the process group, and gloo's worker threads outlive even ``destroy_process_group``
while a ``DistributedDataParallel`` model exists.  A worker that frees the last reference to a tensor needs the
interpreter; when the interpreter has ended meanwhile, the process aborts ("terminate called without an active
exception").  Fix: :func:`leave_group`, called when a tool has ended well, and :func:`settle`, which every process that
sets up a group runs at its exit, also after an error: it waits until the workers are idle.
"""

from __future__ import annotations

import atexit
import functools
import logging
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from ._post_import import after_import

_WORKER = 'pt_gloo_runloop'  # the name that torch gives the worker threads of gloo
_IDLE_POLLS, _POLL, _SETTLE = 3, 0.01, 5.0  # polls in a row, and seconds
_LAUNCHERS = ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm')


def apply() -> None:
    """Fix MMEngine's set-up of process groups and its wrapper when they are imported."""
    after_import('mmengine.dist.utils', _fix_init)
    after_import('mmengine.model.wrappers.distributed', _fix_wrapper)


def on_cpu_only() -> bool:
    """Whether MMEngine would place models on the CPU."""
    from mmengine.device import get_device
    return get_device() == 'cpu'


def leave_group() -> None:
    """Leave the process group, if there is one, when all processes are done.  Not for a process that failed."""
    import torch.distributed as dist
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    settle()


def settle(timeout: float = _SETTLE) -> None:
    """Wait until gloo's worker threads are idle; an idle worker does not disturb the end of the interpreter.

    Args:
        timeout: maximum time to wait, in seconds.
    """
    end, idle = time.monotonic() + timeout, 0
    while idle < _IDLE_POLLS and time.monotonic() < end:
        states = _worker_states()
        if not states:
            return
        # A worker that waits for the interpreter sleeps as well; the pause gives the interpreter to it.
        idle = idle + 1 if states <= {'S'} else 0
        time.sleep(_POLL)


def _worker_states() -> set[str]:
    """States of gloo's workers as Linux reports them; empty on other systems."""
    states = set()
    for task in Path('/proc/self/task').glob('*'):
        try:
            name, _, rest = (task / 'stat').read_text().partition('(')[2].rpartition(')')
        except OSError:  # the thread has ended
            continue
        if name == _WORKER:
            states.add(rest.split()[0])
    return states


def _fix_init(module: ModuleType) -> None:
    for name in _LAUNCHERS:
        original = getattr(module, name)
        if not hasattr(original, '__wrapped__'):
            setattr(module, name, _without_gpu(original))


def _without_gpu(init: Any) -> Any:

    @functools.wraps(init)
    def fixed(backend: str, *args: Any, **kwargs: Any) -> None:
        atexit.unregister(settle)
        atexit.register(settle)
        if not on_cpu_only():
            return init(backend, *args, **kwargs)
        from unittest import mock

        import torch
        with mock.patch.object(torch.cuda, 'set_device', lambda device: None):
            return init('gloo' if backend == 'nccl' else backend, *args, **kwargs)

    return fixed


def _fix_wrapper(module: ModuleType) -> None:
    wrapper = module.MMDistributedDataParallel
    if not hasattr(wrapper.__init__, '__wrapped__'):
        wrapper.__init__ = _for_cpu_models(wrapper.__init__)


def _for_cpu_models(init: Any) -> Any:

    @functools.wraps(init)
    def fixed(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        if {parameter.device.type for parameter in module.parameters()} == {'cpu'}:
            kwargs.pop('device_ids', None)
            kwargs.pop('output_device', None)
            module = _revert_sync_bn(module)
        init(self, module, *args, **kwargs)

    return fixed


def _revert_sync_bn(model: Any) -> Any:
    if not any('SyncBatchNorm' in type(layer).__name__ for layer in model.modules()):
        return model
    from mmengine.logging import print_log
    from mmengine.model import revert_sync_batchnorm
    print_log('SyncBN needs GPUs: each process normalises over its own batch.', 'current', logging.WARNING)
    return revert_sync_batchnorm(model)
