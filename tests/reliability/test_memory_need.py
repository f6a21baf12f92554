"""What a model needs is known before it runs, and too much of it is one line."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hostile_files import assert_one_line, mmweather, picture
from torch import nn

from mmweather.apis.memory import MemoryNeed, PeakTracker, check_memory, free_memory, peak_without_data
from mmweather.errors import ConfigError, DataError

CPU = torch.device('cpu')


def test_live_bytes_are_counted_and_dropped():
    with torch.no_grad(), PeakTracker() as tracker:
        a = torch.zeros(1000)
        b = a + 1
        c = b.view(10, 100)
        del a, b
        d = c * 2
    assert tracker.peak == 8000 and d.sum() == 2000  # a and b, then c and d; a view takes nothing


def test_a_map_of_attention_is_counted_where_it_is_stored():
    def run(dense):
        value = torch.zeros(1, 1, 500, 32) if dense else torch.zeros(1, 1, 32, 500).transpose(2, 3)
        return torch.nn.functional.scaled_dot_product_attention(
            torch.zeros(1, 1, 500, 32), torch.zeros(1, 1, 500, 32), value)

    stored, fused = (peak_without_data(lambda dense=dense: run(dense)) for dense in (False, True))
    assert fused < 300_000 and stored >= 2 * 500 * 500 * 4


def test_what_cannot_be_run_without_data_is_not_known():
    assert peak_without_data(lambda: torch.zeros(5).numpy().tolist()[7]) is None
    # A model is followed until its results depend on data.
    assert peak_without_data(lambda: torch.zeros(2, 1000).nonzero().tolist()) >= 8000


def test_networks_of_many_steps_are_measured_small():
    ran = []

    def run(height, width):
        ran.append((height, width))
        x = torch.zeros(1, 1, height, width)
        for _ in range(3000):
            x = x + 1
        return x

    need = MemoryNeed()
    found = need.at(run, 1000, 2000) - MemoryNeed().at(run, 10, 10)
    assert found == pytest.approx(2 * 4 * (1000 * 2000 - 100), rel=0.01)
    assert max(ran) == (192, 192)


def test_networks_whose_steps_grow_with_the_size_are_not_followed_to_the_end():
    steps = []

    def run(height, width):
        x = torch.zeros(1, 1, height, width)
        for _ in range(height * width // 16):  # as attention in strips does
            steps.append(1)
            x = x + 1
        return x

    found = MemoryNeed().at(run, 1000, 2000) - MemoryNeed().at(run, 10, 10)
    assert found == pytest.approx(2 * 4 * (1000 * 2000 - 100), rel=0.01)
    assert len(steps) < 20_000  # 125000 at that size


def test_limits_of_the_process_count(tmp_path):
    script = ('import resource, torch\nresource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))\n'
              'from mmweather.apis.memory import free_memory, _field\n'
              'whole = free_memory(torch.device("cpu"))\n'
              'used = _field("/proc/self/status", "VmSize")\n'
              'resource.setrlimit(resource.RLIMIT_AS, (used + 10**8, 2**36))\n'
              'print(whole, free_memory(torch.device("cpu")))')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=240,
                          env={**os.environ, 'MMWEATHER_FREE_BYTES': ''})
    whole, left = map(int, done.stdout.split())
    assert 0 < left <= 10**8 and whole > left


def test_the_variable_replaces_the_answer(monkeypatch):
    monkeypatch.setenv('MMWEATHER_FREE_BYTES', '2e9')
    assert free_memory(CPU) == 2_000_000_000
    monkeypatch.setenv('MMWEATHER_FREE_BYTES', 'plenty')
    with pytest.raises(ConfigError, match='plenty'):
        free_memory(CPU)


def test_the_check_names_need_and_remedy(monkeypatch):
    monkeypatch.setenv('MMWEATHER_FREE_BYTES', '1e8')
    model = nn.Conv2d(3, 64, 3, padding=1)

    def run(height, width):
        return model(torch.zeros(1, 3, height, width))

    def refuse(size):
        check_memory(model, (), run, size, 1, CPU, lambda fits: 'small fits' if fits(64, 64) else 'nothing fits')

    refuse((100, 100))
    with pytest.raises(DataError, match=r'picture of 4000x1000 would need about [0-9.]+ GB .* 0.1 GB are free; small'):
        refuse((1000, 4000))
    monkeypatch.setenv('MMWEATHER_FREE_BYTES', '1e12')
    refuse((1000, 4000))


@pytest.mark.slow
def test_restore_without_tiles_is_one_line_and_tiles_work(tmp_path, monkeypatch):
    import mmweather as package
    picture(tmp_path / 'dusty.png', (1278, 802))
    done = mmweather('restore', tmp_path / 'dusty.png', '--model', 'ssdie-net', '--out', tmp_path / 'out', '--tile',
                     'none', memory=60e9, MMWEATHER_FREE_BYTES='3e8')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    (line, ) = (line for line in done.stderr.splitlines() if line.startswith('failed: '))
    assert '1280x804 would need about' in line and '--tile ' in line
    assert not list((tmp_path / 'out').glob('*.png'))
    monkeypatch.setenv('MMWEATHER_FREE_BYTES', '3e8')
    inferencer = package.Inferencer('ssdie-net', device='cpu')
    with pytest.raises(DataError, match=r'tile=\d+ in Python'):
        package.restore_image(inferencer.model, np.zeros((802, 1278, 3), np.uint8), tile=None)
    side = int(line.split('--tile ')[1].split(',')[0])
    assert package.restore_image(inferencer.model, np.zeros((300, 400, 3), np.uint8), tile=side).shape == (300, 400, 3)
    assert_one_line(mmweather('restore', tmp_path / 'dusty.png', '--model', 'ssdie-net', '--out', tmp_path / 'out',
                              memory=60e9, MMWEATHER_MAX_PIXELS='few'), 'MMWEATHER_MAX_PIXELS')


_COMPARE = """
import gc, sys, threading, time, numpy, torch, mmweather
from mmweather.apis import memory, restore
name, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = mmweather.Inferencer(name, device='cpu').model
names = restore.contract_of(model).inputs
found = {}
def inputs(height, width):
    return {n: torch.rand(1, 2 if n == 'sar' else restore.bands_of(model), height, width) for n in names}
def run(height, width):
    return restore._run(model, inputs(height, width))
need = memory.MemoryNeed().at(run, height, width)
def resident():
    return memory._field('/proc/self/status', 'VmRSS')
with torch.inference_mode():
    run(64, 64)
gc.collect()
before, peak, done = resident(), [0], []
def watch():
    while not done:
        peak[0] = max(peak[0], resident())
        time.sleep(0.001)
thread = threading.Thread(target=watch)
thread.start()
with torch.inference_mode():
    run(height, width)
done.append(1)
thread.join()
print(need, peak[0] - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(('model', 'size'), [
    *itertools.product(['ssdie-net', 'nitedr', 'nitedr-fusion'], [(384, 384), (512, 640)]),
    *itertools.product(['aca-crnet'], [(256, 320), (384, 384)]),  # its time grows with the square of the area
])
def test_the_estimate_is_near_the_truth(model, size):
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', _COMPARE, model, *map(str, size)], capture_output=True,
                          text=True, timeout=280, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    need, true = map(int, done.stdout.split())
    assert 0.8 * true <= need <= 1.5 * true + 50e6, (need, true)
