"""No file of weights crashes the process, runs anything, or passes with other weights than it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, os.path.dirname(__file__))
import forged_files  # noqa: E402

pytest.importorskip('mmagic')

import mmweather  # noqa: E402
from mmweather.apis.hub import shipped_weights  # noqa: E402
from mmweather.utils.checkpoint import load_checkpoint  # noqa: E402

# Some 160 commands, each in a process of its own.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope='module')
def attacks(tmp_path_factory):
    """Result of restore and convert for each forged file, and the folder."""
    from PIL import Image
    folder = tmp_path_factory.mktemp('forged')
    good = {key.removeprefix('generator.'): value.float()
            for key, value in load_checkpoint(shipped_weights('ssdie-net')).items()}
    files = forged_files.forged(folder, good)
    honest = folder / 'honest.pth'
    honest.write_bytes(forged_files.good_bytes(good, '.pth'))
    files = {'honest': honest, **files}
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(folder / 'x.png')
    commands = []
    for number, file in enumerate(files.values()):
        commands.append(['restore', str(folder / 'x.png'), '--model', 'ssdie-net', '--checkpoint', str(file), '--out',
                         str(folder / f'out{number}'), '--device', 'cpu'])
        # Without --tensors-only, it reads as restore does.
        commands.append(['convert', 'ssdie_net/msff', str(file), str(folder / f'out{number}.safetensors'),
                         '--tensors-only'])
    (folder / 'commands.json').write_text(json.dumps(commands))
    done = subprocess.run([sys.executable, str(Path(__file__).with_name('many_commands.py')), 'commands.json',
                           'results.json'], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, 'OMP_NUM_THREADS': '1',
                               'PYTHONPATH': str(Path(mmweather.__file__).parents[1])})
    assert done.returncode == 0, done.stderr[-2000:]
    results = iter(json.loads((folder / 'results.json').read_text()))
    return folder, {(name, how): next(results) for name in files for how in ('restore', 'convert')}


def test_the_honest_file_passes_by_each_command(attacks):
    folder, results = attacks
    for how in ('restore', 'convert'):
        assert results['honest', how]['status'] == 0, results['honest', how]['err']
    assert list((folder / 'out0').glob('*.png'))


def test_every_forged_file_ends_in_one_line(attacks):
    folder, results = attacks
    wrong = {}
    for (name, how), result in results.items():
        lines = result['err'].strip().splitlines()
        good = result['status'] == 2 and len(lines) == 1 and lines[0].startswith('error: ')
        if name != 'honest' and not good:
            wrong[f'{name}, {how}'] = result['status'], result['err'][-300:]
    assert not wrong
    assert not (folder / 'PWNED').exists()


def test_none_takes_memory_or_time_beyond_its_size(attacks):
    _, results = attacks
    large = {name: result['megabytes'] for name, result in results.items() if result['megabytes'] > 400}
    assert not large
    assert max(result['seconds'] for result in results.values()) < 50
