"""Full and read-only disks end every command in one line, lose nothing and leave nothing half written."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest
from process_tree import pictures, voc_set

from mmweather.cli import main
from mmweather.errors import DataError, explain, one_line_errors
from mmweather.utils.atomic import remove_leftovers, temporary_name, write_bytes


@contextlib.contextmanager
def mounted(folder: Path, options: str):
    folder.mkdir()
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        pytest.skip(f'a small disk cannot be mounted here: {done.stderr.strip()}')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', folder], check=True)


def ends(capsys, *words):
    """Status and the line of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(('error', 'internal', 'Trace'))]
    assert len(lines) == 1, lines
    return caught.value.code, lines[0]


def commands(tmp_path, out):
    boxes, photos = tmp_path / 'set', tmp_path / 'photos'
    if not boxes.exists():
        voc_set(boxes, 5)
        pictures(photos, 5)
    return [('prepare', 'voc-fog', boxes, out / 'fog', '--workers', 1),
            ('prepare', 'mini', out / 'mini', '--only', 'roadscene-rain', '--workers', 1)]


def test_a_full_disk_is_one_line(tmp_path, capsys):
    with mounted(tmp_path / 'small', 'size=64k') as out:
        for words in commands(tmp_path, out):
            status, line = ends(capsys, *words)
            assert status == 2 and 'No space left on device' in line and 'free space' in line and str(out) in line
            assert not list(out.rglob('*.part'))
            subprocess.run(['rm', '-rf', *out.iterdir()], check=True)


def test_a_read_only_disk_is_one_line(tmp_path, capsys):
    with mounted(tmp_path / 'locked', 'ro') as out:
        for words in commands(tmp_path, out):
            status, line = ends(capsys, *words)
            assert status == 2 and 'Read-only file system' in line and 'choose' in line and str(out) in line


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path, capsys):
    (tmp_path / 'file').write_text('precious')
    for words in commands(tmp_path, tmp_path / 'file'):
        status, line = ends(capsys, *words)
        assert status == 2 and str(tmp_path / 'file') in line
    assert (tmp_path / 'file').read_text() == 'precious'


@pytest.mark.parametrize(('number', 'words'), [
    (errno.ENOSPC, 'free space'), (errno.EMFILE, 'ulimit -n'), (errno.ENAMETOOLONG, 'shorten the name'),
    (errno.EACCES, 'permissions'), (errno.EROFS, 'can be written'), (errno.EFBIG, 'ulimit -f'),
])
def test_each_fault_of_the_system_has_its_remedy(capsys, number, words):
    with pytest.raises(SystemExit) as caught, one_line_errors():
        raise OSError(number, os.strerror(number), '/some/a\nfile\x1b[31m')
    line = capsys.readouterr().err
    assert caught.value.code == 2 and line.count('\n') == 1 and words in line and '\x1b' not in line


def test_other_errors_of_a_process(capsys, monkeypatch):
    assert 'out of memory' in explain(MemoryError()) and 'out of memory' in explain(RuntimeError('CUDA out of memory'))
    assert explain(DataError('a\nb')) == 'a b' and explain(KeyError('x')) is None
    monkeypatch.setenv('MMWEATHER_DEBUG', '1')
    with pytest.raises(SystemExit) as caught, one_line_errors():
        raise KeyError('x')
    assert caught.value.code == 70 and isinstance(caught.value.__cause__, KeyError)
    assert 'Traceback' in capsys.readouterr().err


def test_a_name_of_the_greatest_length_is_written_and_replaced(tmp_path):
    path = tmp_path / ('x' * 251 + '.png')
    for data in (b'1', b'2'):
        assert write_bytes(path, data).read_bytes() == data
    with pytest.raises(OSError, match='File name too long') as caught:
        write_bytes(tmp_path / ('x' * 252 + '.png'), b'1')
    assert 'shorten' in explain(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_leftovers_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path):
    child = os.fork()
    if child == 0:
        temporary_name(tmp_path / 'file.png').write_bytes(b'half')
        folder = temporary_name(tmp_path / 'folder')
        folder.mkdir()
        (folder / 'a').touch()
        os._exit(0)
    assert len(list(tmp_path.iterdir())) <= 2
    os.waitpid(child, 0)
    own, alien = temporary_name(tmp_path / 'file.png'), tmp_path / '.notes.part'
    own.touch()
    alien.touch()
    assert len(remove_leftovers(tmp_path)) == 2
    assert set(tmp_path.iterdir()) == {own, alien}
