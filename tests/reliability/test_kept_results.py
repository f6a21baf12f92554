"""What is there already is judged by what it was made from."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from process_tree import annotate, pictures, voc_set
from torch import nn

import mmweather
from mmweather.apis.restore_files import restore_files
from mmweather.cli import main
from mmweather.errors import DataError
from mmweather.models.ops.contract import InferenceContract
from mmweather.utils.images import read_image, write_image
from mmweather.utils.runs import RECORD, Record
from mmweather.utils.voc import read_voc


class Scale(nn.Module):
    inference_contract = InferenceContract(inputs=('img', ))

    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        self.factor = nn.Parameter(nn.init.constant_(np_tensor(), factor))

    def forward(self, img):
        return img * self.factor


def np_tensor():
    import torch
    return torch.empty(1)


@pytest.fixture
def photos(tmp_path):
    return pictures(tmp_path / 'in', 4, (16, 24))


def run(photos, out, model=None, **options):
    return mmweather.Inferencer(model or Scale(), device='cpu')(photos, out, show_progress=False, **options)


def test_the_same_run_keeps_all(photos, tmp_path):
    assert len(run(photos, tmp_path / 'out').done) == 4
    report = run(photos, tmp_path / 'out', batch_size=3)
    assert len(report.skipped) == 4 and not report.done and not report.unrecorded


@pytest.mark.parametrize(('change', 'words'), [
    (dict(model=Scale(0.25)), 'other weights'), (dict(tile=64), 'tile auto instead of|tile 64|tile'),
    (dict(dtype='bf16'), 'dtype fp32 instead of bf16'),
])
def test_another_model_or_option_is_refused_and_nothing_is_lost(photos, tmp_path, change, words):
    out = tmp_path / 'out'
    run(photos, out)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob('*') if path.is_file()}
    (photos / 'new.png').write_bytes((photos / '000.jpg').read_bytes())
    with pytest.raises(DataError, match=words) as caught:
        run(photos, out, **change)
    assert str(out) in str(caught.value) and '--overwrite' in str(caught.value) and '\n' not in str(caught.value)
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob('*') if path.is_file()}
    assert len(run(photos, out, overwrite=True, **change).done) == 5
    assert len(run(photos, out, **change).skipped) == 5


def test_a_rerun_with_compare_adds_the_pictures_and_one_without_keeps_them(photos, tmp_path):
    out = tmp_path / 'out'
    run(photos, out)
    assert len(run(photos, out, compare=True).done) == 4
    assert len(list(out.rglob('*_compare.png'))) == 4
    assert len(run(photos, out, compare=True).skipped) == len(run(photos, out).skipped) == 4
    next(photos.glob('000.*')).touch()
    assert len(run(photos, out).done) == 1
    assert len(run(photos, out, compare=True).done) == 1, 'the other side-by-side pictures are up to date'


def test_a_changed_input_is_done_again(photos, tmp_path):
    out = tmp_path / 'out'
    run(photos, out)
    write_image(photos / '001.png', np.full((16, 24, 3), 200, np.uint8))
    os.replace(photos / '001.png', photos / '001.jpg')
    os.utime(photos / '001.jpg', (1, 1))  # older than the result: only the record can tell
    report = run(photos, out)
    assert [path.name for path in report.done] == ['001.png'] and len(report.skipped) == 3
    assert (read_image(out / '001.png') == 100).all()


def test_results_without_a_record_are_kept_and_counted(photos, tmp_path, capsys):
    out = tmp_path / 'out'
    run(photos, out)
    (out / RECORD).unlink()
    report = run(photos, out)
    assert len(report.skipped) == len(report.unrecorded) == 4
    words = ['restore', str(photos), '--model', 'grey-world_dusty', '--out', str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert '0 restored, 4 there already' in printed and 'note: 4 of those there already have no record' in printed


def test_a_picture_that_the_user_has_edited_is_kept(photos, tmp_path):
    out = tmp_path / 'out'
    run(photos, out)
    write_image(out / '002.png', np.zeros((3, 3, 3), np.uint8))
    report = run(photos, out)
    assert [path.name for path in report.unrecorded] == ['002.png'] and len(report.skipped) == 4
    assert read_image(out / '002.png').shape == (3, 3, 3)


def test_restore_files_keeps_the_same_record(photos, tmp_path):
    out = tmp_path / 'out'
    restore_files(Scale(), photos, out, show_progress=False)
    assert len(restore_files(Scale(), photos, out, show_progress=False).skipped) == 4
    with pytest.raises(DataError, match='other weights'):
        restore_files(Scale(0.25), photos, out, show_progress=False)


def test_the_command_names_both_models(photos, tmp_path, capsys):
    out = str(tmp_path / 'out')
    assert main(['restore', str(photos), '--model', 'grey-world_dusty', '--out', out]) == 0
    with pytest.raises(SystemExit) as caught:
        main(['restore', str(photos), '--model', 'dark-channel-prior_dusty', '--out', out])
    line = capsys.readouterr().err.splitlines()[-1]
    assert caught.value.code == 2 and 'model grey-world_dusty instead of dark-channel-prior_dusty' in line


def test_a_rerun_of_many_is_fast(tmp_path):
    photos = pictures(tmp_path / 'in', 1, (8, 8))
    for index in range(1, 1000):
        os.link(photos / '000.jpg', photos / f'{index:03d}.jpg')
    run(photos, tmp_path / 'out', batch_size=50)
    start = time.process_time()
    assert len(run(photos, tmp_path / 'out').skipped) == 1000
    assert time.process_time() - start < 2


def test_a_result_whose_run_was_killed_is_made_again(tmp_path):
    source, result = tmp_path / 'a', tmp_path / 'out/a.png'
    source.write_text('1')
    record = Record(tmp_path / 'out', {'weights': 'x' * 64})
    record.begin(result, [source])
    result.write_text('old')
    with record.path.open('ab') as file:
        file.write(b'{"file": "a.png", "res')  # cut short
    again = Record(tmp_path / 'out', {'weights': 'x' * 64})
    assert again.state(result, [source]) == 'stale'
    again.done(result, [source])
    assert Record(tmp_path / 'out', {'weights': 'x' * 64}).state(result, [source]) == 'same'
    assert Record(tmp_path / 'out', {'weights': 'y' * 64}).state(result, [source]) == 'other'


def test_synth_makes_a_changed_input_again(photos, tmp_path):
    out = tmp_path / 'out'
    words = ['synth', 'fog', str(photos), str(out)]
    assert main(words) == 0
    before = {path.name: path.read_bytes() for path in out.glob('*.jpg')}
    write_image(photos / '001.jpg', np.full((16, 24, 3), 9, np.uint8))
    os.utime(photos / '001.jpg', (1, 1))
    assert main(words) == 0
    after = {path.name: path.read_bytes() for path in out.glob('*.jpg')}
    assert [name for name in before if before[name] != after[name]] == ['001.jpg']
    with pytest.raises(SystemExit) as caught:
        main([*words, '--quality', '50'])
    assert caught.value.code == 2


def test_voc_fog_takes_annotations_that_have_changed(tmp_path, capsys):
    source, out = voc_set(tmp_path / 'set', 6), tmp_path / 'out'
    words = ['prepare', 'voc-fog', str(source), str(out), '--workers', '1']
    assert main(words) == 0
    times = {path: path.stat().st_mtime_ns for path in out.rglob('*.jpg')}
    annotate(source, '003', 55)
    assert main(words) == 0
    found, = (path for path in out.rglob('003.xml'))
    assert found.read_bytes() == (source / 'Annotations/003.xml').read_bytes()
    assert read_voc(found).objects[0].box[2] == pytest.approx(55, abs=1)
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob('*.jpg')}, 'pictures are left alone'


def test_voc_fog_refuses_other_depth_maps(tmp_path, capsys):
    source, out, depth = voc_set(tmp_path / 'set', 4), tmp_path / 'out', tmp_path / 'depth'
    depth.mkdir()
    for index in range(4):
        np.save(depth / f'{index:03d}.npy', np.full((240, 320), 20.0))
    words = ['prepare', 'voc-fog', str(source), str(out), '--workers', '1', '--depth', str(depth)]
    assert main(words) == 0 and main(words) == 0
    np.save(depth / '002.npy', np.full((240, 320), 90.0, np.float32))
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and 'depth_maps' in capsys.readouterr().err
    assert json.loads((out / 'fog.json').read_text())['complete'] is True
    assert Path(out / 'fog.json').is_file()
