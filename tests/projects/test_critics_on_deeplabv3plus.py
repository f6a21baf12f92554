"""The worked example: domain critics on mmseg's stock DeepLabV3+, trained a few iterations by day labels alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from mmweather.engine import runner as tools
from mmweather.mini.write import make_mini
from mmweather.utils.checkpoint import load_checkpoint

CONFIG = (Path(__file__).parents[2]
          / 'projects/critics_on_deeplabv3plus/configs/deeplabv3plus_r50-d8_critics_mini.py')
LOADERS = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = make_mini(tmp_path_factory.mktemp('mini'), train=8, test=2, size=(136, 144), only=['freiburg-thermal'],
                     progress=False)
    return root / 'freiburg_thermal'


def small(data: Path, *more: str) -> list[str]:
    """The project's config with a quarter of its channels."""
    return ['--cfg-options', *(f'{loader}.data_root={data}' for loader in LOADERS),
            'train_dataloader.dataset.dataset.pipeline.2.crop_size=(128,128)',
            'model.backbone.base_channels=4', 'model.backbone.stem_channels=4', 'model.decode_head.in_channels=128',
            'model.decode_head.channels=16', 'model.decode_head.c1_in_channels=16', 'model.decode_head.c1_channels=4',
            'model.auxiliary_head.in_channels=64', 'model.auxiliary_head.channels=8',
            'train_cfg.max_iters=4', 'train_cfg.val_interval=4', 'default_hooks.checkpoint.interval=2',
            'default_hooks.logger.interval=1', 'log_processor.window_size=1', 'log_level=ERROR', *more]


@pytest.fixture
def train(data, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)

    def start(work: Path, *more: str, words: tuple[str, ...] = ()):
        return tools.train(tools.train_parser().parse_args(
            [str(CONFIG), '--work-dir', str(work), *words, *small(data, *more)]))

    return start


def test_the_stock_segmentor_trains_beside_its_critics(train, data, tmp_path):
    # custom_hooks of the config: three of the runtime, the critics, the progress bar.
    runner = train(tmp_path, 'custom_hooks.3.initial_critic_iters=1')
    segmentor = runner.model.segmentor
    for part in (segmentor, segmentor.backbone, segmentor.decode_head, segmentor.auxiliary_head):
        assert type(part).__module__.startswith('mmseg.')
    scalars = {name: [float(value) for value in buffer.data[0]]
               for name, buffer in runner.message_hub.log_scalars.items()}
    for name in ('train/day.decode.loss_ce', 'train/day.aux.loss_ce', 'train/loss_confusion'):
        assert len(scalars[name]) == 2, name  # segmentation, iterations 2 and 4
    assert len(scalars['train/loss_critic']) == 2
    assert all(math.isfinite(value) for name in scalars if 'loss' in name for value in scalars[name])
    assert not any(name.startswith('train/night.') for name in scalars)  # the night has no labels
    assert 0 <= scalars['val/mIoU_day'][-1] <= 100

    saved = load_checkpoint(tmp_path / 'iter_4.pth')
    assert saved['state_dict'].keys() == runner.model.state_dict().keys()
    # One critic sees the 13 classes, the other the first stage of the backbone (4 times 4 channels).
    assert [saved['state_dict'][f'critics.{i}.conv1.weight'].shape[1] for i in (0, 1)] == [13, 16]
    scores = tools.test(tools.test_parser().parse_args(
        [str(CONFIG), str(tmp_path / 'iter_4.pth'), '--work-dir', str(tmp_path / 'test'), *small(data)]))
    assert {'mIoU', 'mIoU_day', 'mIoU_night'} <= set(scores)


def test_without_the_hook_the_same_config_trains_by_day_labels_only(train, tmp_path):
    """What the README says to take out is enough."""
    runner = train(tmp_path, 'custom_hooks=[]', 'train_dataloader.sampler.type=mmweather.SeededInfiniteSampler',
                   "train_dataloader.dataset.dataset.domains=('day',)")
    assert 'train/decode.loss_ce' in runner.message_hub.log_scalars
    assert not any(key.startswith('critics.') for key in load_checkpoint(tmp_path / 'iter_4.pth')['state_dict'])
