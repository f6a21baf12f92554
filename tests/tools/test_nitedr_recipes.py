"""The shipped NiteDR recipes on the mini set: trained in two processes, joined, tested, resumed; all configs build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmweather.mini.write import make_mini
from mmweather.utils.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/nitedr'
NARROW = ['dim=16', 'num_blocks=(1,1,1,1)', 'heads=(1,1,1,1)']


def run(*command: object, status: int = 0) -> str:
    process = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, timeout=240,
                             env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable})
    output = process.stdout + process.stderr
    assert process.returncode == status, output[-3000:]
    return output


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = make_mini(tmp_path_factory.mktemp('mini'), train=5, test=2, size=(64, 72), only=['roadscene-rain'],
                     progress=False)
    root = root if (root / 'train').is_dir() else next(path.parent for path in root.rglob('train'))
    for split in ('train', 'test'):
        shutil.copytree(root / split / 'Vis/input', root / split / 'Vis/clean')
    return root


def roots(data: Path, *loaders: str) -> list[str]:
    return [f'{name}.dataset.{"dataset." if name[:5] == "train" else ""}data_root={data}' for name in loaders] + [
        f'{name}.{key}' for name in loaders for key in ('num_workers=0', 'persistent_workers=False')]


ALL = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture(scope='module')
def stage1(data, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp('stage1')
    run('tools/dist_train.sh', CONFIGS / 'nitedr_cleannet_2xb4-300k_roadscene-rain.py', 2, '--work-dir', work,
        '--cfg-options', *roots(data, *ALL), *(f'model.generator.{item}' for item in NARROW), 'train_cfg.max_iters=2',
        'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2', 'train_dataloader.batch_size=1')
    return work / 'iter_2.pth'


@pytest.fixture(scope='module')
def stage2(data, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp('stage2')
    run('tools/dist_train.sh', CONFIGS / 'nitedr_fusion_1xb1-500e_roadscene-rain.py', 2, '--work-dir', work,
        '--cfg-options', *roots(data, *ALL), 'model.fusion.growth=4', 'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1')
    return work / 'epoch_1.pth'


def test_both_stages_train_in_two_processes_and_join(data, stage1, stage2, tmp_path):
    joined = tmp_path / 'nitedr.pth'
    run(sys.executable, 'tools/model_converters/join_nitedr.py', stage1, stage2, joined)
    run(sys.executable, 'tools/test.py', CONFIGS / 'nitedr_joint_roadscene-rain.py', joined, '--work-dir', tmp_path,
        '--show-dir', tmp_path / 'pictures', '--cfg-options', *roots(data, 'val_dataloader', 'test_dataloader'),
        'model.fusion.growth=4', *(f'model.cleaner.{item}' for item in NARROW))
    metrics = json.loads(next(tmp_path.glob('*/*.json')).read_text())
    for name in ('mi', 'vif', 'cc', 'fmi_pixel', 'fmi_dct', 'fmi_w', 'mse', 'qabf', 'en', 'sd', 'sf', 'ag', 'scd',
                 'psnr_toolkit', 'ssim_toolkit', 'ms_ssim_toolkit'):
        assert f'refined/{name}' in metrics and f'fused/{name}' in metrics, (name, sorted(metrics))
    assert len(list((tmp_path / 'pictures').rglob('*.png'))) == 2


def test_two_processes_save_what_one_can_resume(data, stage2, tmp_path):
    state = load_checkpoint(stage2)
    assert not any('module.' in key for key in state['state_dict'])
    assert all(torch.isfinite(value).all() for value in state['state_dict'].values())
    shutil.copy(stage2, tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / stage2.name))
    run(sys.executable, 'tools/train.py', CONFIGS / 'nitedr_fusion_1xb1-500e_roadscene-rain.py', '--work-dir', tmp_path,
        '--resume', '--cfg-options', *roots(data, *ALL), 'model.fusion.growth=4', 'train_cfg.max_epochs=2',
        'train_cfg.val_interval=5', 'default_hooks.checkpoint.interval=1')
    after = load_checkpoint(tmp_path / 'epoch_2.pth')
    assert after['state_dict'].keys() == state['state_dict'].keys()
    key = 'fusion.conv_1.0.weight'
    assert not torch.equal(after['state_dict'][key], state['state_dict'][key])


def test_a_checkpoint_of_the_other_stage_is_named(data, stage2, tmp_path):
    output = run(sys.executable, 'tools/test.py', CONFIGS / 'nitedr_cleannet-s_1xb4-300_mini.py', stage2, '--work-dir',
                 tmp_path, '--cfg-options', *roots(data, *ALL), status=2)
    assert 'epoch_1.pth' in output and 'Traceback' not in output


@pytest.mark.parametrize('config', sorted(path.name for path in CONFIGS.glob('*.py')))
def test_every_model_builds(config):
    from mmweather import get_model
    model = get_model(str(CONFIGS / config), device='meta')
    assert sum(parameter.numel() for parameter in model.parameters()) > 1e5
