"""A tiny restorer, its data and its config, imported by the tests and (custom_imports) by their subprocesses."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from mmweather.registry import DATASETS, HOOKS, METRICS, MODELS

ROOT = Path(__file__).resolve().parents[2]


class ToySample(BaseDataElement):
    """As mmagic's: fields and metainfo through get."""


@DATASETS.register_module()
class ToyPairs(Dataset):
    """Pairs of small images; noise and crops come from all three global generators."""

    METAINFO = dict(name='toy')

    def __init__(self, length: int = 10, augment: bool = True, nan_index: int | None = None) -> None:
        self.length, self.augment, self.nan_index = length, augment, nan_index
        self.metainfo = dict(self.METAINFO)
        self.initialised = False

    def full_init(self) -> None:
        self.initialised = True

    def get_data_info(self, idx: int) -> dict:
        return {'img_path': f'toy/{idx:03d}.png', 'sample_idx': idx}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, idx: int) -> dict:
        clean = torch.linspace(0, 1, 12 * 12).reshape(1, 12, 12).roll(int(idx), 2).repeat(3, 1, 1)
        image = clean + 0.1
        if self.augment:
            top = random.randrange(4)
            left = int(np.random.randint(4))
            image = (clean + 0.2 * torch.rand(3, 12, 12))[:, top:top + 8, left:left + 8]
            clean = clean[:, top:top + 8, left:left + 8]
        if idx == self.nan_index:
            image = image * float('nan')
        sample = ToySample(gt_img=(clean * 255).round())
        sample.set_metainfo(dict(self.get_data_info(int(idx)), sample_key=f'{int(idx):03d}'))
        return {'inputs': image, 'data_samples': sample}


@MODELS.register_module()
class ToyPreprocessor(BaseDataPreprocessor):

    def forward(self, data: dict, training: bool = False) -> dict:
        data = self.cast_data(data)
        return {'inputs': torch.stack(data['inputs']), 'data_samples': data['data_samples']}


@MODELS.register_module()
class ToyNet(BaseModel):
    """Two convolutions with dropout between."""

    def __init__(self, width: int = 4, dropout: float = 0.3, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor or dict(type='mmweather.ToyPreprocessor'))
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: torch.Tensor, data_samples: list | None = None, mode: str = 'tensor'):
        output = self.last(self.dropout(self.first(inputs).relu()))
        if mode == 'tensor':
            return output
        if mode == 'loss':
            target = torch.stack([sample.gt_img for sample in data_samples]) / 255
            return {'loss_pixel': (output - target).square().mean()}
        for sample, picture, image in zip(data_samples, output, inputs, strict=True):
            sample.output = ToySample(pred_img=(picture.detach().clamp(0, 1) * 255).round())
            sample.input = image * 255
        return data_samples


@MODELS.register_module()
class ToyPairOfNets(ToyNet):
    """Steps two optimizers in one train_step, by update_params and by backward and step."""

    def train_step(self, data: dict, optim_wrapper) -> dict:
        data = self.data_preprocessor(data, True)
        loss = self(**data, mode='loss')['loss_pixel']
        optim_wrapper['first'].update_params(loss)
        again = self(**data, mode='loss')['loss_pixel'] * float(getattr(self, 'spoil', 1))
        optim_wrapper['last'].zero_grad()
        optim_wrapper['last'].backward(again)
        optim_wrapper['last'].step()
        return {'loss': loss.detach(), 'loss_again': again.detach()}


@METRICS.register_module()
class ToyPSNR(BaseMetric):
    default_prefix = 'toy'

    def process(self, data_batch, data_samples) -> None:
        self.results += [((s['output']['pred_img'] - s['gt_img']) ** 2).mean().item() for s in data_samples]

    def compute_metrics(self, results: list) -> dict:
        return {'psnr': float(10 * np.log10(255 ** 2 / np.mean(results)))}


@HOOKS.register_module()
class KillHook(Hook):
    """Ends the process without a farewell after an iteration, as a power cut does."""

    def __init__(self, after: int) -> None:
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.after:
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class LossFileHook(Hook):
    """Writes what the message hub holds as the loss of each iteration, one file a process."""

    priority = 'LOWEST'

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        value = runner.message_hub.get_scalar('train/loss').current()
        with open(Path(self.folder) / f'loss_{get_rank()}.txt', 'a') as file:
            file.write(f'{float(value)!r}\n')


def write_config(folder: Path, name: str = 'toy.py', **changes) -> Path:
    """A config on the shipped runtime; ``changes`` are dotted keys with ``__`` for the dot."""
    text = f"""
_base_ = [{str(ROOT / 'configs' / '_base_' / 'default_runtime.py')!r}]
custom_imports = dict(imports=['engine_toy'])
model = dict(type='mmweather.ToyNet')
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='mmweather.SeededInfiniteSampler'),
    dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmweather.ToyPairs')))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
    dataset=dict(type='mmweather.ToyPairs', length=3, augment=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmweather.ToyPSNR')
test_evaluator = val_evaluator
train_cfg = dict(type='mmweather.SeededIterBasedTrainLoop', max_iters=12, val_interval=5)
val_cfg = dict(type='mmengine.ValLoop')
test_cfg = dict(type='mmengine.TestLoop')
optim_wrapper = dict(type='mmengine.OptimWrapper', optimizer=dict(type='mmengine.Adam', lr=0.01))
param_scheduler = dict(type='mmengine.CosineAnnealingLR', T_max=12, by_epoch=False)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=4, max_keep_ckpts=5))
"""
    for key, value in changes.items():  # later assignments win, dicts of _base_ are merged
        text += f"{key} = {value!r}\n"
    path = Path(folder) / name
    path.write_text(text)
    return path


def environment() -> dict[str, str]:
    """Of a subprocess: one thread, no GPU, this folder and the repository importable."""
    return {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
            'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHON': sys.executable}


def wait_for(condition, seconds: float) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
