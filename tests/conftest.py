"""Settings of the whole suite."""

import os

# Two threads of several processes on two cores wait for each other; the tests' arrays are small anyway.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import mmweather.registry  # noqa: E402, F401  applies mmweather.compat before a toolbox is imported
