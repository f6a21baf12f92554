"""Readers open regular files only: named pipes, endless devices, sockets, broken links and folders with image names."""

from __future__ import annotations

import json
import multiprocessing
import os

import numpy as np
import pytest
from hostile_files import KINDS, assert_one_line, make, mmweather, picture

from mmweather.datasets.paired import read_quarantine, read_stems
from mmweather.datasets.tools.check import check
from mmweather.datasets.tools.fog_set import read_depth
from mmweather.datasets.tools.fog_sources import find_sources, read_list
from mmweather.datasets.tools.placing import place_files
from mmweather.errors import DataError
from mmweather.utils.coco import read_coco
from mmweather.utils.files import check_regular, open_regular, read_json, read_text
from mmweather.utils.images import image_size, read_image, read_note
from mmweather.utils.text import printable
from mmweather.utils.thermal import read_thermal
from mmweather.utils.video import open_video
from mmweather.utils.voc import read_voc

pytestmark = [pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no named pipes here'), pytest.mark.timeout(400)]


def _label(path):
    pytest.importorskip('mmseg')
    from mmweather.datasets.transforms.rgb_thermal import LoadLabelMap
    return LoadLabelMap().transform({'seg_map_path': str(path)})


def _raster(path):
    pytest.importorskip('rasterio')
    from mmweather.utils.rasters import read_raster
    return read_raster(path)


def _scene(path):
    pytest.importorskip('rasterio')
    from mmweather.apis.scenes.scene import open_scene
    with open_scene(path, 3):
        pass


READERS = {
    'image': (read_image, 'x.jpg'), 'size': (image_size, 'x.png'), 'thermal': (read_thermal, 'x.png'),
    'thermal npy': (read_thermal, 'x.npy'), 'depth': (read_depth, 'x.png'), 'depth npy': (read_depth, 'x.npy'),
    'label': (_label, 'x.png'), 'label npy': (_label, 'x.npy'), 'raster': (_raster, 'x.tif'),
    'scene': (_scene, 'x.tif'), 'voc': (read_voc, 'x.xml'), 'coco': (read_coco, 'x.json'), 'list': (read_list, 'x.txt'),
    'stems': (read_stems, 'x.txt'), 'quarantine': (read_quarantine, 'x.json'), 'video': (open_video, 'x.mp4'),
}


@pytest.mark.parametrize('kind', (*KINDS, 'folder'))
@pytest.mark.parametrize('reader', READERS)
def test_every_reader_refuses_what_is_no_regular_file(reader, kind, tmp_path):
    read, name = READERS[reader]
    if reader == 'video':
        pytest.importorskip('av')
    path = make(tmp_path / name, kind)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    if kind in ('fifo', 'socket', 'folder'):
        word = {'fifo': 'named pipe', 'socket': 'socket', 'folder': 'folder'}[kind]
        assert word in str(caught.value).replace(str(path), '')


def test_the_kinds_are_named_and_a_regular_file_is_read(tmp_path):
    words = {'fifo': 'a named pipe', 'endless': 'a device', 'socket': 'a socket', 'folder': 'a folder',
             'dangling': 'a link to a missing file'}
    for kind, word in words.items():
        with pytest.raises(OSError) as caught:
            open_regular(make(tmp_path / kind, kind))
        assert word in caught.value.strerror
    (tmp_path / 'text').write_bytes(b'\xef\xbb\xbfstem\n')
    (tmp_path / 'link').symlink_to('text')
    assert read_text(tmp_path / 'link') == 'stem\n' and check_regular(tmp_path / 'link') == 8
    assert read_note(make(tmp_path / 'note.png', 'fifo')) == ''


def test_check_counts_them_and_finds_the_good_ones(tmp_path):
    for kind in (*KINDS, 'folder'):
        make(tmp_path / f'set/{kind}.jpg', kind)
    picture(tmp_path / 'set/good.png')
    done = mmweather('check', tmp_path / 'set')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert '6 x unreadable' in done.stdout and '7 images checked, 6 findings' in done.stdout
    for kind, word in (('fifo', 'named pipe'), ('endless', 'device'), ('socket', 'socket'), ('folder', 'folder'),
                       ('dangling', 'missing file')):
        assert any(f'{kind}.jpg' in line and word in line for line in done.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize('command', [
    ('restore', '--model', 'grey-world_dusty'), ('detect', '--model', 'togethernet'), ('synth', 'fog')])
def test_commands_report_them_and_finish_the_rest(command, tmp_path):
    for kind in KINDS:
        make(tmp_path / f'in/{kind}.jpg', kind)
    make(tmp_path / 'in/pipe.tif', 'fifo')
    picture(tmp_path / 'in/good.png', (64, 64))
    name, *options = command
    words = (name, *options, tmp_path / 'in', tmp_path / 'out') if name == 'synth' else (
        name, tmp_path / 'in', *options, '--out', tmp_path / 'out')
    done = mmweather(*words, memory=12e9)
    assert done.returncode == 1 and 'Traceback' not in done.stderr, done.stderr
    failed = [line for line in done.stderr.splitlines() if line.startswith('failed: ')]
    assert len(failed) == 6 and '6 failed' in done.stdout
    assert any((tmp_path / 'out').glob('good.*'))


@pytest.mark.slow
def test_segment_and_prepare_do_not_hang(tmp_path):
    picture(tmp_path / 'rgb/a.png', (64, 64))
    make(tmp_path / 'ir/a.png', 'fifo')
    done = mmweather('segment', tmp_path / 'rgb', '--thermal', tmp_path / 'ir', '--model', 'heatnet', '--out',
                     tmp_path / 'out', memory=12e9)
    assert done.returncode == 1 and 'named pipe' in done.stderr and 'Traceback' not in done.stderr
    for part in ('JPEGImages', 'Annotations'):
        (tmp_path / 'voc' / part).mkdir(parents=True)
    picture(tmp_path / 'voc/JPEGImages/a.png')
    make(tmp_path / 'voc/Annotations/a.xml', 'fifo')
    assert_one_line(mmweather('prepare', 'voc-fog', tmp_path / 'voc', tmp_path / 'fog'), 'a.xml', 'named pipe')
    assert not (tmp_path / 'fog').exists()


def _read_first(config, results):
    from mmweather.registry import DATASETS
    try:
        DATASETS.build(config)[0]
    except Exception as error:  # noqa: BLE001  whatever a training would end with
        results.put((type(error).__name__, str(error)))
    else:
        results.put(('nothing', ''))


@pytest.mark.parametrize('kind', ('fifo', 'endless'))
def test_training_data_do_not_hang(kind, tmp_path):
    pytest.importorskip('mmagic')
    make(tmp_path / 'in/a.png', kind)
    picture(tmp_path / 'out/a.png')
    config = dict(type='mmweather.PairedImageDataset', data_root=str(tmp_path), data_prefix=dict(img='in', gt='out'),
                  pipeline=[dict(type='mmweather.LoadImages')])
    results = multiprocessing.get_context('fork').Queue()
    process = multiprocessing.get_context('fork').Process(target=_read_first, args=(config, results))
    process.start()
    try:
        name, text = results.get(timeout=60)
    finally:
        process.kill()
        process.join()
    assert name == 'DataError' and 'a.png' in text and 'not a regular file' in text


def test_placing_refuses_them(tmp_path):
    make(tmp_path / 'a.png', 'fifo')
    with pytest.raises(DataError, match='a.png.*named pipe'):
        place_files([(tmp_path / 'a.png', 'train')], tmp_path / 'new')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.png']


def test_names_of_failing_files_cannot_write_to_the_terminal(tmp_path):
    name = 'a\x1b[31m\nerror: forged.png'
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / name).write_bytes(b'no picture')
    done = mmweather('check', tmp_path / 'in')
    assert '\x1b' not in done.stdout and not any(line.startswith('error: forged') for line in done.stdout.splitlines())
    assert r'a\x1b[31m\nerror: forged.png' in done.stdout
    done = mmweather('synth', 'fog', tmp_path / 'in', tmp_path / 'out', '--jobs', 1)
    assert done.returncode == 1 and '\x1b' not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith(('failed: ', 'error: '))]) == 1
    assert printable('Ünïcode 雨 \udcff\x00') == 'Ünïcode 雨 \\udcff\\x00'


