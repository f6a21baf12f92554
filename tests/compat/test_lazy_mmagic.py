"""mmagic imports without the packages of its other tasks, and tells what a skipped name lacks."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.compat import lazy_mmagic
from mmweather.errors import MissingToolboxError

needs_mmagic = pytest.mark.skipif(importlib.util.find_spec('mmagic') is None, reason='mmagic is not installed')
lacks_lpips = pytest.mark.skipif(importlib.util.find_spec('lpips') is not None, reason='lpips is installed')
lacks_diffusers = pytest.mark.skipif(importlib.util.find_spec('diffusers') is not None, reason='diffusers is installed')


@needs_mmagic
def test_the_restoration_half_of_mmagic_imports_and_builds():
    for name in ('models', 'datasets', 'evaluation', 'engine', 'visualization'):
        importlib.import_module(f'mmagic.{name}')
    import torch
    from mmagic.engine.runner import MultiTestLoop
    from mmagic.evaluation import PSNR, Evaluator
    from mmagic.registry import MODELS
    from mmengine.registry import EVALUATOR, LOOPS, METRICS
    assert METRICS.get('mmagic.PSNR') is PSNR
    assert EVALUATOR.get('mmagic.Evaluator') is Evaluator
    assert LOOPS.get('mmagic.MultiTestLoop') is MultiTestLoop

    net = dict(type='mmagic.NAFNet', mid_channels=4, enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1])
    restormer = dict(type='mmagic.Restormer', dim=8, num_blocks=[1, 1, 1, 1], heads=[1, 1, 1, 1],
                     num_refinement_blocks=1)
    assert MODELS.build(restormer)(torch.rand(1, 3, 16, 16)).shape == (1, 3, 16, 16)
    editor = MODELS.build(
        dict(type='mmagic.BaseEditModel', generator=net, pixel_loss=dict(type='mmagic.L1Loss'),
             data_preprocessor=dict(type='mmagic.DataPreprocessor')))
    assert editor(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)


@needs_mmagic
@lacks_diffusers
def test_without_the_fix_mmagic_does_not_import():
    code = ('from mmweather.compat import mmcv_ops, numpy_names; mmcv_ops.apply(); numpy_names.apply(); '
            'import mmagic.models')
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert result.returncode != 0
    assert 'diffusers' in result.stderr or 'NoneType' in result.stderr


@needs_mmagic
@lacks_diffusers
@lacks_lpips
@pytest.mark.parametrize(('name', 'package'), [('AnimateDiff', 'diffusers'), ('disco', 'lpips'),
                                               ('ControlStableDiffusionImg2Img', 'diffusers'),
                                               ('AutoencoderKL', 'diffusers')])
def test_a_skipped_name_tells_through_the_registry_what_it_lacks(name, package):
    from mmagic.registry import MODELS as OURS
    from mmengine.registry import MODELS
    with pytest.raises(MissingToolboxError, match=rf"mmagic\.{name}.*'{package}', which is not installed: pip install"):
        MODELS.build(dict(type=f'mmagic.{name}'))
    assert name not in OURS
    assert 'NAFNet' in OURS


@needs_mmagic
@lacks_diffusers
def test_a_skipped_name_tells_as_an_attribute_what_it_lacks():
    import mmagic.models
    for package in (mmagic.models, mmagic.models.editors):
        with pytest.raises(MissingToolboxError, match='ViCo.*diffusers'):
            package.ViCo  # noqa: B018
        with pytest.raises(AttributeError):
            package.NoSuchEditor  # noqa: B018
    with pytest.raises(MissingToolboxError, match='diffusers'):
        from mmagic.models.editors import ViCo  # noqa: F401


@needs_mmagic
def test_an_unknown_name_is_still_an_ordinary_key_error():
    from mmengine.registry import MODELS
    with pytest.raises(KeyError, match='NoSuchNet'):
        MODELS.build(dict(type='mmagic.NoSuchNet'))


@pytest.fixture
def collecting(tmp_path, monkeypatch):
    """Make a package whose ``__init__`` is watched; returns a function that imports it."""

    def make(init: str, **modules: str):
        folder = tmp_path / 'gathered'
        folder.mkdir()
        (folder / '__init__.py').write_text(init)
        for name, text in modules.items():
            (folder / f'{name}.py').write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        lazy_mmagic.wrap_execution('gathered', lazy_mmagic._execute_tolerantly)
        importlib.invalidate_caches()
        return importlib.import_module('gathered')

    monkeypatch.setattr(lazy_mmagic, '_skipped', {})
    yield make
    for name in [name for name in sys.modules if name.split('.')[0] == 'gathered']:
        del sys.modules[name]


def test_a_package_in_which_all_works_is_as_if_imported_plainly(collecting):
    package = collecting('"""Doc."""\nfrom .a import X, y\n__all__ = ["X"]\n', a='class X: pass\ny = 3\n')
    assert (package.y, package.__all__, package.__doc__) == (3, ['X'], 'Doc.')
    assert not hasattr(package, '__getattr__')
    assert lazy_mmagic.skipped() == {}


def test_too_new_a_package_is_told_apart_from_a_missing_one(collecting, tmp_path):
    (tmp_path / 'toonew.py').write_text('def __getattr__(name):\n    raise RuntimeError("moved\\nto attic")\n')
    package = collecting(
        'from .a import A\nfrom .b import B\nfrom .c import C\n__all__ = ["A", "B", "C"]\n',
        a='from toonew import thing\nA = 1\n', b='import no_such_package\nB = 1\n', c='C = 1\n')
    assert package.__all__ == ['C']
    with pytest.raises(MissingToolboxError, match=r"'toonew' in a version .*\(moved to attic\)"):
        package.A  # noqa: B018
    with pytest.raises(MissingToolboxError, match="'no_such_package', which is not installed"):
        package.B  # noqa: B018


def test_only_the_missing_names_of_an_imported_module_are_skipped(collecting):
    package = collecting(
        'from .a import X, Y\n',
        a='from mmweather.errors import MissingToolboxError\nX = 1\n'
          'def __getattr__(name):\n    if name == "Y":\n        raise MissingToolboxError("\'Y\' needs \'nothere\'")\n'
          '    raise AttributeError(name)\n')
    assert package.X == 1
    assert list(lazy_mmagic.skipped()) == ['Y']


@pytest.mark.parametrize('fault', ['from torch import no_such_thing', 'import mmengine.no_such_module', '1 / 0'])
def test_a_fault_of_the_core_is_not_hidden(collecting, fault):
    with pytest.raises((ImportError, ZeroDivisionError)):
        collecting('from .a import A\n', a=f'{fault}\nA = 1\n')
