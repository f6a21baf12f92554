"""`mmweather synth`: files, folders, patterns, depth, records, resuming, broken files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmweather.cli import main
from mmweather.datasets.tools.weather_files import WeatherSettings
from mmweather.errors import DataError
from mmweather.utils.images import encode_image, read_image, read_note
from mmweather.utils.runs import RECORD
from mmweather.weather import apply_weather


@pytest.fixture
def folder(tmp_path) -> Path:
    draw = np.random.default_rng(0)
    for name in ('a.png', 'sub/b.JPG', 'sub/c.bmp'):
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(draw.integers(0, 256, (20, 30, 3), dtype=np.uint8), path.suffix))
    return tmp_path / 'in'


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob('*'))
            if path.is_file() and path.name != RECORD}


def synth(*words: object) -> int:
    return main(['synth', *map(str, words)])


def failing(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as exit_:
        synth(*words)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert exit_.value.code == 2 and error.startswith('error: ')
    return error


def test_a_folder_keeps_its_names_and_says_how_it_was_made(folder, tmp_path, capsys):
    assert synth('fog', folder, tmp_path / 'out', '--severity', 4, '--seed', 7, '--jobs', 1) == 0
    made = files(tmp_path / 'out')
    assert set(made) == {'a.png', 'sub/b.JPG', 'sub/c.bmp', 'synth.json'}
    for name in ('a.png', 'sub/c.bmp'):
        wanted = apply_weather(read_image(folder / name), 'fog', 4, 7)
        assert np.array_equal(read_image(tmp_path / 'out' / name), wanted)
    record = json.loads(made['synth.json'])
    assert record == {'mmweather': 1, 'weather': 'fog', 'severity': 4, 'visibility': 75, 'extinction': 0.039943,
                      'seed': 7, 'depth': 'stand-in, 40 m in the middle'}
    for name in ('a.png', 'sub/b.JPG'):
        assert json.loads(read_note(tmp_path / 'out' / name)) == record
    assert read_note(tmp_path / 'out/sub/c.bmp') == read_note(folder / 'a.png') == read_note(tmp_path / 'no') == ''
    assert '(visibility 75, extinction 0.039943): 3 made, 0 there already, 0 failed' in capsys.readouterr().out


@pytest.mark.slow
def test_several_processes_make_the_same_files(folder, tmp_path):
    for jobs in (1, 2):
        assert synth('rain', folder, tmp_path / f'out{jobs}', '--jobs', jobs) == 0
    assert files(tmp_path / 'out1') == files(tmp_path / 'out2')


def test_a_rerun_makes_what_is_missing_or_was_made_otherwise(folder, tmp_path, capsys):
    out = tmp_path / 'out'
    assert synth('night', folder, out, '--jobs', 1) == 0
    wanted = files(out)
    (out / 'sub/b.JPG').unlink()
    # As after an --overwrite of another severity that was cut short.
    (out / 'a.png').write_bytes(encode_image(read_image(out / 'a.png'), '.png', note='{"severity": 1}'))
    stamp = (out / 'sub/c.bmp').stat().st_mtime_ns
    assert synth('night', folder, out, '--jobs', 1) == 0
    assert files(out) == wanted and (out / 'sub/c.bmp').stat().st_mtime_ns == stamp
    assert '2 made, 1 there already' in capsys.readouterr().out
    assert 'holds results of other settings (severity 3 instead of 5, illuminance 10 instead of 2' in failing(
        capsys, 'night', folder, out, '--severity', 5)
    assert files(out) == wanted
    assert synth('night', folder, out, '--severity', 5, '--overwrite', '--jobs', 1) == 0
    assert not set(files(out).values()) & set(wanted.values())


def test_a_broken_file_is_reported_and_the_rest_is_made(folder, tmp_path, capsys):
    (folder / 'broken.png').write_bytes((folder / 'a.png').read_bytes()[:200])
    assert synth('dust', folder, tmp_path / 'out', '--jobs', 1) == 1
    assert set(files(tmp_path / 'out')) == {'a.png', 'sub/b.JPG', 'sub/c.bmp', 'synth.json'}
    shown = capsys.readouterr()
    assert '3 made, 0 there already, 1 failed' in shown.out
    assert shown.err.count('failed: ') == 1 and f"failed: {folder / 'broken.png'}: image '" in shown.err


def test_one_picture_under_a_name_of_its_own(folder, tmp_path, capsys):
    out = tmp_path / 'new' / 'rainy.webp'
    for made in ('1 made, 0 there', '0 made, 1 there'):
        assert synth('rain', folder / 'a.png', out, '--severity', 2) == 0
        assert made in capsys.readouterr().out
    assert json.loads(read_note(out))['rate'] == 10 and set(files(out.parent)) == {'rainy.webp'}
    assert 'was made otherwise' in failing(capsys, 'rain', folder / 'a.png', out)
    assert 'would be overwritten by its result' in failing(capsys, 'rain', folder / 'a.png', folder / 'a.png')
    assert synth('rain', str(folder / '*.png'), tmp_path / 'pattern') == 0
    assert set(files(tmp_path / 'pattern')) == {'a.png', 'synth.json'}


def test_depth_maps_are_found_by_name_and_used(folder, tmp_path, capsys):
    depth = tmp_path / 'depth'
    depth.mkdir()
    metres = np.tile(np.linspace(0, 200, 30, dtype=np.float32), (20, 1))
    np.save(depth / 'a.npy', metres)
    Image.fromarray((metres * 256).astype(np.uint16)).save(depth / 'b.png')
    np.save(depth / 'c.npy', metres[:, :5])
    assert synth('fog', folder, tmp_path / 'out', '--depth', depth, '--jobs', 1) == 1
    assert np.array_equal(read_image(tmp_path / 'out/a.png'),
                          apply_weather(read_image(folder / 'a.png'), 'fog', 3, 0, metres))
    assert (tmp_path / 'out/sub/b.JPG').is_file() and not (tmp_path / 'out/sub/c.bmp').exists()
    assert json.loads((tmp_path / 'out/synth.json').read_text())['depth'] == 'measured'
    assert "is 30x20, its depth map 5x20 (width x height); bring them to one size" in capsys.readouterr().err
    (depth / 'c.npy').unlink()
    assert synth('fog', folder, tmp_path / 'out', '--depth', depth, '--jobs', 1) == 1
    shown = capsys.readouterr()
    assert "c.bmp' has no depth map in" in shown.err and '0 made, 2 there already, 1 failed' in shown.out


def test_mistakes_are_one_line(folder, tmp_path, capsys):
    assert 'no image there' in failing(capsys, 'fog', tmp_path / 'nothing', tmp_path / 'out')
    assert 'is no folder; give a folder of depth maps' in failing(
        capsys, 'fog', folder, tmp_path / 'out', '--depth', tmp_path / 'no')
    assert 'quality 1 to 100' in failing(capsys, 'fog', folder, tmp_path / 'out', '--quality', 0)
    assert 'seed must be at least 0' in failing(capsys, 'fog', folder, tmp_path / 'out', '--seed', '-1')
    assert not (tmp_path / 'out').exists()
    assert 'would be overwritten by its result' in failing(capsys, 'fog', folder, folder)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/a.png').write_bytes(b'mine')
    assert 'is not an empty folder' in failing(capsys, 'fog', folder, tmp_path / 'mine')
    assert (tmp_path / 'mine/a.png').read_bytes() == b'mine'
    with pytest.raises(SystemExit):
        synth('fog', folder, tmp_path / 'out', '--severity', 6)
    with pytest.raises(DataError, match='weather must be one of'):
        WeatherSettings('hail')
