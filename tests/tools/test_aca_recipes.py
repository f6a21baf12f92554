"""The shipped recipes for RICE: all build, the full one runs in small, the reduced ones train, test and draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmweather import get_model
from mmweather.engine.runner import test as run_test
from mmweather.engine.runner import test_parser as arguments_of_test
from mmweather.engine.runner import train as run_train
from mmweather.engine.runner import train_parser as arguments_of_train

CONFIGS = Path(__file__).parents[2] / 'configs/aca_crnet'
RECIPES = sorted(path.stem for path in CONFIGS.glob('*rice*.py'))
FULL = [name for name in RECIPES if '299e' in name]


def config_of(name: str) -> str:
    return str(CONFIGS / f'{name}.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Ten hazy pictures with masks in RICE's layout; the smallest that the rule divides into three parts."""
    root, rng = tmp_path_factory.mktemp('rice'), np.random.default_rng(0)
    for number in range(10):
        cells = rng.integers(20, 180, (8, 8, 3)).astype(np.uint8)
        clear = np.asarray(Image.fromarray(cells).resize((48, 48), Image.Resampling.BICUBIC))
        hazy = (0.4 * clear + 140).astype(np.uint8)
        mask = np.where(clear[..., 0] > 100, 255, 0).astype(np.uint8)
        for folder, picture in (('cloud', hazy), ('label', clear), ('mask', mask)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(root / folder / f'{number}.png')
    return root


def options(data: Path, *more: str) -> list[str]:
    return ['--cfg-options', f'train_dataloader.dataset.dataset.data_root={data}', *(
        f'{loader}.dataset.data_root={data}' for loader in ('val_dataloader', 'test_dataloader')), *(
        f'{loader}_dataloader.{item}' for loader in ('train', 'val', 'test')
        for item in ('num_workers=0', 'persistent_workers=False')), *more]


@pytest.mark.parametrize('name', RECIPES)
def test_every_recipe_builds(name):
    model = get_model(config_of(name), device='meta')
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == 20_397_831 if name in FULL else 1e4 < count < 6e6


def test_the_peer_costs_as_much():
    """Multiply-adds at the size of the test."""
    from mmengine.analysis import get_model_complexity_info
    counts = []
    for name in ('aca-crnet-s_1xb4-1k_rice1', 'nafnet-s_1xb4-1k_rice1'):
        network = get_model(config_of(name), device='cpu').generator
        counts.append(get_model_complexity_info(network, (3, 128, 128), show_table=False, show_arch=False)['flops'])
    assert counts[0] == pytest.approx(4.24e9, rel=1e-3) and counts[0] == pytest.approx(counts[1], rel=2e-3)


@pytest.mark.parametrize('name', ['aca-crnet_1xb12-299e_rice1', 'aca-crnet_1xb12-299e_rice2',
                                  'aca-crnet_1xb12-299e_rice2_published'])
def test_the_published_recipe(name, data):
    config = Config.fromfile(config_of(name))
    assert dict(config.optim_wrapper.optimizer) == dict(type='mmengine.Adam', lr=7e-5, betas=(0.9, 0.999), eps=1e-8)
    assert config.get('param_scheduler') is None and config.train_cfg.max_epochs == 299
    assert config.train_dataloader.batch_size == 12
    masks = 'rice2' in name
    assert (config.model.get('cloud_loss') is not None) == masks and (config.model.pixel_loss is None) == masks
    if masks:
        assert config.model.cloud_loss.get('published', False) == name.endswith('published')
    keys = {}
    for part in ('train', 'val', 'test'):
        loader = config[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        inner = loader.dataset.get('dataset', loader.dataset)
        inner.data_root = str(data)
        built = Runner.build_dataloader(loader, seed=0)
        batch = next(iter(built))
        images = batch['inputs']['img'] if isinstance(batch['inputs'], dict) else [x['img'] for x in batch['inputs']]
        assert {tuple(image.shape) for image in images} == {(3, 128, 128)}
        assert ('mask' in batch['data_samples'][0]) == (masks and part == 'train')
        dataset = getattr(built.dataset, 'dataset', built.dataset)
        keys[part] = set(dataset.metainfo['stems'])
    assert [len(keys[part]) for part in ('train', 'val', 'test')] == [7, 1, 2]
    assert len(set.union(*keys.values())) == 10


def test_the_full_network_in_small():
    model = get_model(config_of('aca-crnet_1xb12-299e_rice1'), device='cpu')
    with torch.no_grad():
        out = model.predict_images({'img': torch.rand(1, 3, 9, 14)})
    assert out.shape == (1, 3, 9, 14) and out.min() >= 0 and out.max() <= 1


NARROW = {
    'aca-crnet-s_1xb4-1k_rice1': ('model.generator.width=12', 'model.generator.num_blocks=4'),
    'aca-crnet-s_1xb4-1k_rice2': ('model.generator.width=12', 'model.generator.num_blocks=4'),
    'nafnet-s_1xb4-1k_rice1': ('model.generator.mid_channels=8', 'optim_wrapper.optimizer.lr=3e-3'),
    'aca-crnet-s_1xb4-300_rice1_mini': (),
}


@pytest.mark.parametrize('name', NARROW)
def test_the_reduced_recipes_learn(name, data, tmp_path):
    work = tmp_path / 'work'
    arguments = [config_of(name), '--work-dir', str(work)]
    short = ('train_cfg.max_iters=16', 'train_cfg.val_interval=16', 'default_hooks.logger.interval=1',
             'default_hooks.checkpoint.interval=16', 'train_dataloader.batch_size=2', 'log_processor.window_size=1',
             'param_scheduler=None', 'train_dataloader.dataset.dataset.pipeline.2.size=32')
    run_train(arguments_of_train().parse_args([*arguments, *options(data, *short, *NARROW[name])]))
    lines = [json.loads(line) for line in next(work.glob('*/vis_data/scalars.json')).read_text().splitlines()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert len(losses) == 16 and np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert any('psnr' in line for line in lines)

    if name.endswith('mini'):
        small = 'test_dataloader.dataset.pipeline.2.size=32'
        figures = run_test(arguments_of_test().parse_args(
            [config_of(name), str(work / 'iter_16.pth'), '--work-dir', str(work), '--show-dir', str(tmp_path / 'shown'),
             *options(data, small)]))
        assert {'psnr', 'psnr_input', 'ssim', 'sam', 'mae', 'rmse'} <= set(figures)
        assert figures['psnr_input'] == pytest.approx(9, abs=4)
        assert {path.stem for path in (tmp_path / 'shown').rglob('*.png')} == {'0', '5'}
