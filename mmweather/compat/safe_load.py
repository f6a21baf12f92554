"""MMEngine's checkpoints by mmweather's guarded reader.

Fault: mmengine 0.10.7 reads a checkpoint given by address (``http://``, ``torchvision://``, ``open-mmlab://``, ...)
with ``weights_only=False``, so that a file from elsewhere runs code, be it a config's ``load_from`` or the pretrained
backbone of a stock model. A local file it reads with PyTorch's default: since PyTorch 2.6 that refuses every type that
is not on its list, MMEngine's own log among them, so resuming fails; and with ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` it
runs code too. ``.safetensors`` it does not know.

Fix: every loader of MMEngine's ``CheckpointLoader``, and ``load_url``, hand over to
:func:`mmweather.utils.checkpoint.load_checkpoint`. ``Runner.load_checkpoint``, ``init_cfg=dict(type='Pretrained')``,
``init_model`` and all else that loads by MMEngine follow. PyTorch's own list stays as it is: the types are allowed
while the reader reads. Loaders that somebody registered for other schemes are left alone. The four modules of mmagic
1.2.0 that download by PyTorch's own function, which also reads with ``weights_only=False``, are given :func:`load_url`.
"""

from __future__ import annotations

import os
from types import ModuleType, SimpleNamespace
from typing import Any

from ._post_import import after_import

_LOADERS = ('load_from_local', 'load_from_http', 'load_from_pavi', 'load_from_ceph', 'load_from_torchvision',
            'load_from_openmmlab', 'load_from_mmcls')
_EDITORS = 'mmagic.models.editors'
_HUBS = {
    'mmengine.utils.dl_utils.hub': 'load_url',
    'mmengine.utils.dl_utils': 'load_url',
    'mmengine.runner.checkpoint': 'load_url',
    'mmagic.evaluation.functional.fid_inception': 'load_url',
    f'{_EDITORS}.fastcomposer.fastcomposer': 'load_state_dict_from_url',
    f'{_EDITORS}.deblurganv2.deblurganv2_util': 'model_zoo',
    f'{_EDITORS}.arcface.id_loss': 'torch',
}


def apply() -> None:
    """Replace the loaders when MMEngine's module of checkpoints is imported."""
    after_import('mmengine.runner.checkpoint', _replace_loaders)
    for name in _HUBS:
        after_import(name, _replace_load_url)


def _replace_loaders(module: ModuleType) -> None:
    loaders = {name: getattr(module, name) for name in _LOADERS}
    if getattr(loaders['load_from_local'], '__module__', '') == __name__:
        return
    schemes = module.CheckpointLoader._schemes
    for name, original in loaders.items():
        guarded = _guarded(name)
        setattr(module, name, guarded)
        for prefix, loader in schemes.items():
            if loader is original:
                schemes[prefix] = guarded


def _guarded(name: str) -> Any:

    def load(filename: str, map_location: Any = None, **_: Any) -> dict[str, Any]:
        path = os.path.expanduser(filename)
        if name == 'load_from_local' and '://' not in path and not os.path.isfile(path):
            raise FileNotFoundError(f'{path} can not be found.')  # as MMEngine does
        return _load(path, map_location)

    load.__name__ = load.__qualname__ = name  # MMEngine logs it
    return load


def _load(source: str, map_location: Any) -> dict[str, Any]:
    from ..utils.checkpoint import checkpoint_file, load_checkpoint, read_metadata

    location = 'cpu' if map_location is None else map_location
    checkpoint = load_checkpoint(source, location)
    file = checkpoint_file(source)
    if file.suffix == '.safetensors':
        # The toolboxes look for what a .pth holds beside the weights.
        return {'state_dict': checkpoint, 'meta': read_metadata(file)}
    return checkpoint


def load_url(url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True,
             check_hash: bool = False, file_name: str | None = None, weights_only: bool = True) -> dict[str, Any]:
    """Load a checkpoint by address, as :func:`torch.hub.load_state_dict_from_url` does, but never run code from it.

    Args:
        url: the address.
        model_dir: unused, as all below: the file is kept in PyTorch's hub folder, a checksum in its name is always
            checked, and a bar is shown on a terminal.
        map_location: device of the tensors; the CPU if None.
        progress: unused.
        check_hash: unused.
        file_name: unused.
        weights_only: unused.

    Raises:
        CheckpointError: see :func:`mmweather.utils.checkpoint.load_checkpoint`.
    """
    from ..utils.checkpoint import load_checkpoint
    return load_checkpoint(url, 'cpu' if map_location is None else map_location)


class _Torch(ModuleType):
    """PyTorch as one module sees it, with another way to download."""

    def __getattr__(self, name: str) -> Any:
        import torch
        return getattr(torch, name)


def _replace_load_url(module: ModuleType) -> None:
    name = _HUBS[module.__name__]
    value: Any = load_url
    if name == 'model_zoo':
        value = SimpleNamespace(load_url=load_url)
    elif name == 'torch':
        value = _Torch('torch')
        value.hub = SimpleNamespace(load_state_dict_from_url=load_url)
    setattr(module, name, value)
