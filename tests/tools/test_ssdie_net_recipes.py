"""The SSDIE-Net recipes: the three stages on a tiny set, in two processes, resumed, tested; all configs build."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper, OptimWrapperDict

sys.path.insert(0, str(Path(__file__).parents[1] / 'datasets'))
from sand_dust_toy import write_set  # noqa: E402

from mmweather.engine import runner  # noqa: E402
from mmweather.registry import DATASETS, MODELS, OPTIM_WRAPPERS  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402
from mmweather.utils.config_file import innermost  # noqa: E402
from mmweather.utils.images import read_image, write_image  # noqa: E402

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/ssdie_net'
LABELLED = 'train_dataloader.dataset.dataset.labelled.data_root'
UNLABELLED = 'train_dataloader.dataset.dataset.unlabelled.data_root'
EVALUATED = ('val_dataloader.dataset.dataset.data_root', 'test_dataloader.dataset.data_root')


NUMBERS = itertools.count()


def in_two_processes(*words: object) -> None:
    process = subprocess.run(['tools/dist_train.sh', *map(str, words)], cwd=ROOT, capture_output=True, text=True,
                             timeout=240, env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable})
    assert process.returncode == 0, (process.stdout + process.stderr)[-3000:]


def arguments(parser, *words: object):
    # Runs of one second would share their logs.
    return parser.parse_args([*map(str, words), f'experiment_name=recipe{next(NUMBERS)}'])


def train(*words: object) -> None:
    runner.train(arguments(runner.train_parser(), *words))


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = write_set(tmp_path_factory.mktemp('set') / 'sand_dust', clean=4, dust=4, test=2)
    for path in (root / 'test').iterdir():
        write_image(root / 'reference' / f'{path.stem}.png', read_image(path))
    return root


@pytest.fixture(scope='module')
def clear(tmp_path_factory) -> Path:
    """Clear photos with small depth pictures, in every folder that a config names."""
    root = tmp_path_factory.mktemp('clear')
    rng = np.random.default_rng(0)
    for folder in ('images', 'images/train', 'train', 'val', 'test'):
        for index in range(2):
            photo = rng.integers(0, 256, (9, 13, 3), np.uint8).repeat(16, 0).repeat(16, 1)
            write_image(root / folder / f'{index}.png', photo)
            if 'images' in folder:
                depth = rng.integers(0, 256, (30, 40), np.uint8)
                write_image(root / folder.replace('images', 'depth') / f'{index}.png', depth)
    return root


@pytest.fixture(scope='module')
def stages(data, tmp_path_factory) -> dict[str, Path]:
    """Checkpoints of stages A and B."""
    work = tmp_path_factory.mktemp('stages')
    train(CONFIGS / 'ssdie-net_msff-s-pretrain_1xb4-20e_mini.py', '--work-dir', work / 'a', '--cfg-options',
          f'{LABELLED}={data}', *(f'{key}={data}' for key in EVALUATED), 'train_cfg.max_epochs=1',
          'default_hooks.checkpoint.interval=1', 'model.generator.features=4')
    train(CONFIGS / 'ssdie-net_dark-s_1xb4-20e_mini.py', '--work-dir', work / 'b', '--cfg-options',
          f'{LABELLED}={data}', f'{UNLABELLED}={data}', 'train_cfg.max_epochs=1',
          'default_hooks.checkpoint.interval=1')
    return {'generator': work / 'a/epoch_1.pth', 'dark': work / 'b/epoch_1.pth'}


def stage_c(data, stages, *more: object) -> list[object]:
    return [CONFIGS / 'ssdie-net_msff-s_1xb4-20e_mini.py', *more, '--cfg-options', f'{LABELLED}={data}',
            f'{UNLABELLED}={data}', *(f'{key}={data}' for key in EVALUATED), 'model.generator.features=4',
            *(f'model.pretrained.{name}={path}' for name, path in stages.items()),
            'default_hooks.checkpoint.interval=1', 'train_cfg.val_interval=9', 'train_dataloader.batch_size=1']


@pytest.mark.slow
def test_three_stages_two_processes_one_resume_and_a_test(data, stages, tmp_path):
    work = tmp_path / 'c'
    config, *options = stage_c(data, stages)
    in_two_processes(config, 2, '--work-dir', work, *options, 'train_cfg.max_epochs=1')
    state = load_checkpoint(work / 'epoch_1.pth')['state_dict']
    assert {key.split('.')[0] for key in state} == {'generator', 'critic', 'dark'}
    assert not any('.module.' in key for key in state)
    dark = load_checkpoint(stages['dark'])['state_dict']
    assert all(torch.equal(state[key], value) for key, value in dark.items()), 'the frozen classifier has changed'
    before = load_checkpoint(stages['generator'])['state_dict']
    assert not torch.equal(state['generator.E1.0.weight'], before['generator.E1.0.weight'])
    # Adam's first steps are near the learning rate: so far it cannot be from where it started.
    assert (state['generator.E1.0.weight'] - before['generator.E1.0.weight']).abs().max() < 5e-3

    train(*stage_c(data, stages, '--work-dir', work, '--resume'), 'train_cfg.max_epochs=2')
    after = load_checkpoint(work / 'epoch_2.pth')
    assert after['state_dict'].keys() == state.keys()
    assert not torch.equal(after['state_dict']['critic.model.2.weight'], state['critic.model.2.weight'])

    metrics = runner.test(arguments(
        runner.test_parser(), config, work / 'epoch_2.pth', '--work-dir', tmp_path / 'test', '--show-dir',
        tmp_path / 'pictures', *options))
    for name in ('psnr_rgb', 'ssim_rgb3d', 'ciede2000', 'colour_cast', 'cast_factor'):
        assert math.isfinite(metrics[name]) and f'{name}_input' in metrics, sorted(metrics)
    assert math.isnan(metrics['niqe']) and metrics['niqe_skipped'] == 2  # the photos are too small
    assert len(list((tmp_path / 'pictures').rglob('*.png'))) == 2


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(data, stages, tmp_path):
    whole, halves = tmp_path / 'whole', tmp_path / 'halves'
    train(*stage_c(data, stages, '--work-dir', whole), 'train_cfg.max_epochs=2')
    halves.mkdir()
    shutil.copy(whole / 'epoch_1.pth', halves)
    (halves / 'last_checkpoint').write_text(str(halves / 'epoch_1.pth'))
    train(*stage_c(data, stages, '--work-dir', halves, '--resume'), 'train_cfg.max_epochs=2')
    one, other = (load_checkpoint(folder / 'epoch_2.pth')['state_dict'] for folder in (whole, halves))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize('config', sorted(path.name for path in CONFIGS.glob('*.py')))
def test_every_model_and_every_sample_builds(config, data, clear):
    from mmweather import get_model
    model = get_model(str(CONFIGS / config), device='meta')
    wanted = Config.fromfile(CONFIGS / config)
    assert set(wanted.optim_wrapper) - {'constructor'} == set(model.trained)
    dataset = wanted.train_dataloader.dataset.dataset
    for part in ('labelled', 'unlabelled'):
        for one in innermost(dataset.get(part) or {}):
            if one:
                one.data_root = str(clear if one.get('data_prefix') else data)
    images = DATASETS.build(dataset)[0]['inputs']
    asked = {'ReconstructionTerm': {'img', 'gt'}, 'PseudoLabelTerm': {'unlabelled', 'pseudo_label'},
             'ConsistencyTerm': {'unlabelled'}, 'AdversarialTerm': {'unlabelled_views', 'gt_views'},
             'DarkChannelTerm': {'unlabelled_views'}}
    needed = set().union(*(asked.get(type(term).__name__, set()) for term in model.terms.values()))
    needed |= {'gt', 'unlabelled'} if model.trained == ('dark', ) else set()
    assert needed == set(images)


def test_grey_tiny_and_odd_files_make_a_step(tmp_path):
    root = write_set(tmp_path / 'sand_dust', clean=1, dust=1, side=33)
    write_image(root / 'train/clean/grey.png', np.tile(np.arange(34, dtype=np.uint8) * 7, (17, 1)))
    for path in (root / 'train/dust').iterdir():
        path.unlink()
    write_image(root / 'train/dust/pixel.png', np.full((1, 1, 3), (200, 120, 30), np.uint8))
    write_image(root / 'train/dust/grey.png', np.full((3, 71), 90, np.uint8))
    wanted = Config.fromfile(CONFIGS / 'ssdie-net_msff-s_1xb4-20e_mini.py')
    dataset = wanted.train_dataloader.dataset.dataset
    for part in (dataset.labelled, dataset.unlabelled):
        part.update(data_root=str(root), holdout=None)
    dataset.pairing = 'fixed'
    wanted.model.update(pretrained=None)
    wanted.model.generator.features = 4
    model = MODELS.build(wanted.model).train()
    wrappers = OptimWrapperDict(**{name: OptimWrapper(torch.optim.Adam(model.get_submodule(name).parameters()))
                                   for name in model.trained})
    samples = DATASETS.build(dataset)
    losses = model.train_step(pseudo_collate([samples[0], samples[1]]), wrappers)
    assert len(losses) == 7 and all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_the_recipe_for_real_photos_learns_to_remove_dust_from_a_tiny_set(clear):
    wanted = Config.fromfile(CONFIGS / 'ssdie-net_msff-m_1xb8-1500_dust-wide.py')
    labelled = wanted.train_dataloader.dataset.dataset.labelled
    for one in innermost(labelled):
        one.update(data_root=str(clear), holdout=None)
        one.pipeline[2].size = 32
    wanted.model.update(pretrained=None)
    wanted.model.generator.features = 8
    torch.manual_seed(0)
    model = MODELS.build(wanted.model).train()
    wrapper = OPTIM_WRAPPERS.build(dict(
        type=wanted.optim_wrapper.generator.type, optimizer=torch.optim.Adam(model.generator.parameters(), 2e-3)))
    samples = DATASETS.build(wanted.train_dataloader.dataset)
    batch = pseudo_collate([samples[index] for index in range(0, len(samples), 2)])
    losses = [float(model.train_step(batch, OptimWrapperDict(generator=wrapper))['loss']) for _ in range(25)]
    assert set(model.terms) == {'reconstruction', 'similarity', 'colour'}
    assert losses[-1] < 0.8 * losses[0]
