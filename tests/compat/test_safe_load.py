"""Resuming works with PyTorch's safe default, and code in a checkpoint is still refused."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap

import pytest
import torch
from mmengine.runner.checkpoint import _load_checkpoint

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.errors import CheckpointError

TRAIN = textwrap.dedent('''
    import sys
    import torch
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Line(BaseModel):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x, y, mode):
            return dict(loss=(self.layer(x) - y).square().mean())

    data = [(torch.tensor([float(i), 1.0]), torch.tensor([3.0 * i])) for i in range(8)]

    def run(work_dir, iterations, resume):
        runner = Runner(
            Line(), work_dir,
            train_dataloader=dict(dataset=data, batch_size=2, sampler=dict(type='DefaultSampler', shuffle=False),
                                  collate_fn=dict(type='default_collate')),
            train_cfg=dict(by_epoch=False, max_iters=iterations),
            optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
            param_scheduler=dict(type='CosineAnnealingLR', by_epoch=False, T_max=4),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False),
                               logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False)),
            log_processor=dict(by_epoch=False), resume=resume, log_level='WARNING', experiment_name=f'to{iterations}')
        runner.train()
        return runner

    if __name__ == '__main__':
        if sys.argv[2] == 'fixed':
            import mmweather.registry
        else:
            run(sys.argv[1], 2, resume=False)
            print('trained')
        runner = run(sys.argv[1], 4, resume=True)
        history, _ = runner.message_hub.get_scalar('train/loss').data
        print('iter', runner.iter, 'logged', len(history))
''')


def _train(folder, how):
    return subprocess.run([sys.executable, '-W', 'ignore', str(folder / 'line.py'), str(folder / 'work'), how],
                          capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})


def test_an_interrupted_run_resumes_and_fails_to_without_the_fix(tmp_path):
    (tmp_path / 'line.py').write_text(TRAIN)
    plain = _train(tmp_path, 'plain')
    assert 'trained' in plain.stdout, plain.stderr[-2000:]
    assert plain.returncode != 0
    assert 'HistoryBuffer' in plain.stderr
    fixed = _train(tmp_path, 'fixed')
    assert fixed.returncode == 0, fixed.stderr[-2000:]
    # Four losses in the log: the two from before the interrupt came back from the checkpoint.
    assert 'iter 4 logged 4' in fixed.stdout


class _Shell:

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command, )


@pytest.mark.parametrize('place', ['state_dict', 'message_hub'])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, place):
    from mmengine.runner.checkpoint import load_checkpoint
    trace = tmp_path / 'ran'
    checkpoint = {'state_dict': {'weight': torch.ones(1)}, 'meta': {}}
    checkpoint[place] = {'weight': _Shell(f'touch {trace}')}
    torch.save(checkpoint, tmp_path / 'evil.pth')
    with pytest.raises(CheckpointError, match='system'):
        load_checkpoint(torch.nn.Linear(1, 1), str(tmp_path / 'evil.pth'), map_location='cpu')
    assert not trace.exists()


def test_numbers_written_by_numpy_1_and_2_load(tmp_path):
    import numpy as np
    from mmengine.logging import HistoryBuffer
    values = {'log': HistoryBuffer([1.5, 2.5], [1, 1]), 'best': np.float32(0.5), 'count': np.int64(3),
              'flags': np.array([True, False])}
    torch.save(values, tmp_path / 'now.pth')
    # The other generation of NumPy spells its module differently; both names have one byte more or less.
    now, other = (b'numpy._core.multiarray', b'numpy.core.multiarray')
    if not hasattr(np, '_core'):
        now, other = other, now
    import zipfile
    with zipfile.ZipFile(tmp_path / 'now.pth') as old, zipfile.ZipFile(tmp_path / 'then.pth', 'w') as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith('data.pkl'):
                assert now in content
                content = content.replace(now, other)
            new.writestr(name, content)
    for name in ('now.pth', 'then.pth'):
        loaded = _load_checkpoint(str(tmp_path / name))
        assert type(loaded['log']) is HistoryBuffer and loaded['log'].mean() == 2.0
        assert (loaded['best'], loaded['count'], loaded['flags'].tolist()) == (0.5, 3, [True, False])
        loaded['log'].update(4.0)
        torch.save(loaded, tmp_path / 'again.pth')
        assert _load_checkpoint(str(tmp_path / 'again.pth'))['log'].data[0].tolist() == [1.5, 2.5, 4.0]


@pytest.mark.parametrize(('owner', 'name'), [('min', '__globals__'), ('HistoryBuffer', '__init__')])
def test_getattr_in_a_checkpoint_reaches_no_further_than_the_log(tmp_path, owner, name):
    from mmengine.logging import HistoryBuffer

    class Reach:

        def __reduce__(self):
            return getattr, (HistoryBuffer if owner == 'HistoryBuffer' else HistoryBuffer.min, name)

    torch.save({'x': Reach()}, tmp_path / 'reach.pth')
    with pytest.raises(CheckpointError, match='getattr'):
        _load_checkpoint(str(tmp_path / 'reach.pth'))


def test_the_user_s_own_list_is_neither_changed_nor_trusted_for_the_names_that_are_guarded(tmp_path):
    import numpy as np
    before = set(torch.serialization.get_safe_globals())
    assert all(item.__module__.startswith('torch.') for item in before), 'importing mmweather puts nothing on it'
    torch.save({'x': np.arange(3.)}, tmp_path / 'array.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'array.pth', weights_only=True)
    own = [np.ndarray, np.dtype, _Shell]
    with torch.serialization.safe_globals(own):
        assert _load_checkpoint(str(tmp_path / 'array.pth'))['x'].tolist() == [0, 1, 2]
        assert set(torch.serialization.get_safe_globals()) == {*own, *before}
    assert set(torch.serialization.get_safe_globals()) == before


def test_applying_again_changes_nothing():
    from mmengine.runner.checkpoint import CheckpointLoader

    from mmweather.compat import apply
    before = dict(CheckpointLoader._schemes)
    apply()
    assert dict(CheckpointLoader._schemes) == before
    assert {loader.__module__ for loader in before.values()} == {'mmweather.compat.safe_load'}
