"""Whole scenes: stopped, killed and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from geotiff_files import QUIET, optical, radar, read, restore, stopped, write
from geotiff_toy import Stand

from mmweather.errors import DataError

pytestmark = QUIET


# Resuming -------------------------------------------------------------------------------------------------------

SLOW = '''
import sys, time
sys.path[:0] = [{tests!r}]
from geotiff_toy import Stand
from mmweather.apis.scenes.geotiff import restore_geotiff

class Slow(Stand):
    def forward(self, img, sar):
        time.sleep(0.05)
        print('window', flush=True)
        return super().forward(img, sar)

Slow.__name__ = 'Stand'
restore_geotiff(Slow(inputs=('img', 'sar'), gain=0.7, blur=True), {scene!r}, {out!r}, sar={sar!r}, tile=32,
                show_progress=False, save_every=0)
'''


def test_a_killed_run_goes_on_and_gives_the_same_file(tmp_path, capsys):
    numbers = optical(90, 120)
    numbers[:, 30:50, 20:90] = 0
    scene = write(tmp_path / 'a.tif', numbers, nodata=0)
    sar = write(tmp_path / 's.tif', radar(90, 120))
    out = tmp_path / 'out.tif'
    code = SLOW.format(tests=str(Path(__file__).parent), scene=str(scene), out=str(out), sar=str(sar))
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code], stdout=subprocess.PIPE, env=environment,
                          text=True) as process:
        assert process.stdout is not None
        for _ in range(7):
            assert process.stdout.readline() == 'window\n'
        process.send_signal(signal.SIGKILL)
    assert not out.exists() and (tmp_path / '.out.tif.restoring').is_dir()
    model = Stand(inputs=('img', 'sar'), gain=0.7, blur=True)
    restore(model, scene, out, sar=sar, tile=32)
    went_on = len(model.seen)
    assert 'going on after' in capsys.readouterr().out
    whole = restore(model, scene, tmp_path / 'whole.tif', sar=sar, tile=32)
    assert went_on <= len(model.seen) - went_on - 6
    assert out.read_bytes() == whole.read_bytes()
    assert not (tmp_path / '.out.tif.restoring').exists()


@pytest.mark.parametrize('after', [1, 3, 4, 6, 8, 11, 12])
def test_every_window_is_a_place_to_go_on_from(tmp_path, after):
    scene, out = write(tmp_path / 'a.tif', optical(60, 101, 3)), tmp_path / 'out.tif'
    model = Stand(3, blur=True)
    whole = restore(model, scene, tmp_path / 'whole.tif', tile=32, scale=10000)
    assert len(model.seen) == 12
    stopped(model, scene, out, after, scale=10000)
    model.seen.clear()
    restore(model, scene, out, tile=32, scale=10000)
    assert len(model.seen) == 12 - after and out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(('change', 'word'), [('weights', 'weights'), ('option', 'options'), ('scene', 'scene'),
                                              ('setting', 'settings'), ('journal', 'damaged')])
def test_work_of_another_run_is_not_used(tmp_path, capsys, change, word):
    scene, out = write(tmp_path / 'a.tif', optical(60, 101)), tmp_path / 'out.tif'
    model, options = Stand(), {}
    stopped(model, scene, out)
    if change == 'weights':
        model.gain.data.mul_(0.5)
    elif change == 'option':
        options = {'offset': -100.0}
    elif change == 'setting':
        model.blur = True
    elif change == 'scene':
        time.sleep(0.01)
        write(scene, optical(60, 101, seed=5))
    else:
        state = tmp_path / '.out.tif.restoring' / '.state.npz'
        state.write_bytes(state.read_bytes()[:500])
    model.seen.clear()
    restore(model, scene, out, tile=32, **options)
    printed = capsys.readouterr().out
    assert printed.count('\n') == 1 and 'dropped' in printed and word in printed
    assert len(model.seen) == 12
    fresh = restore(model, scene, tmp_path / 'fresh.tif', tile=32, **options)
    assert out.read_bytes() == fresh.read_bytes()


def test_two_processes_do_not_share_a_result(tmp_path):
    scene, out = write(tmp_path / 'a.tif', optical(60, 101)), tmp_path / 'out.tif'

    def progress(done, total):
        with pytest.raises(DataError, match='another process'):
            restore(Stand(), scene, out)

    restore(Stand(), scene, out, progress=progress)
    assert np.array_equal(read(out), read(scene))
