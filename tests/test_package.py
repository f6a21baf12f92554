"""The wheel, the editable install and the files around them."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from mmweather.version import __version__

ROOT = Path(__file__).resolve().parents[1]
PACKAGED = ('mmweather', 'configs', 'tools', 'weights', 'requirements', 'setup.py', 'pyproject.toml', 'MANIFEST.in',
            'LICENSE', 'README.md')


def run(*words: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=cwd, env={**os.environ, **environment}, timeout=120,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of what the packaging reads, so that builds leave nothing in the working tree."""
    target = tmp_path_factory.mktemp('source')
    for item in PACKAGED:
        path = ROOT / item
        if path.is_dir():
            shutil.copytree(path, target / item, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        elif path.is_file():
            shutil.copyfile(path, target / item)
    (target / 'weights' / 'small.safetensors').write_bytes(bytes(8))
    for folder in ('tests', 'projects'):
        (target / folder).mkdir()
        (target / folder / '__init__.py').touch()
    return target


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    """The wheel, built offline with the tools of this environment."""
    if subprocess.run([sys.executable, '-c', 'import setuptools.command.bdist_wheel'], capture_output=True).returncode:
        pytest.importorskip('wheel', reason='this setuptools builds wheels with the package `wheel` only')
    folder = tmp_path_factory.mktemp('wheel')
    run('-m', 'pip', 'wheel', '-q', '--no-deps', '--no-index', '--no-build-isolation', '-w', str(folder), '.',
        cwd=source)
    (path, ) = folder.glob('*.whl')
    return path


@pytest.fixture(scope='module')
def names(wheel):
    """The paths inside the wheel."""
    return zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_the_wheel_holds_the_package_only(wheel, names):
    assert wheel.name == f'mmweather-{__version__}-py3-none-any.whl'
    tops = {name.split('/')[0] for name in names}
    assert tops == {'mmweather', f'mmweather-{__version__}.dist-info'}
    assert not [name for name in names if '__pycache__' in name]


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_marker_for_type_checkers(source, names):
    modules = {path.relative_to(source).as_posix() for path in (source / 'mmweather').rglob('*.py')
               if '.mim' not in path.parts}
    assert 'mmweather/registry.py' in modules
    assert modules <= set(names)
    assert 'mmweather/py.typed' in names


@pytest.mark.slow
def test_the_wheel_holds_configs_tools_and_weights_in_the_mim_folder(source, names):
    inside = {name.removeprefix('mmweather/.mim/') for name in names if name.startswith('mmweather/.mim/')}
    assert 'model-index.yml' in inside
    for folder in ('configs', 'tools', 'weights'):
        shipped = {path.relative_to(source).as_posix() for path in (source / folder).rglob('*') if path.is_file()}
        assert shipped
        assert shipped <= inside


@pytest.mark.slow
def test_the_metadata_name_command_extras_and_no_toolbox(wheel, names):
    with zipfile.ZipFile(wheel) as archive:
        folder = f'mmweather-{__version__}.dist-info'
        metadata = email.message_from_bytes(archive.read(f'{folder}/METADATA'))
        commands = archive.read(f'{folder}/entry_points.txt').decode()
    assert 'mmweather = mmweather.cli:main' in commands
    assert set(metadata.get_all('Provides-Extra')) == {
        'restore', 'detect', 'segment', 'geo', 'video', 'web', 'export', 'docs', 'lite', 'dev'}
    plain = [line for line in metadata.get_all('Requires-Dist') if 'extra ==' not in line]
    assert any(line.startswith('mmengine') for line in plain)
    assert not [line for line in plain if re.match(r'mm(cv|agic|det|seg)', line)]
    # mmagic would bring thirty dependencies and NumPy 1: it is installed apart.
    assert not [line for line in metadata.get_all('Requires-Dist') if line.startswith('mmagic')]


@pytest.mark.slow
def test_an_installed_wheel_lists_its_models(wheel, tmp_path):
    run('-m', 'pip', 'install', '-q', '--no-deps', '--no-index', '--target', str(tmp_path / 'site'), str(wheel),
        cwd=tmp_path)
    code = 'import mmweather; print(mmweather.__file__); print(*mmweather.list_models())'
    file, models = run('-c', code, cwd=tmp_path, PYTHONPATH=str(tmp_path / 'site')).splitlines()
    assert Path(file).is_relative_to(tmp_path / 'site')
    here = run('-c', 'import mmweather; print(*mmweather.list_models())', cwd=ROOT, PYTHONPATH=str(ROOT)).strip()
    assert models == here
    assert models


@pytest.mark.slow
def test_an_editable_install_links_the_mim_folder(source, tmp_path):
    # What `pip install -e .` calls.
    hook = f'from setuptools import build_meta; print(build_meta.build_editable({str(tmp_path)!r}))'
    for _ in range(2):  # again over what is there
        run('-c', hook, cwd=source)
    mim = source / 'mmweather' / '.mim'
    assert sorted(os.listdir(mim)) == ['configs', 'model-index.yml', 'tools', 'weights']
    assert yaml.safe_load((mim / 'model-index.yml').read_text())['Import'] == sorted(
        path.relative_to(source).as_posix() for path in source.glob('configs/*/metafile.yml'))
    for item in mim.iterdir():
        if item.name == 'model-index.yml':
            continue
        assert item.resolve() == source / item.name
        if os.name != 'nt':
            assert not os.path.isabs(os.readlink(item))
    shutil.rmtree(mim)


@pytest.mark.slow
def test_building_a_wheel_leaves_the_sources_alone(wheel, source):
    assert not (source / 'mmweather' / '.mim').exists()


@pytest.mark.skipif(not (ROOT / 'mmweather' / '.mim').exists(), reason='not installed, so there is no .mim folder')
def test_a_config_elsewhere_inherits_from_the_installed_package(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = ['mmweather::_base_/default_runtime.py']\nmine = 3\n")
    code = ("import mmweather.registry; from mmengine import Config; config = Config.fromfile('mine.py'); "
            "print(config.default_scope, config.mine)")
    assert run('-W', 'ignore', '-c', code, cwd=tmp_path).split() == ['mmweather', '3']


def test_every_dependency_is_explained():
    page = (ROOT / 'docs' / 'dependencies.md').read_text(encoding='utf-8')
    explained = set(re.findall(r'^\| `([\w.-]+)`', page, flags=re.MULTILINE))
    required = set()
    for file in (ROOT / 'requirements').glob('*.txt'):
        if file.name == 'constraints.txt':
            continue
        for line in file.read_text(encoding='utf-8').splitlines():
            if line and not line.startswith('#'):
                required.add(re.match(r'[\w.-]+', line).group())
    assert explained == required


@pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')
@pytest.mark.parametrize('target', ['setup', 'demo', 'test', 'lint', 'docs', 'bench', 'wheel', 'clean', 'help'])
def test_the_promised_make_targets_exist(target):
    done = subprocess.run(['make', '-n', target], cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')
def test_make_refuses_a_python_that_is_too_old(tmp_path):
    old = tmp_path / 'python'
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 8, 1); $2"\n')
    old.chmod(0o755)
    done = subprocess.run(['make', 'setup', f'PYTHON={old}', f'VENV={tmp_path / "venv"}'], cwd=ROOT,
                          capture_output=True, text=True, timeout=180)
    assert done.returncode != 0
    assert 'tested on Python 3.10 to 3.12, not 3.8' in done.stderr
    assert not (tmp_path / 'venv').exists()


@pytest.mark.skipif(shutil.which('bash') is None, reason='bash is not installed')
def test_the_check_script_parses_and_may_run():
    script = ROOT / '.ci' / 'run'
    assert os.access(script, os.X_OK)
    assert subprocess.run(['bash', '-n', str(script)], timeout=180).returncode == 0
