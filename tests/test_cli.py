"""The command line: dispatch, messages, exit statuses, start-up time."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmweather import cli
from mmweather.errors import DataError
from mmweather.version import __version__

ROOT = Path(__file__).resolve().parents[1]


def command(*words: str, **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.run([sys.executable, '-m', 'mmweather.cli', *words], capture_output=True, text=True,
                          env=environment, timeout=180, **options)


@pytest.fixture
def fake(monkeypatch):
    """Register a subcommand `fake` whose `run` is the given function."""

    def register(run) -> None:
        module = SimpleNamespace(HELP='does nothing', EXAMPLE='\nmmweather fake 3\n', run=run,
                                 add_arguments=lambda parser: parser.add_argument('number', type=int))
        monkeypatch.setitem(cli.COMMANDS, 'fake', 'fake')
        monkeypatch.setattr(cli, '_load', lambda name: module)

    return register


def test_every_command_module_is_in_the_table_and_complete():
    files = {path.stem for path in (ROOT / 'mmweather' / 'commands').glob('*.py') if not path.stem.startswith('_')}
    assert files == set(cli.COMMANDS.values())
    for name in cli.COMMANDS:
        module = cli._load(name)
        assert module.HELP and not set(module.HELP) & set('\n\t') and not module.HELP.endswith('.')
        assert callable(module.add_arguments) and callable(module.run)


@pytest.mark.parametrize('name', sorted(cli.COMMANDS))
def test_help_of_each_command_shows_its_own_example(name, capsys):
    if not cli._is_there(name):
        pytest.fail(f'mmweather/commands/{cli.COMMANDS[name]}.py is missing')
    with pytest.raises(SystemExit) as exit_:
        cli.main([name, '--help'])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert f'usage: mmweather {name}' in out
    example = out[out.index('example:'):]
    assert f'mmweather {name}' in example


def test_overview_lists_the_commands_and_imports_nothing_heavy():
    code = ("import sys; from mmweather import cli; assert cli.main(['--help']) == 0; "
            "print([name for name in ('torch', 'mmengine', 'numpy', 'cv2', 'mmcv') if name in sys.modules])")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, timeout=180)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == '[]'
    shown = {line.split()[0] for line in lines if line.startswith('  ')}
    assert shown == {name for name in cli.COMMANDS if cli._is_there(name)}


def test_overview_is_fast():
    # CPU seconds: those of the clock depend on what else runs.
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _ in range(3):
        before = spent()
        assert command('--help').returncode == 0
        times.append(spent() - before)
    assert min(times) < 0.3, times


def test_version(capsys):
    assert cli.main(['--version']) == 0
    assert capsys.readouterr().out.strip() == f'mmweather {__version__}'


@pytest.mark.parametrize('typed, guess', [('restor', "did you mean 'restore'?"), ('RESTORE', "did you mean 'restore'?"),
                                          ('zzzz', None)])
def test_an_unknown_command_is_one_line_and_status_2(typed, guess):
    done = command(typed)
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr.count('\n') == 1 and done.stderr.startswith(f"error: unknown command '{typed}'")
    assert ('did you mean' in done.stderr) == (guess is not None)
    assert guess is None or guess in done.stderr


def test_arguments_and_status_pass_through(fake):
    seen = []
    fake(lambda args: seen.append(args.number) or 7)
    assert cli.main(['fake', '3']) == 7
    assert seen == [3]


def test_a_bad_argument_is_status_2(fake, capsys):
    fake(lambda args: 0)
    with pytest.raises(SystemExit) as exit_:
        cli.main(['fake', 'three'])
    assert exit_.value.code == 2
    assert "argument number: invalid int value: 'three'" in capsys.readouterr().err


def test_a_user_mistake_is_one_line_and_status_2(fake, capsys):

    def run(args):
        raise DataError('a.png: is empty; copy it again')

    fake(run)
    with pytest.raises(SystemExit) as exit_:
        cli.main(['fake', '1'])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == 'error: a.png: is empty; copy it again\n'


def test_a_missing_toolbox_is_one_line_with_the_install_command(fake, capsys):

    def run(args):
        raise ModuleNotFoundError("No module named 'mmdet.apis'", name='mmdet.apis')

    fake(run)
    with pytest.raises(SystemExit) as exit_:
        cli.main(['fake', '1'])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == ("error: 'mmweather fake' needs 'mmdet', which is not installed: "
                                       "pip install 'mmweather[detect]'\n")


def test_a_fault_of_ours_is_one_line_and_keeps_its_traceback(fake, capsys):

    def run(args):
        raise ModuleNotFoundError("No module named 'mmweather.nothing'", name='mmweather.nothing')

    fake(run)
    with pytest.raises(SystemExit) as exit_:
        cli.main(['fake', '1'])
    assert exit_.value.code == 70 and isinstance(exit_.value.__cause__, ModuleNotFoundError)
    line = capsys.readouterr().err
    assert line.startswith("internal error: ModuleNotFoundError: No module named 'mmweather.nothing' (")
    kept = Path(line.rstrip().split("'")[-2])
    assert "raise ModuleNotFoundError" in kept.read_text()
    kept.unlink()


def test_an_interrupt_is_status_130_without_traceback(fake, capsys):

    def run(args):
        raise KeyboardInterrupt

    fake(run)
    with pytest.raises(SystemExit) as exit_:
        cli.main(['fake', '1'])
    assert exit_.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'


@pytest.mark.skipif(os.name == 'nt', reason='pipes of a POSIX shell')
def test_a_reader_that_leaves_early_causes_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, '-m', 'mmweather.cli', '--help'], stdout=writer, stderr=subprocess.PIPE,
                          text=True, cwd=ROOT, timeout=180)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ''
