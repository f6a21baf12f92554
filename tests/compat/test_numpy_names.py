"""The dropped NumPy names come back where they are missing and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy
import pytest

import mmweather.registry  # noqa: F401  applies the fixes
from mmweather.compat import numpy_names


def test_bool8_and_float_mean_what_they_meant():
    assert numpy.bool8 is numpy.bool_
    assert numpy.zeros(2, dtype=numpy.float).dtype == numpy.float64


def test_a_numpy_that_has_a_name_keeps_its_own():
    own = object()
    old = SimpleNamespace(bool_=bool, bool8=own)
    numpy_names.add_dropped_names(old)
    assert (old.bool8, old.float) == (own, float)
    assert set(vars(old)) == {'bool_', 'bool8', 'float'}


@pytest.mark.skipif(int(numpy.__version__.split('.')[0]) < 2, reason='NumPy 1 has bool8')
def test_without_the_fix_numpy_lacks_them():
    result = subprocess.run([sys.executable, '-c', 'import numpy; numpy.bool8'], capture_output=True, text=True)
    assert "no attribute 'bool8'" in result.stderr


def test_apply_imports_nothing_heavy_and_may_be_repeated():
    code = ('import sys; from mmweather.compat import apply; apply(); paths = len(sys.meta_path); apply()\n'
            'assert len(sys.meta_path) == paths\n'
            'heavy = {"torch", "numpy", "mmcv", "mmengine", "mmagic", "torchvision"} & set(sys.modules)\n'
            'assert not heavy, heavy\n'
            'import numpy; assert numpy.bool8 is numpy.bool_\n')
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
