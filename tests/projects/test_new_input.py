"""A plug-in with a kind of input that this package has never seen: every reader of the records takes it."""

from __future__ import annotations

import argparse
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmweather import Inferencer
from mmweather.commands import detect, restore, segment
from mmweather.errors import ConfigError
from mmweather.inputs import Input
from mmweather.methods import RESERVED, inputs
from mmweather.utils.images import read_image, write_image

pytest.importorskip('mmagic')

METHOD = """
from mmweather.inputs import IMAGE, Input
from mmweather.methods import Method

DEPTH = Input({name!r}, 'Depth map', 'depth maps, nearer is darker', mode='grey3', stems=(('_rgb', '_depth'), ))
METHOD = Method(name='veil', title='Veil', purpose='lifts a veil that depth gives', package=__name__,
                tasks=('restore', ), inputs=(IMAGE, DEPTH), registered={{'model': {{'.network': ('Veil', )}}}},
                index='index')
"""
NETWORK = """
from torch import nn
from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS

@MODELS.register_module()
class Veil(nn.Module):
    inference_contract = InferenceContract(inputs=('img', 'depth'), overlap=0)

    def forward(self, img, depth):
        return (img - depth / 2).clamp(0, 1)
"""
METAFILE = """
Collections:
  - Name: Veil
Models:
  - Name: veil_by_depth
    In Collection: Veil
    Config: configs/veil/veil_by_depth.py
    Alias: veil
"""


def install(site: Path, name: str = 'depth') -> Path:
    """A package and its metadata in a folder for PYTHONPATH, as pip would write them."""
    index = site / 'mmweather_veil' / 'index' / 'configs' / 'veil'
    index.mkdir(parents=True)
    (index / 'metafile.yml').write_text(METAFILE)
    (index / 'veil_by_depth.py').write_text("default_scope = 'mmweather'\nmodel = dict(type='mmweather.Veil')\n")
    (site / 'mmweather_veil' / '__init__.py').write_text(METHOD.format(name=name))
    (site / 'mmweather_veil' / 'network.py').write_text(NETWORK)
    facts = site / 'mmweather_veil-1.dist-info'
    facts.mkdir()
    (facts / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmweather-veil\nVersion: 1\n')
    (facts / 'entry_points.txt').write_text('[mmweather.methods]\nveil = mmweather_veil:METHOD\n')
    return site


def python(site: Path, *words: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get('PYTHONPATH')])])
    return subprocess.run([sys.executable, '-W', 'ignore', *words], capture_output=True, text=True, timeout=240,
                          env={**os.environ, 'PYTHONPATH': path})


def mmweather(site: Path, *words: str) -> subprocess.CompletedProcess:
    return python(site, '-c', 'from mmweather.cli import main; raise SystemExit(main())', *words)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    return install(tmp_path_factory.mktemp('site'))


@pytest.fixture
def folder(tmp_path):
    """An image ``a_rgb.png`` of 200 and a depth map ``a_depth.png`` whose luma is 100, in colour."""
    write_image(tmp_path / 'img' / 'a_rgb.png', np.full((24, 40, 3), 200, np.uint8))
    # Its BT.601 luma is 0.587 * 170 = 99.8, so that only reading it as grey gives three equal channels of 100.
    write_image(tmp_path / 'depth' / 'a_depth.png', np.tile(np.uint8([0, 170, 0]), (24, 40, 1)))
    return tmp_path


@pytest.mark.slow
def test_the_command_restores_with_the_new_input(site, folder):
    words = ['restore', str(folder / 'img'), '--model', 'veil', '--out', str(folder / 'out')]
    done = mmweather(site, *words, '--depth', str(folder / 'depth'))
    assert done.returncode == 0, done.stderr
    assert (read_image(folder / 'out' / 'a_rgb.png') == 150).all()
    missing = mmweather(site, *words)
    assert missing.returncode == 2 and 'takes img, depth' in missing.stderr and '--depth DIR' in missing.stderr
    assert missing.stderr.count('\n') == 1


@pytest.mark.slow
def test_help_and_info_name_it(site):
    shown = mmweather(site, 'restore', '--help').stdout
    assert '--depth DIR' in shown and 'depth maps, nearer is darker' in shown and '--ir DIR' in shown
    assert '--depth' not in mmweather(site, 'segment', '--help').stdout
    info = mmweather(site, 'info', 'veil').stdout
    assert 'Veil: lifts a veil that depth gives' in info and 'img (Image), depth (Depth map)' in info


def test_python_the_page_the_export_and_the_loading_take_it(site, folder):
    code = f'''
import numpy as np, mmweather
from mmweather.web.engine import Choice, Engine
from mmweather.apis.export.graphs import inference_graph
from mmweather.datasets.transforms.loading import LoadImages
veil = mmweather.Inferencer('veil')
image = np.full((8, 12, 3), 200, np.uint8)
assert (veil(image, depth=np.full((8, 12), 100, np.uint8))[0].restored == 150).all()
assert (veil({str(folder / 'img')!r}, depth={str(folder / 'depth')!r})[0].restored == 150).all()
page = Engine([Choice('veil', 'veil')])
assert page.inputs('veil') == ['Image', 'Depth map'], page.inputs('veil')
answer = page.run('veil', [{str(folder / 'img' / 'a_rgb.png')!r}, {str(folder / 'depth' / 'a_depth.png')!r}])
assert (answer.picture == 150).all()
assert inference_graph(veil.model).inputs == {{'img': 3, 'depth': 3}}
assert LoadImages(('img', 'depth', 'ir', 'mask', 'gt')).modes == dict(
    img='rgb', depth='grey3', ir='grey3', mask='grey', gt='rgb')
try:
    veil(image, dept=image)
except mmweather.errors.ConfigError as error:
    assert 'dept' in str(error) and 'depth' in str(error), error
else:
    raise AssertionError('an unknown keyword went through')
'''
    done = python(site, '-c', code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(('name', 'reason'), [('tile', "'tile' is an option"), ('my depth', 'Python identifier')])
def test_a_name_that_cannot_be_an_option_leaves_the_plugin_out(tmp_path, name, reason):
    code = 'from mmweather.methods import methods; print(sorted(methods()))'
    path = os.pathsep.join([str(install(tmp_path, name)), *filter(None, [os.environ.get('PYTHONPATH')])])
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120,
                          env={**os.environ, 'PYTHONPATH': path})
    assert done.returncode == 0 and 'veil' not in done.stdout and 'nitedr' in done.stdout
    assert "'veil' (mmweather_veil:METHOD) is left out" in done.stderr and reason in done.stderr


def test_reserved_names_are_the_keywords_and_the_options():
    taken = {name for call in (Inferencer.__call__, Inferencer.stream)
             for name, value in inspect.signature(call).parameters.items() if value.kind != value.VAR_KEYWORD}
    for command in (restore, detect, segment):
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        taken |= {action.dest for action in parser._actions}
    assert taken - inputs().keys() == RESERVED


def test_counts_and_bands_are_not_read_as_images():
    assert Input('a', 'A', 'a', mode='grey3').image_mode == 'grey3'
    for name in ('thermal', 'sar'):
        with pytest.raises(ConfigError, match=f"'{name}' has the mode .* cannot be read as images"):
            _ = inputs()[name].image_mode
    with pytest.raises(ConfigError, match="unknown mode 'depth16'"):
        Input('a', 'A', 'a', mode='depth16')
