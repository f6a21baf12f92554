"""The shipped HeatNet recipes: every model builds, and the small ones train, resume and test on the mini set."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mmweather import get_model
from mmweather.apis.pseudo_labels import write_pseudo_labels
from mmweather.engine import runner as tools
from mmweather.mini.write import make_mini
from mmweather.registry import HOOKS, METRICS, TRANSFORMS
from mmweather.utils.checkpoint import load_checkpoint
from mmweather.utils.images import image_size, read_image, write_image

CONFIGS = Path(__file__).parents[2] / 'configs/heatnet'
LOADERS = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = make_mini(tmp_path_factory.mktemp('mini'), train=6, test=2, size=(128, 136), only=['freiburg-thermal'],
                     progress=False)
    return root / 'freiburg_thermal'


def options(data: Path, iters: int, *more: str, crop: int = 2) -> list[str]:
    return [*(f'{loader}.data_root={data}' for loader in LOADERS), f'train_cfg.max_iters={iters}',
            'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2', 'train_dataloader.batch_size=2',
            'val_dataloader.dataset.holdout_every=3', 'train_dataloader.dataset.dataset.holdout_every=3',
            f'train_dataloader.dataset.dataset.pipeline.{crop}.crop_size=(128,128)', 'log_level=ERROR', *more]


def start(config: str, work: Path, words: list[str]):
    return tools.train(tools.train_parser().parse_args([str(CONFIGS / config), '--work-dir', str(work), *words]))


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


def test_a_teacher_then_a_student_with_critics_resumed_and_tested(data, tmp_path):
    start('heatnet_thermal-teacher-s_1xb4-1k_mini.py', tmp_path / 'teacher', ['--cfg-options', *options(data, 2)])
    teacher = f"model.teacher={tmp_path / 'teacher/iter_2.pth'}"
    config = 'heatnet_rgbt-s-full_1xb4-2k_mini.py'
    start(config, tmp_path / 'student', ['--cfg-options', *options(data, 2, teacher)])
    runner = start(config, tmp_path / 'student', ['--resume', '--cfg-options', *options(data, 4, teacher)])
    scalars = runner.message_hub.log_scalars
    assert {'train/night.teacher.loss_ce', 'train/loss_confusion', 'train/loss_critic'} <= set(scalars)
    state = load_checkpoint(tmp_path / 'student/iter_4.pth')
    assert not any('teacher' in key for key in state['state_dict'])
    assert 'critics.0.conv1.weight' in state['state_dict']
    scores = tools.test(tools.test_parser().parse_args(
        [str(CONFIGS / config), str(tmp_path / 'student/iter_4.pth'), '--work-dir', str(tmp_path / 'test'),
         '--show-dir', str(tmp_path / 'pictures'), '--cfg-options', *options(data, 4)]))
    assert {'mIoU', 'mIoU_day', 'mIoU_night', 'mIoU_pooled'} <= set(scores)
    assert all(0 <= scores[name] <= 100 for name in ('mIoU', 'mIoU_day', 'mIoU_night'))
    # Visible, thermal, prediction, label: the mini set's test frames of either domain.
    day, night = (sorted((tmp_path / 'pictures').glob(f'{domain}_*.png')) for domain in ('day', 'night'))
    assert day and night and read_image(day[0]).shape[1] == 4 * image_size(next(data.glob('test/*/ImagesIR/*')))[1] + 12

    # The same weights on pairs without labels, which nothing scores.
    rng = np.random.default_rng(0)
    for folder, shape in (('vi', (70, 90, 3)), ('ir', (70, 90))):
        write_image(tmp_path / 'pairs' / folder / '1N.png', rng.integers(0, 256, shape, np.uint8))
    scores = tools.test(tools.test_parser().parse_args(
        [str(CONFIGS / 'heatnet_rgbt-s_pairs-pictures_mini.py'), str(tmp_path / 'student/iter_4.pth'), '--work-dir',
         str(tmp_path / 'pairs_test'), '--show-dir', str(tmp_path / 'of_pairs'), '--cfg-options',
         f"test_dataloader.dataset.data_root={tmp_path / 'pairs'}", 'log_level=ERROR']))
    assert not {name for name in scores if 'IoU' in name}
    assert read_image(tmp_path / 'of_pairs/1N.png').shape == (70, 3 * 90 + 8, 3)


def test_labels_of_a_teacher_with_a_certainty_branch_are_written_and_trained_on(data, tmp_path):
    teacher = 'heatnet_resnext-thermal-teacher-s_1xb4-1k_mini.py'
    # Two frames in a batch: the pyramid's pooled branch has batch norm over single pixels.
    runner = start(teacher, tmp_path / 'teacher', ['--cfg-options', *options(data, 2)])
    assert 'train/decode.loss_certainty' in runner.message_hub.log_scalars
    count = write_pseudo_labels(CONFIGS / teacher, tmp_path / 'teacher/iter_2.pth', data_root=data, progress=False)
    assert count == {'written': 3, 'kept': 0}
    runner = start('heatnet_rgbt-s-stored-labels_1xb4-2k_mini.py', tmp_path / 'student',
                   ['--cfg-options', *options(data, 2, crop=3)])
    assert {'train/night.teacher.loss_ce', 'train/loss_confusion'} <= set(runner.message_hub.log_scalars)


def test_the_mf_recipe_trains_on_what_an_rgb_teacher_wrote(tmp_path):
    rng = np.random.default_rng(0)
    names = [f'0000{i}{"DN"[i % 2]}' for i in range(4)]
    for folder in ('images', 'labels', 'labels_from_rgbteacher'):
        (tmp_path / 'mf' / folder).mkdir(parents=True)
    for name in names:
        write = [('images', rng.integers(0, 256, (80, 96, 4), np.uint8)), ('labels', rng.integers(0, 9, (80, 96)))]
        if name.endswith('D'):
            write.append(('labels_from_rgbteacher', rng.integers(0, 14, (80, 96))))
        for folder, array in write:
            Image.fromarray(array.astype(np.uint8)).save(tmp_path / f'mf/{folder}/{name}.png')
    for name in ('train', 'val', 'test'):
        (tmp_path / f'mf/{name}.txt').write_text('\n'.join(names))
    narrow = ['model.backbone.width=4', 'model.backbone.blocks=(1,1,1,1)', 'model.decode_head.in_channels=128',
              'model.decode_head.channels=16', 'model.decode_head.up_channels=(8,4,4)']
    common = [*(f'{loader}.data_root={tmp_path / "mf"}' for loader in LOADERS), *narrow, 'train_cfg.max_iters=2',
              'train_cfg.val_interval=2', 'train_dataloader.batch_size=2', 'default_hooks.checkpoint.interval=2',
              'train_dataloader.dataset.dataset.pipeline.2.crop_size=(64,64)', 'log_level=ERROR',
              *(f'{loader}_dataloader.{key}' for loader in ('train', 'val', 'test')
                for key in ('num_workers=0', 'persistent_workers=False'))]
    start('heatnet_thermal-teacher_4xb2-50k_mf.py', tmp_path / 'teacher', ['--cfg-options', *common])
    runner = start('heatnet_rgbt-late_4xb2-100k_mf.py', tmp_path / 'student', [
        '--cfg-options', *common, f"model.teacher={tmp_path / 'teacher/iter_2.pth'}"])
    assert {'train/night.teacher.loss_ce', 'train/day.decode.loss_ce', 'train/loss_critic', 'val/mIoU_night'} <= set(
        runner.message_hub.log_scalars)


def parts(dataset):
    """The datasets with a pipeline inside joined and repeated ones."""
    if 'pipeline' in dataset:
        return [dataset]
    return [part for inner in dataset.get('datasets', [dataset.get('dataset')]) for part in parts(inner)]


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_every_model_pipeline_and_hook_builds(path):
    model = get_model(str(path), device='meta')
    assert sum(parameter.numel() for parameter in model.parameters()) > 5e5
    config = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope('mmweather'):
        pipelines = [part.pipeline for part in parts(config.train_dataloader.dataset.dataset)]
        for step in itertools.chain(*pipelines, config.test_dataloader.dataset.pipeline):
            assert callable(TRANSFORMS.build(step))
        for item in (*config.custom_hooks, *config.default_hooks.values()):
            HOOKS.build(item)
        for item in config.test_evaluator:
            METRICS.build(item)


def test_recipes_say_what_they_change():
    def hook(name):
        return Config.fromfile(CONFIGS / f'{name}.py').custom_hooks[-1]

    published = Config.fromfile(CONFIGS / 'heatnet_rgbt-late_4xb2-100k_freiburg_published.py')
    assert published.model.published_teacher_mode and published.model.bn_test == 'batch'
    assert published.val_dataloader.dataset.split == 'test'
    assert published.train_dataloader.dataset.dataset.pipeline[6].seg_pad_val == 0
    assert published.custom_hooks[-1].published_certainty_mean
    full, critics = (Config.fromfile(CONFIGS / f'heatnet_rgbt-s-{name}_1xb4-2k_mini.py')
                     for name in ('full', 'critics'))
    assert full.model.teacher and critics.model.teacher is None
    # As many updates of the segmentor as without critics.
    plain = Config.fromfile(CONFIGS / 'heatnet_rgbt-s_1xb4-1k_mini.py')
    for config in (full, critics):
        assert config.train_cfg.max_iters == 2 * plain.train_cfg.max_iters == config.param_scheduler[0].end
        assert config.custom_hooks[3].seg_iters == config.custom_hooks[3].critic_iters
    assert plain.param_scheduler[0].end == plain.train_cfg.max_iters
    six = hook('heatnet_rgbt-late-6critics_4xb1-100k_freiburg')
    assert (len(six.features), six.initial_critic_iters, six.seg_iters, six.critic_iters) == (6, 1000, 50, 500)
    assert hook('heatnet_rgbt-late-no-critics_4xb2-50k_freiburg').type == 'mmweather.NonFiniteLossHook'
