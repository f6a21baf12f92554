"""tools/train.py and tools/test.py as a user meets them."""

import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

sys.path.insert(0, str(Path(__file__).parents[1] / 'engine'))
import engine_toy  # noqa: E402

from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402

TOOLS = engine_toy.ROOT / 'tools'


@pytest.fixture
def tool(monkeypatch, capsys):
    """Runs a tool in this process: exit status, last line of stderr."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        for manager in (DefaultScope, MessageHub, MMLogger, Visualizer):
            manager._instance_dict.clear()  # runs within one second share a name
        try:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        except SystemExit as end:
            return end.code, [*capsys.readouterr().err.splitlines(), ''][-2]
        return 0, ''

    return run


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    from mmweather.engine.runner import train, train_parser
    folder = tmp_path_factory.mktemp('trained')
    config = engine_toy.write_config(folder, 'trained.py')
    train(train_parser().parse_args([str(config), '--work-dir', str(folder)]))
    return folder / 'trained.py', folder / 'iter_12.pth'


def test_help_shows_every_argument(tool, capsys):
    for name, arguments in (('train.py', ('--amp', '--auto-scale-lr', '--resume')),
                            ('test.py', ('--out', '--show', '--show-dir', '--wait-time', '--tta'))):
        with pytest.raises(SystemExit) as end, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, 'argv', [name, '--help'])
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        shown = capsys.readouterr().out
        assert end.value.code == 0
        assert all(a in shown for a in (*arguments, '--work-dir', '--cfg-options', '--launcher', 'example:'))


def test_a_test_run_writes_metrics_predictions_and_pictures(tool, trained, tmp_path):
    config, checkpoint = trained
    code, _ = tool('test.py', config, checkpoint, '--work-dir', tmp_path, '--out', tmp_path / 'out.pkl', '--show-dir',
                   tmp_path / 'pictures', '--cfg-options', 'test_dataloader.dataset.length=2')
    assert code == 0
    with open(tmp_path / 'out.pkl', 'rb') as file:
        assert len(pickle.load(file)) == 2
    assert sorted(path.name for path in (tmp_path / 'pictures' / '0').iterdir()) == ['000.png', '001.png']
    assert 'psnr' in next(tmp_path.glob('*/*.json')).read_text()


def test_an_exchanged_network_is_an_error(tool, trained, tmp_path):
    config, checkpoint = trained
    code, line = tool('test.py', config, checkpoint, '--work-dir', tmp_path, '--cfg-options', 'model.width=5')
    assert code == 2 and line.startswith('error: ') and checkpoint.name in line and 'first.weight' in line
    torch.save({'state_dict': {'backbone.conv.weight': torch.zeros(1)}}, tmp_path / 'alien.pth')
    for name, more in (('test.py', [tmp_path / 'alien.pth']), ('train.py', ['--resume', tmp_path / 'alien.pth']),
                       ('train.py', ['--cfg-options', f'load_from={tmp_path / "alien.pth"}'])):
        code, line = tool(name, config, *more, '--work-dir', tmp_path / 'w')
        assert code == 2 and line.startswith('error: ') and 'alien.pth' in line, line


def test_fine_tuning_takes_what_fits(tool, trained, tmp_path):
    _, checkpoint = trained
    weights = load_checkpoint(checkpoint)['state_dict']
    # One key fits, one has another shape, one is unknown, two are missing.
    torch.save({'first.weight': weights['first.weight'] * 0 + 7, 'last.weight': torch.ones(9), 'x': torch.ones(1)},
               tmp_path / 'part.pth')
    config = engine_toy.write_config(tmp_path, 'tuned.py', load_from=str(tmp_path / 'part.pth'),
                                     optim_wrapper=dict(type='mmengine.OptimWrapper',
                                                        optimizer=dict(type='mmengine.SGD', lr=0.0)))
    assert tool('train.py', config, '--work-dir', tmp_path)[0] == 0
    assert (load_checkpoint(tmp_path / 'iter_12.pth')['state_dict']['first.weight'] == 7).all()
    log = next(tmp_path.rglob('*.log')).read_text()
    assert "not taken: ['last.weight', 'x']" in log and "['first.bias', 'last.bias', 'last.weight']" in log
    code, line = tool('train.py', config, '--work-dir', tmp_path / 'w', '--resume', tmp_path / 'part.pth')
    assert code == 2 and 'weights only' in line


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04 cut short'])
def test_a_broken_checkpoint_is_an_error(tool, trained, tmp_path, content):
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    for name, more in (('test.py', [path]), ('train.py', ['--resume', path])):
        code, line = tool(name, trained[0], *more, '--work-dir', tmp_path)
        assert code == 2 and line.startswith('error: ') and 'broken.pth' in line


def test_a_checkpoint_that_holds_code_is_not_run(tool, trained, tmp_path):
    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'was_run', )

    torch.save({'state_dict': Code()}, tmp_path / 'code.pth')
    code, line = tool('test.py', trained[0], tmp_path / 'code.pth', '--work-dir', tmp_path)
    assert code == 2 and 'code.pth' in line and not (tmp_path / 'was_run').exists()


def test_mistakes_are_one_line_and_status_2(tool, trained, tmp_path):
    config, checkpoint = trained
    assert tool('train.py', tmp_path / 'gone.py')[0] == 2
    code, line = tool('train.py', config, '--cfg-options', 'trian_dataloader.batch_size=2')
    assert code == 2 and line.startswith('error: ') and 'train_dataloader' in line
    code, line = tool('train.py', config, '--work-dir', tmp_path, '--cfg-options', 'model.type=mmweather.ToyNot')
    assert code == 2 and line.startswith('error: model.type: ') and 'mmweather.ToyNet' in line
    code, line = tool('test.py', config, tmp_path / 'gone.pth')
    assert code == 2 and 'gone.pth' in line
    code, line = tool('test.py', config, checkpoint, '--work-dir', tmp_path, '--cfg-options',
                      'test_dataloader.dataset.lenght=2')
    assert code == 2 and "'length'" in line


def test_shell_tools_say_how_they_are_called():
    for name, words in (('dist_train.sh', 'CONFIG GPUS'), ('dist_test.sh', 'CONFIG CHECKPOINT GPUS'),
                        ('slurm_train.sh', 'PARTITION'), ('slurm_test.sh', 'PARTITION')):
        process = subprocess.run(['bash', str(TOOLS / name), 'one'], capture_output=True, text=True)
        assert process.returncode == 2 and words in process.stderr
        assert (TOOLS / name).stat().st_mode & 0o111


@pytest.mark.parametrize(('name', 'arguments', 'environment', 'wanted'), [
    ('dist_train.sh', ['my config.py', '2', '--resume'], {},
     ['-m', 'torch.distributed.run', '--standalone', '--local-addr=127.0.0.1', '--nproc_per_node=2', 'train.py',
      'my config.py', '--launcher', 'pytorch', '--resume']),
    ('dist_test.sh', ['c.py', 'k.pth', '4'], {'PORT': '29600', 'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': 'host'},
     ['-m', 'torch.distributed.run', '--nnodes=2', '--node_rank=1', '--master_addr=host', '--master_port=29600',
      '--nproc_per_node=4', 'test.py', 'c.py', 'k.pth', '--launcher', 'pytorch']),
    ('slurm_train.sh', ['gpu', 'job', 'c.py', 'work dir', '--amp'], {'GPUS': '2', 'SRUN_ARGS': '-x node1'},
     ['-p', 'gpu', '--job-name=job', '--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2', '--cpus-per-task=5',
      '--kill-on-bad-exit=1', '-x', 'node1', 'python', '-u', 'train.py', 'c.py', '--work-dir=work dir',
      '--launcher=slurm', '--amp']),
])
def test_shell_tools_pass_their_arguments(tmp_path, name, arguments, environment, wanted):
    # A stand-in for python and srun that prints what it gets.
    for program in ('python', 'srun'):
        (tmp_path / program).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / program).chmod(0o755)
    process = subprocess.run(['bash', str(TOOLS / name), *arguments], capture_output=True, text=True,
                             env={'PATH': f'{tmp_path}:/usr/bin:/bin', **environment})
    got = [line.removeprefix(f'{TOOLS}/') for line in process.stdout.splitlines()]
    assert got == wanted, process.stderr
