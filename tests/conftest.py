"""Settings of the whole suite."""

import os

# Two threads of several processes on two cores wait for each other; the tests' arrays are small anyway.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest  # noqa: E402

import mmweather.registry  # noqa: E402, F401  applies mmweather.compat before a toolbox is imported


@pytest.fixture(autouse=True)
def _forget_runs():
    """A runner leaves its scope, logger and message hub behind; other tests must not see them."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    managers = (DefaultScope, MessageHub, MMLogger, Visualizer)
    before = [dict(manager._instance_dict) for manager in managers]
    yield
    for manager, instances in zip(managers, before, strict=True):
        manager._instance_dict.clear()
        manager._instance_dict.update(instances)