def test_names_that_cannot_name_a_result(tmp_path):
    picture(tmp_path / 'good.png').rename(tmp_path / '..png')
    assert_one_line(mmweather('synth', 'fog', tmp_path / '..png', tmp_path / 'out'), 'rename')
    from mmweather.utils.images import write_image
    with pytest.raises(DataError, match='shorten the name'):
        write_image(tmp_path / f"{'n' * 300}.png", np.zeros((4, 4, 3), np.uint8))


def test_a_manifest_that_is_a_pipe_stops_the_run(tmp_path):
    picture(tmp_path / 'in/a.png')
    picture(tmp_path / 'in/b.png', seed=1)
    make(tmp_path / 'out/synth.json', 'fifo')
    assert_one_line(mmweather('synth', 'fog', tmp_path / 'in', tmp_path / 'out', '--jobs', 1), 'out')


def test_a_coco_set_lists_images_that_are_no_files_as_missing(tmp_path):
    picture(tmp_path / 'images/a.png')
    make(tmp_path / 'images/b.png', 'fifo')
    box = dict(id=1, image_id=1, category_id=1, bbox=[1, 2, 3, 4])
    (tmp_path / 'boxes.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.png'), dict(id=2, file_name='b.png'), dict(id=3, file_name='n' * 400)],
        annotations=[box], categories=[dict(id=1, name='car')])))
    sources, missing = find_sources(tmp_path / 'boxes.json')
    assert [source.name for source in sources] == ['a.png'] and missing == ['b.png', 'n' * 400]


def test_check_in_process_is_the_same(tmp_path):
    make(tmp_path / 'a.png', 'fifo')
    picture(tmp_path / 'b.png')
    report = check(tmp_path, progress=False)
    assert [finding.kind for finding in report.findings] == ['unreadable'] and report.quarantine() == ['a.png']
    with pytest.raises(OSError):
        read_json(tmp_path / 'a.png')


def test_pictures_of_kinds_that_a_folder_search_passes_by_are_counted(tmp_path, capsys):
    from mmweather.cli import main
    picture(tmp_path / 'in/a.png')
    for name in ('b.gif', 'deep/c.GIF', 'd.ico', '.hidden.gif'):
        picture(tmp_path / 'in' / name)
    (tmp_path / 'in/notes.txt').write_text('x')
    assert main(['restore', str(tmp_path / 'in'), '--model', 'grey-world_dusty', '--out', str(tmp_path / 'out'),
                 '--device', 'cpu']) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith('note: ')]
    assert [line.split(' were')[0] for line in said] == ["note: 2 files ending in '.gif'",
                                                         "note: 1 files ending in '.ico'"]
