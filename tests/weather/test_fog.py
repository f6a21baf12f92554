"""Fog on arrays, on whole sets, and in the mini world."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from mmweather.cli import main
from mmweather.datasets.tools.fog_set import FogSettings, make_fog_set, read_depth
from mmweather.datasets.tools.fog_sources import find_sources
from mmweather.errors import DataError
from mmweather.mini.write import make_mini
from mmweather.utils.images import encode_image, read_image
from mmweather.utils.voc import VOCObject, format_voc, read_voc
from mmweather.weather.fog import Fog, add_fog, beta_of_visibility, centre_depth

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob('*'))
            if path.is_file() and path.name not in ('fog.json', 'manifest.json')}


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix))


# Physics ------------------------------------------------------------------------------------------------------


def test_the_scattering_equation_value_by_value():
    depth = np.linspace(0, 200, 40 * 60).reshape(40, 60)
    foggy = add_fog(PICTURE, Fog(0.03, 0.8), depth)
    t = np.exp(-0.03 * depth)[..., None]
    assert np.abs(foggy - (PICTURE * t + 0.8 * 255 * (1 - t))).max() <= 0.5 + 1e-9
    floating = add_fog(PICTURE / 255, Fog(0.03, 0.8), depth)
    assert np.array_equal(foggy, floating)
    assert np.array_equal(add_fog(PICTURE, Fog(0.0, 0.3), depth), PICTURE)
    assert (add_fog(PICTURE, Fog(1.0, 0.6), np.full((40, 60), 1e4)) == 153).all()
    cut = add_fog(PICTURE, Fog(0.03, 0.8), depth, truncate=True)
    assert set(np.unique(foggy.astype(int) - cut)) == {0, 1}
    with pytest.raises(ValueError, match='bring them to one size'):
        add_fog(PICTURE, Fog(0.03, 0.8), depth[1:])


def test_the_published_formula_without_depth():
    height, width, beta = 8, 13, 0.1
    image = np.random.default_rng(1).random((height, width, 3))
    wanted = np.empty_like(image)
    for row in range(height):
        for column in range(width):
            d = -0.04 * math.sqrt((row - height // 2)**2 + (column - width // 2)**2) + math.sqrt(max(height, width))
            t = math.exp(-beta * d)
            wanted[row, column] = image[row, column] * t + 0.5 * (1 - t)
    made = add_fog(image, Fog(beta, 0.5), truncate=True)
    assert np.abs(made - np.clip(wanted * 255, 0, 255).astype(np.uint8).astype(int)).max() == 0


def test_large_pictures_get_no_negative_depth():
    depth = centre_depth(3000, 4000)
    assert depth.min() == 0 and depth[1500, 2000] == pytest.approx(math.sqrt(4000))
    assert centre_depth(1, 1).tolist() == [[1.0]]


def test_visibility_leaves_a_twentieth_of_the_contrast():
    beta = beta_of_visibility(100)
    black, white = (add_fog(np.full((1, 1, 3), value), Fog(beta, 0.7), np.full((1, 1), 100.0)) for value in (0.0, 1.0))
    assert int(white[0, 0, 0]) - int(black[0, 0, 0]) == pytest.approx(255 * 0.05, abs=1)
    with pytest.raises(ValueError, match='positive'):
        beta_of_visibility(0)


def test_draws_fill_their_ranges_and_follow_the_seed():
    fogs = [FogSettings(beta=(0.1, 0.2), airlight=(0.4, 0.9)).draw(str(index)) for index in range(200)]
    for values, low, high in (([fog.beta for fog in fogs], 0.1, 0.2), ([fog.airlight for fog in fogs], 0.4, 0.9)):
        assert low <= min(values) < low + 0.03 and high - 0.03 < max(values) <= high
    assert FogSettings().draw('a') == FogSettings().draw('a') != FogSettings(seed=1).draw('a')
    assert FogSettings().draw('a').airlight == 0.5 and 0.07 <= FogSettings().draw('a').beta <= 0.12
    assert FogSettings(depth='d').draw('a').beta <= 0.05


# Sets -----------------------------------------------------------------------------------------------------------


def voc_set(root: Path, count: int = 7) -> Path:
    """A VOC set: names with spaces, one PNG, one picture of one pixel, one without boxes."""
    for index in range(count):
        rng = np.random.default_rng(index)
        shape = (1, 1, 3) if index == 3 else (24 + index, 30, 3)
        name = f'photo {index}' + ('.png' if index == 2 else '.jpg')
        save(root / 'JPEGImages' / name, rng.integers(0, 256, shape, dtype=np.uint8))
        objects = [] if index == 4 else [VOCObject('car', (1, 2, 11, 12)), VOCObject('cat', (3, 3, 8, 9), True)]
        xml = root / 'Annotations' / f'photo {index}.xml'
        xml.parent.mkdir(exist_ok=True)
        xml.write_bytes(format_voc(name, shape[:2], objects))
    return root


def test_a_voc_set_in_the_published_layout_any_process_count_and_resume(tmp_path, capsys):
    source = voc_set(tmp_path / 'set')
    command = ['prepare', 'voc-fog', str(source), '--val-fraction', '0.25', '--test-every', '3']
    assert main([*command[:3], str(tmp_path / 'one'), *command[3:], '--workers', '1']) == 0
    assert '4 training and 3 test pairs' in capsys.readouterr().out
    want = files(tmp_path / 'one')
    names = {'train': ['1.jpg', '2.png', '4.jpg', '5.jpg'], 'test': ['0.jpg', '3.jpg', '6.jpg']}
    for split, foggy in (('train', 'VOC2007-FOG'), ('test', 'VOCtest-FOG')):
        for name in names[split]:
            clean = read_image(source / 'JPEGImages' / f'photo {name}')
            base = tmp_path / 'one' / split
            assert (base / 'JPEGImages' / f'photo {name}').read_bytes() == (
                source / 'JPEGImages' / f'photo {name}').read_bytes()
            assert (base / 'Annotations' / f'photo {name[0]}.xml').read_bytes() == (
                source / 'Annotations' / f'photo {name[0]}.xml').read_bytes()
            wanted = add_fog(clean, FogSettings().draw(f'photo {name[0]}'))
            made = read_image(base / foggy / f'photo {name}').astype(int)
            assert np.abs(made - wanted).mean() < (0.01 if name.endswith('png') else 6)
    assert sum(name.count('/') == 2 for name in want) == 7 * 3 + 2
    assert want['train/ImageSets/val.txt'] == b'photo 1\n'
    assert want['train/ImageSets/train.txt'] == b'photo 2\nphoto 4\nphoto 5\n'
    assert main([*command[:3], str(tmp_path / 'two'), *command[3:], '--workers', '2']) == 0
    assert files(tmp_path / 'two') == want
    # Interrupted: one file is missing, the rest is left alone.
    gone, kept = (tmp_path / 'one/train/VOC2007-FOG' / f'photo {name}' for name in ('1.jpg', '5.jpg'))
    gone.unlink()
    stamp = kept.stat().st_mtime_ns
    assert main([*command[:3], str(tmp_path / 'one'), *command[3:], '--workers', '1']) == 0
    assert files(tmp_path / 'one') == want and kept.stat().st_mtime_ns == stamp
    assert json.loads((tmp_path / 'one/fog.json').read_text())['complete']
    capsys.readouterr()
    for changed in (['--seed', '1'], ['--beta', '0.1', '0.2'], ['--test-every', '2']):
        with pytest.raises(SystemExit):
            main([*command[:3], str(tmp_path / 'one'), *command[3:], '--workers', '1', *changed])
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith('error: ') and 'of other settings' in error
    other, _ = find_sources(source)
    make_fog_set(other, tmp_path / 'three', FogSettings(seed=5), test_every=3, progress=False)
    third = files(tmp_path / 'three')
    foggy = [name for name in want if 'FOG' in name]
    assert len(foggy) == 7 and all(third[name] != want[name] for name in foggy if '3.jpg' not in name)


def test_copies_of_test_images_do_not_train_and_copies_do_not_validate(tmp_path):
    source = voc_set(tmp_path / 'set', 9)
    folder = source / 'JPEGImages'
    (folder / 'photo 1.jpg').write_bytes((folder / 'photo 0.jpg').read_bytes())  # 0 is a test image
    (folder / 'photo 3.jpg').write_bytes((folder / 'photo 2.png').read_bytes())  # 2 would be a validation image
    done = make_fog_set(find_sources(source)[0], tmp_path / 'out', test_every=4, val_fraction=0.4, progress=False)
    assert done == {'train': 5, 'test': 3, 'dropped': ['photo 1']}
    assert not (tmp_path / 'out/train/JPEGImages/photo 1.jpg').exists()
    val, train = (set((tmp_path / f'out/train/ImageSets/{name}.txt').read_text().splitlines())
                  for name in ('val', 'train'))
    assert val == {'photo 5', 'photo 7'} and train == {'photo 2', 'photo 3', 'photo 6'}


def test_a_test_list(tmp_path, capsys):
    source = voc_set(tmp_path / 'set')
    (tmp_path / 'test.txt').write_text('photo 5\nphoto 2\n\n')
    words = ['prepare', 'voc-fog', str(source), str(tmp_path / 'out'), '--test-list', str(tmp_path / 'test.txt'),
             '--workers', '1']
    assert main(words) == 0
    assert sorted(path.stem for path in (tmp_path / 'out/test/VOCtest-FOG').iterdir()) == ['photo 2', 'photo 5']
    (tmp_path / 'test.txt').write_text('photo 77\n')
    with pytest.raises(SystemExit):
        main([*words[:3], str(tmp_path / 'new'), *words[4:]])
    assert 'photo 77' in capsys.readouterr().err and not (tmp_path / 'new').exists()


def test_a_coco_set_with_depth(tmp_path):
    root = tmp_path / 'coco'
    images, boxes = [], []
    for index, name in enumerate(('a/1.png', 'b/1.png', 'c 3.png', 'lost.png')):
        images.append(dict(id=10 + index, file_name=name, height=20, width=30))
        if name != 'lost.png':
            save(root / 'images' / name, np.full((20, 30, 3), 50 * index, np.uint8))
            depth = root / 'depth' / f'{Path(name).stem}.npy'
            depth.parent.mkdir(exist_ok=True)
            np.save(depth, np.full((20, 30), 40.0, np.float32))
    boxes.append(dict(image_id=10, category_id=3, bbox=[1, 2, 10.4, 5], iscrowd=0))
    boxes.append(dict(image_id=10, category_id=7, bbox=[0, 0, 3, 3], iscrowd=1))
    names = [dict(id=3, name='bus & <van>'), dict(id=7, name='car')]
    content = dict(images=images, annotations=boxes, categories=names)
    (root / 'boxes.json').write_text(json.dumps(content))
    sources, missing = find_sources(root / 'boxes.json')
    assert missing == ['lost.png'] and [source.name for source in sources] == ['a__1.png', 'b__1.png', 'c 3.png']
    settings = FogSettings(depth=str(root / 'depth'), beta=(0.05, 0.05), airlight=(0.8, 0.8))
    make_fog_set(sources, tmp_path / 'out', settings, progress=False)
    found = read_voc(tmp_path / 'out/test/Annotations/a__1.xml')
    assert found.size == (20, 30)
    assert found.objects == (VOCObject('bus & <van>', (1, 2, 11, 7)), VOCObject('car', (0, 0, 3, 3), True))
    made = read_image(tmp_path / 'out/train/VOC2007-FOG/c 3.png')
    assert np.abs(made - (100 * math.exp(-2) + 204 * (1 - math.exp(-2)))).max() <= 0.51
    with pytest.raises(DataError, match='no depth map'):
        make_fog_set(sources, tmp_path / 'two', FogSettings(depth=str(root / 'images')), progress=False)
    np.save(root / 'depth/1.npy', np.ones((20, 31)))
    with pytest.raises(DataError, match='30x20, its depth map 31x20'):
        make_fog_set(sources, tmp_path / 'three', settings, progress=False)


def test_depth_maps_of_all_kinds(tmp_path):
    from PIL import Image
    levels = np.array([[0, 256], [512, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / 'a.png')
    assert read_depth(tmp_path / 'a.png').tolist() == [[pytest.approx(255.996, abs=1e-3), 1],
                                                       [2, pytest.approx(255.996, abs=1e-3)]]
    np.save(tmp_path / 'b.npy', np.array([[np.nan, 3.0], [np.inf, 0.0]]))
    assert read_depth(tmp_path / 'b.npy').tolist() == [[3, 3], [3, 0]]
    Image.fromarray(levels.astype(np.uint8) + 1).save(tmp_path / 'c.png')
    assert read_depth(tmp_path / 'c.png', 0.5).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    np.save(tmp_path / 'd.npy', np.full((2, 2), np.nan))
    np.save(tmp_path / 'e.npy', np.ones((2, 2, 3)))
    np.save(tmp_path / 'f.npy', np.array([['x']]))
    (tmp_path / 'g.npy').write_bytes(b'nothing')
    for name, text in (('c.png', '8 bits'), ('d.npy', 'no measurement'), ('e.npy', 'one channel'),
                       ('f.npy', 'one channel'), ('g.npy', 'cannot be read'), ('h.png', 'cannot be read')):
        with pytest.raises(DataError, match=text) as caught:
            read_depth(tmp_path / name)
        assert '\n' not in str(caught.value)


def _break(root: Path, kind: str) -> Path:
    """Spoil a good VOC set."""
    image, xml = root / 'JPEGImages/photo 5.jpg', root / 'Annotations/photo 5.xml'
    if kind == 'xml':
        xml.write_text('<annotation><object>')
    elif kind == 'corner':
        xml.write_bytes(xml.read_bytes().replace(b'<xmax>11</xmax>', b'<xmax>wide</xmax>'))
    elif kind == 'nameless':
        xml.write_bytes(xml.read_bytes().replace(b'<name>car</name>', b''))
    elif kind == 'image':
        image.write_bytes(b'no picture')
    elif kind == 'cut':
        image.write_bytes(image.read_bytes()[:-300])
    elif kind == 'twin':
        save(image.with_suffix('.png'), PICTURE)
    elif kind == 'two json':
        for path in (root / 'Annotations').iterdir():
            path.unlink()
        for name in 'ab':
            (root / f'Annotations/{name}.json').write_text('{}')
    elif kind == 'no list':
        (root / 'boxes.json').write_text('{"images": []}')
        return root / 'boxes.json'
    elif kind == 'no box':
        (root / 'boxes.json').write_text(json.dumps(dict(images=[], categories=[], annotations=[dict(bbox=[1])])))
        return root / 'boxes.json'
    elif kind == 'strangers':
        for path in (root / 'Annotations').iterdir():
            path.rename(path.with_name(f'x{path.name}'))
    elif kind == 'nothing':
        return root / 'nowhere'
    return root


@pytest.mark.parametrize('kind, text', [
    ('xml', 'photo 5.xml'), ('corner', "object 1: <xmax>: 'wide' is not a number"),
    ('nameless', r'object 1: <name> is missing'), ('image', 'photo 5.jpg'), ('cut', 'photo 5.jpg'),
    ('twin', 'one file of each stem'), ('two json', 'a.json, b.json'), ('no list', 'no list annotations, categories'),
    ('no box', 'is not a COCO file'), ('strangers', 'no image'), ('nothing', 'no such file or folder'),
])
def test_broken_sources_are_one_line_that_names_the_file(kind, text, tmp_path, capsys):
    source = _break(voc_set(tmp_path / 'set'), kind)
    with pytest.raises(SystemExit) as stopped:
        main(['prepare', 'voc-fog', str(source), str(tmp_path / 'out'), '--workers', '1'])
    assert stopped.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(error) == 1 and re.search(text, error[0])


def test_an_error_in_a_worker_process_reaches_the_user(tmp_path):
    source = voc_set(tmp_path / 'set')
    with pytest.raises(DataError, match='has no depth map'):
        make_fog_set(find_sources(source)[0], tmp_path / 'out', FogSettings(depth=str(tmp_path)), workers=2,
                     progress=False)


def test_half_sets_are_told_and_full_folders_are_spared(tmp_path, capsys):
    source = voc_set(tmp_path / 'set')
    (source / 'Annotations/photo 6.xml').unlink()
    (source / 'JPEGImages/photo 0.jpg').unlink()
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').write_text('precious')
    with pytest.raises(SystemExit):
        main(['prepare', 'voc-fog', str(source), str(tmp_path / 'mine'), '--workers', '1'])
    captured = capsys.readouterr()
    assert 'is missing: 2 (photo 0, photo 6)' in captured.out and 'not an empty folder' in captured.err
    assert [path.name for path in (tmp_path / 'mine').iterdir()] == ['thesis.txt']
    sources, _ = find_sources(source)
    for wrong in (dict(test_every=1), dict(val_fraction=0.9), dict(test_stems=[source.stem for source in sources])):
        with pytest.raises(DataError):
            make_fog_set(sources, tmp_path / 'new', progress=False, **wrong)
    for options in (dict(beta=(0.2, 0.1)), dict(airlight=(0.5, 1.5)), dict(seed=-1), dict(quality=0),
                    dict(depth_scale=0.0)):
        with pytest.raises(DataError, match='must be'):
            FogSettings(**options)


def detail(image: np.ndarray) -> float:
    return np.abs(np.diff(image.astype(int), axis=1)).mean()


# Mini world -------------------------------------------------------------------------------------------------------


def test_the_mini_set_has_fog_by_depth_and_boxes_of_the_scene(tmp_path):
    options = dict(seed=2, train=2, test=1, size=(64, 80), only=['voc-fog'], progress=False)
    root = make_mini(tmp_path / 'one', **options) / 'voc_fog'
    want = files(root)
    assert len(want) == 9 and {name.split('/')[1] for name in want} == {
        'Annotations', 'JPEGImages', 'VOC2007-FOG', 'VOCtest-FOG'}
    gone = root / 'train/Annotations/001.xml'
    gone.unlink()
    make_mini(tmp_path / 'one', **options)
    assert files(root) == want
    named, losses = 0, []
    for split, foggy in (('train', 'VOC2007-FOG'), ('test', 'VOCtest-FOG')):
        for path in (root / split / 'Annotations').iterdir():
            clean, fog = (read_image(root / split / folder / f'{path.stem}.jpg') for folder in ('JPEGImages', foggy))
            assert clean.shape == fog.shape == (*read_voc(path).size, 3)
            losses.append(detail(fog) / detail(clean))
            for one in ET.parse(path).findall('object'):
                named += one.findtext('name') in ('person', 'car')
    assert named >= 3 and max(losses) < 0.95
