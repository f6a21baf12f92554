"""A killed run that is resumed ends with the very bits of one that was never interrupted."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / 'engine'))
import engine_toy  # noqa: E402

from mmweather.engine.runner import train, train_parser  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402

HOOKS = [dict(type=f'mmweather.{name}') for name in ('ExactResumeHook', 'RankMeanLogHook', 'NonFiniteLossHook')]
TRAIN = engine_toy.ROOT / 'tools' / 'train.py'


def loader(workers, **sampler):
    return dict(batch_size=2, num_workers=workers, persistent_workers=workers > 0,
                sampler=sampler or dict(type='mmweather.SeededInfiniteSampler'),
                dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmweather.ToyPairs')))


def start_tool(config, work_dir, *more):
    return subprocess.run([sys.executable, str(TRAIN), str(config), '--work-dir', str(work_dir), *more],
                          env=engine_toy.environment(), capture_output=True, text=True, timeout=120)


def train_here(config, work_dir, *more):
    return train(train_parser().parse_args([str(config), '--work-dir', str(work_dir), *more]))


def load(path):
    return load_checkpoint(path)


def assert_same(a, b, path='checkpoint'):
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f'{path}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f'{path}.{i}')
    else:
        assert a == b, path


@pytest.fixture(scope='module', autouse=True)
def _one_thread_on_the_cpu():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the subprocesses
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, 'is_available', lambda: False)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    train_here(engine_toy.write_config(folder, 'whole.py', train_dataloader=loader(0)), folder)
    return load(folder / 'iter_12.pth')


@pytest.mark.slow
@pytest.mark.parametrize(('before', 'after'), [(2, 0), (0, 2)], ids=['2-0-workers', '0-2-workers'])
def test_resumed_after_sigkill(tmp_path, reference, before, after):
    work_dir = tmp_path / 'work'
    killed = engine_toy.write_config(tmp_path, f'killed{before}.py', train_dataloader=loader(before),
                                     custom_hooks=[*HOOKS, dict(type='mmweather.KillHook', after=7)])
    process = start_tool(killed, work_dir)
    assert process.returncode == -9, process.stderr[-3000:]
    assert [p.name for p in work_dir.glob('*.pth')] == ['iter_4.pth']
    # The kill may also have come while the next checkpoint was written.
    (work_dir / 'iter_8.pth').write_bytes((work_dir / 'iter_4.pth').read_bytes()[:-200])
    resumed = engine_toy.write_config(tmp_path, f'resumed{after}.py', train_dataloader=loader(after))
    if after:
        process = start_tool(resumed, work_dir, '--resume')
        assert process.returncode == 0, process.stderr[-3000:]
        assert 'no batch is replayed' in process.stdout + process.stderr
        assert 'will not continue bit for bit' not in process.stdout + process.stderr
    else:
        train_here(resumed, work_dir, '--resume', str(work_dir / 'iter_4.pth'))
    final = load(work_dir / 'iter_12.pth')
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(final[part], reference[part], part)


def test_without_the_hook_the_bits_differ(tmp_path, reference):
    # Shows that the test above can fail: dropout then depends on the state of the process.
    config = engine_toy.write_config(tmp_path, 'stateful.py', train_dataloader=loader(0), custom_hooks=HOOKS[1:])
    train_here(config, tmp_path / 'work')
    other = load(tmp_path / 'work' / 'iter_12.pth')['state_dict']
    assert any(not torch.equal(value, other[key]) for key, value in reference['state_dict'].items())


def test_epochs_resume_at_their_end(tmp_path):
    changes = dict(
        train_cfg=dict(type='mmengine.EpochBasedTrainLoop', max_epochs=3, val_interval=9),
        train_dataloader=loader(0, type='mmweather.SeededEpochSampler'), val_cfg=None, val_dataloader=None,
        val_evaluator=None, log_processor=dict(type='mmengine.LogProcessor', by_epoch=True),
        default_hooks=dict(checkpoint=dict(type='mmengine.CheckpointHook', interval=1, by_epoch=True)))
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    train_here(engine_toy.write_config(tmp_path, 'epochs.py', **changes), whole)
    cut.mkdir()
    (cut / 'epoch_1.pth').write_bytes((whole / 'epoch_1.pth').read_bytes())
    train_here(engine_toy.write_config(tmp_path, 'epochs_resumed.py', **changes), cut, '--resume')
    a, b = load(whole / 'epoch_3.pth'), load(cut / 'epoch_3.pth')
    assert a['meta']['iter'] == b['meta']['iter'] == 15
    for part in ('state_dict', 'optimizer'):
        assert_same(a[part], b[part], part)


def test_a_drawn_seed_is_restored_and_what_differs_is_told(tmp_path):
    changes = dict(randomness=dict(seed=None), train_dataloader=loader(0))
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    train_here(engine_toy.write_config(tmp_path, 'drawn.py', **changes), whole)
    record = load(whole / 'iter_8.pth')['meta']['exact_resume']
    assert record == dict(seed=record['seed'], world_size=1, total_batch_size=2, dataset_length=10)
    for name in ('same', 'other'):
        (cut / name).mkdir(parents=True)
        (cut / name / 'iter_8.pth').write_bytes((whole / 'iter_8.pth').read_bytes())
    train_here(engine_toy.write_config(tmp_path, 'drawn_resumed.py', **changes), cut / 'same', '--resume')
    assert_same(load(whole / 'iter_12.pth')['state_dict'], load(cut / 'same' / 'iter_12.pth')['state_dict'])

    config = engine_toy.write_config(tmp_path, 'drawn_other.py', train_dataloader=loader(0))
    train_here(config, cut / 'other', '--resume', '--cfg-options', 'train_dataloader.batch_size=4',
               'train_dataloader.dataset.dataset.length=12')
    log = next((cut / 'other').rglob('*.log')).read_text()
    lines = [line for line in log.splitlines() if 'bit for bit' in line]
    assert len(lines) == 1 and 'batch size times processes was 2, is 4' in lines[0]
    assert 'length of the data set was 10, is 12' in lines[0]
    assert f"keeps the checkpoint's seed {record['seed']}" in log


def test_resume_without_a_checkpoint_starts_from_the_beginning(tmp_path):
    config = engine_toy.write_config(tmp_path, 'fresh.py', default_hooks=dict(checkpoint=None))
    assert train_here(config, tmp_path / 'work', '--resume').iter == 12
