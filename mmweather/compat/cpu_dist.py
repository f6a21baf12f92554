"""Several processes on a machine without an accelerator.

Fault: mmengine 0.10.7 calls ``torch.cuda.set_device`` when it sets up any process group, asks for NCCL by default, and
hands ``DistributedDataParallel`` a GPU index, which that refuses for a model on the CPU.  OpenMMLab's segmentation
configs also use ``SyncBN``, which PyTorch has for GPUs only.

Mend, where neither CUDA nor another accelerator of MMEngine is there: gloo stands in for NCCL, no GPU is chosen, and
``MMDistributedDataParallel`` takes a CPU model as such, with its ``SyncBN`` reverted to plain batch normalisation (each
process then normalises over its own batch, as the log says).  So ``torchrun --nproc-per-node=2 -m mmweather.compat
tools/train.py CONFIG --launcher pytorch`` runs with no change to the config.  With an accelerator nothing is changed.

Second fault: MMEngine never leaves the process group.  Threads of gloo that still run when the interpreter ends now and
then abort a process whose work is done.  Mend: :func:`leave_group`, called when a tool has ended well.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

from ._post_import import after_import

_LAUNCHERS = ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm')


def apply() -> None:
    """Mend MMEngine's set-up of process groups and its wrapper when they are imported."""
    after_import('mmengine.dist.utils', _mend_init)
    after_import('mmengine.model.wrappers.distributed', _mend_wrapper)


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


def _mend_init(module: ModuleType) -> None:
    for name in _LAUNCHERS:
        original = getattr(module, name)
        if not hasattr(original, '__wrapped__'):
            setattr(module, name, _without_gpu(original))


def _without_gpu(init: Any) -> Any:

    @functools.wraps(init)
    def mended(backend: str, *args: Any, **kwargs: Any) -> None:
        if not on_cpu_only():
            return init(backend, *args, **kwargs)
        from unittest import mock

        import torch
        with mock.patch.object(torch.cuda, 'set_device', lambda device: None):
            return init('gloo' if backend == 'nccl' else backend, *args, **kwargs)

    return mended


def _mend_wrapper(module: ModuleType) -> None:
    wrapper = module.MMDistributedDataParallel
    if not hasattr(wrapper.__init__, '__wrapped__'):
        wrapper.__init__ = _for_cpu_models(wrapper.__init__)


def _for_cpu_models(init: Any) -> Any:

    @functools.wraps(init)
    def mended(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        if {parameter.device.type for parameter in module.parameters()} == {'cpu'}:
            kwargs.pop('device_ids', None)
            kwargs.pop('output_device', None)
            module = _revert_sync_bn(module)
        init(self, module, *args, **kwargs)

    return mended


def _revert_sync_bn(model: Any) -> Any:
    if not any('SyncBatchNorm' in type(layer).__name__ for layer in model.modules()):
        return model
    from mmengine.logging import print_log
    from mmengine.model import revert_sync_batchnorm
    print_log('SyncBN needs GPUs: each process normalises over its own batch.', 'current', logging.WARNING)
    return revert_sync_batchnorm(model)
