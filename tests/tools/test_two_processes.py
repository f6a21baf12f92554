"""Two processes on a machine without a GPU: the same losses and weights as one, and a common end at a bad loss."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / 'engine'))
import engine_toy  # noqa: E402

from mmweather.datasets.samplers import SeededInfiniteSampler  # noqa: E402
from mmweather.engine.runner import train, train_parser  # noqa: E402
from mmweather.errors import NonFiniteLossError  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402

GOOD, BATCH, LENGTH = 6, 2, 40
DIST_TRAIN = engine_toy.ROOT / 'tools' / 'dist_train.sh'


def bad_index():
    """The sample that process 1 of 2 meets first after ``GOOD`` iterations; within the first pass none comes twice."""
    order = SeededInfiniteSampler(range(LENGTH), seed=0).order(0)
    return order[2 * BATCH * GOOD + 1]


def config_of(folder, name, batch_size):
    return engine_toy.write_config(
        folder, name,
        model=dict(type='mmweather.ToyNet', dropout=0.0),  # dropout masks cannot agree: each process draws its own
        train_dataloader=dict(
            batch_size=batch_size, num_workers=0, sampler=dict(type='mmweather.SeededInfiniteSampler'),
            dataset=dict(type='mmweather.SeededDataset',
                         dataset=dict(type='mmweather.ToyPairs', length=LENGTH, nan_index=bad_index()))),
        default_hooks=dict(checkpoint=dict(type='mmengine.CheckpointHook', by_epoch=False, interval=1)),
        custom_hooks=[*(dict(type=f'mmweather.{hook}') for hook in (
            'ExactResumeHook', 'RankMeanLogHook', 'NonFiniteLossHook')),
            dict(type='mmweather.LossFileHook', folder=str(folder))])


def losses(folder, rank):
    return torch.tensor([float(line) for line in (folder / f'loss_{rank}.txt').read_text().splitlines()])


def weights(folder, iteration=GOOD):
    return load_checkpoint(folder / f'iter_{iteration}.pth')['state_dict']


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two')
    # A hang in the backward pass would run into the timeout.
    process = subprocess.run(
        ['bash', str(DIST_TRAIN), str(config_of(folder, 'two.py', BATCH)), '2', '--work-dir', str(folder)],
        env=engine_toy.environment(), capture_output=True, text=True, timeout=150)
    return folder, process


@pytest.fixture
def one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(NonFiniteLossError) as caught:
        train(train_parser().parse_args([str(config_of(tmp_path, 'one.py', 2 * BATCH)), '--work-dir', str(tmp_path)]))
    return tmp_path, caught.value


@pytest.mark.slow
def test_losses_and_weights_agree_with_one_process(one, two):
    log = two[1].stdout + two[1].stderr
    assert (two[0] / 'loss_0.txt').is_file(), log[-5000:]
    curve = losses(one[0], 0)
    assert len(curve) == GOOD and curve.std() > 0
    for rank in (0, 1):  # the logged loss is the mean over the ranks, on each of them
        torch.testing.assert_close(losses(two[0], rank), curve, rtol=1e-5, atol=1e-6)
    for key, value in weights(one[0]).items():
        torch.testing.assert_close(weights(two[0])[key], value, rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(weights(two[0], GOOD - 1)[key], value) for key, value in weights(two[0]).items())


@pytest.mark.slow
def test_both_stop_at_a_loss_that_is_bad_on_one(two):
    folder, process = two
    assert process.returncode != 0
    lines = [line for line in process.stderr.splitlines() if 'error: loss at iteration 7 is nan on rank 1' in line]
    assert lines, process.stderr[-5000:]
    assert f'toy/{bad_index():03d}.png' in lines[0]
    assert 'NonFiniteLossError' not in process.stderr
    assert sorted(path.name for path in folder.glob('*.pth'))[-1] == f'iter_{GOOD}.pth'
    assert all(torch.isfinite(value).all() for value in weights(folder).values())


def test_one_process_stops_and_names_the_file(one):
    folder, error = one
    assert f'toy/{bad_index():03d}.png' in str(error) and 'iteration 7' in str(error)
    assert (folder / 'last_checkpoint').read_text().endswith(f'iter_{GOOD}.pth')
    assert all(torch.isfinite(value).all() for value in weights(folder).values())
