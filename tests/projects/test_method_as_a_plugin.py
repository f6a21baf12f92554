"""The example plug-in is installed for real and found by every door that takes a method or a model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmweather.utils.images import read_image, write_image

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / 'projects' / 'method_as_a_plugin'

pytest.importorskip('mmagic')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """A folder with the plug-in installed by pip, from a copy, so that the checkout stays clean."""
    source, target = tmp_path_factory.mktemp('source') / 'plugin', tmp_path_factory.mktemp('site')
    shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns('build', '*.egg-info', '__pycache__'))
    install = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation']
    done = subprocess.run([*install, '--target', str(target), str(source)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return target


def run(site: Path, *command: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get('PYTHONPATH')])])
    return subprocess.run([sys.executable, '-W', 'ignore', *command], capture_output=True, text=True, timeout=240,
                          env={**os.environ, 'PYTHONPATH': path})


def mmweather(site: Path, *arguments: str) -> str:
    done = run(site, '-c', 'from mmweather.cli import main; raise SystemExit(main())', *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_list_and_info_show_it(site):
    assert 'lowlight_curve' in mmweather(site, 'list')
    shown = mmweather(site, 'info', 'lowlight')
    assert 'LowLight' in shown and 'lowlight_curve.safetensors' in shown
    assert 'lowlight/curve' in mmweather(site, 'convert', 'list')


@pytest.mark.slow
def test_restore_brightens_an_image_by_its_short_name(site, tmp_path):
    dark = np.full((40, 56, 3), 60, np.uint8)
    write_image(tmp_path / 'dark.png', dark)
    mmweather(site, 'restore', str(tmp_path / 'dark.png'), '--model', 'lowlight', '--out', str(tmp_path / 'out'))
    value = 60 / 255
    for _ in range(4):
        value += np.tanh(0.5493) * value * (1 - value)
    assert np.abs(read_image(tmp_path / 'out' / 'dark.png').astype(float) - 255 * value).max() <= 0.51


def test_python_finds_the_network_the_adapter_and_the_choice_of_the_web_page(site):
    code = '''
import torch, mmweather
from mmweather.registry import MODELS
from mmweather.apis.adapters import to_published
from mmweather.web.choices import choices_from
network = mmweather.from_official('lowlight/curve', {'curve.alpha': torch.tensor([.1, .2, .3])})
assert type(MODELS.build(dict(type='mmweather.LightCurve'))) is type(network)
assert to_published('lowlight/curve', network.state_dict())['curve.alpha'].tolist() == network.strength.tolist()
print([choice.model for choice in choices_from()])
'''
    done = run(site, '-c', code)
    assert done.returncode == 0, done.stderr
    assert 'lowlight' in done.stdout


def test_a_broken_plugin_is_left_out_with_a_warning(tmp_path):
    (tmp_path / 'broken_plugin.py').write_text("METHOD = 'no record'\n")
    folder = tmp_path / 'broken_plugin-0.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text('Metadata-Version: 2.1\nName: broken-plugin\nVersion: 0\n')
    (folder / 'entry_points.txt').write_text('[mmweather.methods]\nbroken = broken_plugin:METHOD\n'
                                             'absent = no_such_module:METHOD\n')
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run([sys.executable, '-c', 'from mmweather.methods import methods; print(sorted(methods()))'],
                          capture_output=True, text=True, timeout=120, env={**os.environ, 'PYTHONPATH': path})
    assert done.returncode == 0, done.stderr
    assert 'broken' not in done.stdout and 'nitedr' in done.stdout
    assert "'broken' (broken_plugin:METHOD) is left out" in done.stderr
    assert "'absent' (no_such_module:METHOD) is left out" in done.stderr
