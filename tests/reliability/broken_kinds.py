"""Every kind of broken file, each with the commands that it is given to; imported by the tool and the test of it."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from hostile_files import KINDS, make, picture, png_bomb
from PIL import Image

CLASSICAL = 'grey-world_dusty'
ESCAPES = 'a\x1b]0;title\x07\nb'
"""Part of a file name that would steer a terminal."""


@dataclass
class Case:
    """One broken file, or a sound one to compare with.

    Args:
        group: of the table.
        kind: what is broken about it.
        commands: name of the command -> its arguments.
    """

    group: str
    kind: str
    commands: dict[str, list[str]] = field(default_factory=dict)


def _restore(source: Path, out: Path, *more: str, model: str = CLASSICAL) -> list[str]:
    return ['restore', str(source), '--model', model, '--out', str(out), '--device', 'cpu', *more]


def _all_readers(group: str, kind: str, file: Path, out: Path, detect: bool = True) -> Case:
    """A file that is given by itself to each command that reads pictures, and in its folder to ``check``."""
    commands = {
        'restore': _restore(file, out / 'restored'),
        'check': ['check', str(file.parent), '--workers', '1'],
        'synth': ['synth', 'fog', str(file), str(out / 'fog'), '--jobs', '1'],
    }
    if detect:
        commands['detect'] = ['detect', str(file), '--model', 'togethernet', '--out', str(out / 'found'), '--device',
                              'cpu']
    return Case(group, kind, commands)


# Pictures ---------------------------------------------------------------------------------------------------------


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _pictures() -> dict[str, tuple[str, bytes]]:
    """Kind -> ending and content."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8))
    good = {kind: _saved(photo, kind) for kind in ('JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP', 'PPM', 'GIF')}
    ends = {'JPEG': '.jpg', 'PNG': '.png', 'BMP': '.bmp', 'TIFF': '.tif', 'WEBP': '.webp', 'PPM': '.ppm'}
    found = {'empty': ('.jpg', b''), 'text': ('.png', b'no picture\n'), 'zeros': ('.jpg', bytes(5000)),
             'noise': ('.png', rng.bytes(5000)), 'HTML of a failed download': ('.jpg', b'<html>404</html>' * 20),
             'zip': ('.png', b'PK\x03\x04' + bytes(60)), 'PDF': ('.jpg', b'%PDF-1.7\n' * 9),
             'Git LFS pointer': ('.png', b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n')}
    for kind, end in ends.items():
        data = good[kind]
        for part in (0.05, 0.5, 0.98):
            found[f'{kind} cut at {part:.0%}'] = end, data[:int(len(data) * part)]
        flipped = bytearray(data)
        for at in rng.integers(len(data) // 4, len(data), 12):
            flipped[at] ^= 255
        found[f'{kind} with flipped bytes'] = end, bytes(flipped)
        found[f'{kind} with bytes behind it'] = end, data + b'tail' * 50
    png = good['PNG']
    for name, width, height in (('of width 0', 0, 40), ('of height 0', 48, 0), ('higher than its data', 48, 4000),
                                ('of 2^31 - 1 pixels a side', 2**31 - 1, 2**31 - 1)):
        head = b'IHDR' + struct.pack('>II', width, height) + png[24:29]
        found[f'PNG {name}'] = '.png', png[:12] + head + struct.pack('>I', zlib.crc32(head)) + png[33:]
    exif = Image.Exif()
    exif[0x0112] = 99
    found['orientation 99'] = '.jpg', _saved(photo, 'JPEG', exif=exif)
    found['EXIF of noise'] = '.jpg', _saved(photo, 'JPEG', exif=b'Exif\0\0' + rng.bytes(200))
    found['ICC profile of noise'] = '.jpg', _saved(photo, 'JPEG', icc_profile=rng.bytes(300))
    for mode in ('1', 'L', 'P', 'LA', 'RGBA', 'CMYK', 'I;16'):
        image = Image.fromarray(np.full((9, 9), 300, np.uint16)) if mode == 'I;16' else photo.convert(mode)
        found[f'mode {mode}'] = ('.jpg', _saved(image, 'JPEG')) if mode == 'CMYK' else ('.png', _saved(image, 'PNG'))
    for kind, dtype in (('32-bit integers', np.int32), ('32-bit floats', np.float32)):
        found[f'TIFF of {kind}'] = '.tif', _saved(Image.fromarray(np.full((9, 9), 70000, dtype)), 'TIFF')
    found['one pixel'] = '.png', _saved(photo.resize((1, 1)), 'PNG')
    found['one row of 4000'] = '.png', _saved(photo.resize((4000, 1)), 'PNG')
    found['PNG called .jpg'] = '.jpg', png
    found['GIF called .png'] = '.png', good['GIF']
    found['SVG called .png'] = '.png', b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    return found


def pictures(folder: Path) -> Iterator[Case]:
    """Pictures with every fault."""
    for number, (kind, (end, data)) in enumerate(_pictures().items()):
        file = folder / f'{number}/in/x{end}'
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        yield _all_readers('pictures', kind, file, file.parents[1])
    file = folder / 'bomb/in/x.png'
    file.parent.mkdir(parents=True)
    yield _all_readers('pictures', 'bomb of 169 megapixels', png_bomb(file), file.parents[1])


def names(folder: Path) -> Iterator[Case]:
    """Sound and broken pictures under odd names."""
    sound = _saved(Image.new('RGB', (32, 24), 'red'), 'PNG')
    for number, name in enumerate([
            ' x.png', 'x .png', '-x.png', '--out.png', '*.png', '[a].png', '$(touch PWNED).png', "x'\".png", 'x;y.png',
            '..png', '.png', '.hidden.png', 'x.PNG', 'x.tar.png', '\u202egnp.x.png', 'ü\u0308\U0001f327.png',
            os.fsdecode(b'\xff\xfe.png'), 'x' * 251 + '.png', f'{ESCAPES}.png', '~.png', 'camera:0.png', '%s%n.png',
            'CON.png', '{0}.png']):
        for broken in (False, True):
            file = folder / f'{number}{broken}/in' / name
            file.parent.mkdir(parents=True)
            file.write_bytes(b'broken' if broken else sound)
            shown = ascii(name[:20])[1:-1].replace('|', '/')
            yield _all_readers('names', f'`{shown}`{" of a broken file" * broken}', file, file.parents[1], False)


def special(folder: Path) -> Iterator[Case]:
    """What is no regular file, as a picture by itself and in a folder."""
    for kind in (*KINDS, 'folder', 'forbidden'):
        file = folder / kind / 'in/x.png'
        if kind == 'forbidden':
            picture(file).chmod(0)
        else:
            make(file, kind)
        case = _all_readers('file kinds', kind, file, folder / kind)
        picture(file.with_name('good.png'))
        case.commands['restore folder'] = _restore(file.parent, folder / kind / 'folder')
        case.commands['synth folder'] = ['synth', 'rain', str(file.parent), str(folder / kind / 'rain'), '--jobs', '1']
        yield case


# Scenes, checkpoints and videos -----------------------------------------------------------------------------------


def scenes(folder: Path) -> Iterator[Case]:
    """GeoTIFFs."""
    import rasterio
    folder.mkdir(parents=True)

    def write(name: str, array: np.ndarray, **options: Any) -> Path:
        path = folder / f'{name.replace(" ", "_")}.tif'
        options = {'crs': 'EPSG:32632', 'transform': rasterio.transform.from_origin(5e5, 5e6, 10, 10), **options}
        with rasterio.open(path, 'w', driver='GTiff', width=array.shape[2], height=array.shape[1], count=len(array),
                           dtype=array.dtype, **options) as file:
            file.write(array)
        return path

    values = np.random.default_rng(0).integers(1, 255, (3, 40, 48))
    good = write('good', values.astype(np.uint8))
    files: dict[str, tuple[Path, tuple[str, ...]]] = {'good': (good, ())}
    for dtype in ('uint16', 'int16', 'int32', 'float32', 'float64', 'complex64'):
        files[f'of {dtype}'] = write(dtype, values.astype(dtype)), ()
    for bands in (1, 2, 4, 13):
        files[f'of {bands} bands'] = write(f'b{bands}', np.resize(values, (bands, 40, 48)).astype(np.uint16)), ()
    for name, value in (('NaN', np.nan), ('infinity', np.inf), ('1e30', 1e30)):
        files[f'all {name}'] = write(name, np.full((3, 40, 48), value, np.float32)), ()
    files['all nodata'] = write('nodata', np.zeros((3, 40, 48), np.uint8), nodata=0), ()
    files['without a position'] = write('nowhere', values.astype(np.uint8), crs=None, transform=rasterio.Affine(
        1, 0, 0, 0, 1, 0)), ()
    files['of one pixel'] = write('pixel', values[:, :1, :1].astype(np.uint8)), ()
    data = good.read_bytes()
    for part in (0.02, 0.3, 0.9):
        files[f'cut at {part:.0%}'] = folder / f'cut{part}.tif', ()
        (folder / f'cut{part}.tif').write_bytes(data[:int(len(data) * part)])
    for name, content in (('empty', b''), ('of noise', os.urandom(4000)), ('a head alone', b'II*\0\x08\0\0\0'),
                          ('a loop of directories', b'II*\0\x08\0\0\0\0\0\x08\0\0\0')):
        files[name] = folder / f'{name.replace(" ", "")}.tif', ()
        files[name][0].write_bytes(content)
    for words in (('--scale', '0'), ('--scale', 'nan'), ('--scale', '1e-300'), ('--offset', 'inf'), ('--nodata', 'x'),
                  ('--bands', '9,9,9'), ('--bands', 'a'), ('--tile', '-5'), ('--overlap', '9999')):
        files[f'with `{" ".join(words)}`'] = good, words
    for number, (kind, (file, words)) in enumerate(files.items()):
        yield Case('GeoTIFF', kind, {'restore': _restore(file, folder / f'out{number}', *words)})
    yield Case('GeoTIFF', 'into x.jpg', {'restore': _restore(good, folder / 'x.jpg')})
    yield Case('GeoTIFF', 'two rows', {'check': ['check', str(folder), '--workers', '1']})


def checkpoints(folder: Path) -> Iterator[Case]:
    """What ``tests/security/forged_files.py`` forges."""
    import forged_files

    from mmweather.apis.hub import shipped_weights
    from mmweather.utils.checkpoint import load_checkpoint
    folder.mkdir(parents=True)
    good = {key.removeprefix('generator.'): value.float()
            for key, value in load_checkpoint(shipped_weights('ssdie-net')).items()}
    image = picture(folder / 'x.png')
    for number, (kind, file) in enumerate(forged_files.forged(folder, good).items()):
        out = folder / f'out{number}'
        yield Case('checkpoints', kind, {
            'restore': _restore(image, out, '--checkpoint', str(file), model='ssdie-net'),
            'convert': ['convert', 'ssdie_net/msff', str(file), f'{out}.safetensors'],
            'convert --tensors-only': ['convert', 'ssdie_net/msff', str(file), f'{out}.pth', '--tensors-only']})


def videos(folder: Path) -> Iterator[Case]:
    """Videos and what is called so."""
    import av
    folder.mkdir(parents=True)
    good = folder / 'good.mp4'
    with av.open(str(good), 'w') as box:
        stream = box.add_stream('mpeg4', rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        rng = np.random.default_rng(0)
        for _ in range(6):
            box.mux(stream.encode(av.VideoFrame.from_ndarray(rng.integers(0, 256, (48, 64, 3), np.uint8))))
        box.mux(stream.encode())
    data = good.read_bytes()
    flipped = bytearray(data)
    for at in rng.integers(48, len(data), 40):
        flipped[at] ^= 255
    contents = {
        'good': ('mp4', data), 'empty': ('mp4', b''), 'noise': ('mp4', rng.bytes(4000)), 'text': ('mov', b'no video'),
        'flipped bytes': ('mp4', bytes(flipped)), 'called .avi': ('avi', data),
        'a playlist': ('mp4', f'#EXTM3U\n#EXTINF:1,\nfile://{good}\n'.encode()),
        'a list of ffmpeg': ('mp4', f"ffconcat version 1.0\nfile '{good}'\n".encode()),
        'a picture': ('mp4', _saved(Image.new('RGB', (8, 8)), 'PNG')),
        **{f'cut at {part:.0%}': ('mp4', data[:int(len(data) * part)]) for part in (0.1, 0.5, 0.95)}}
    for number, (kind, (end, content)) in enumerate(contents.items()):
        file = folder / f'{number}/x.{end}'
        file.parent.mkdir()
        file.write_bytes(content)
        yield Case('videos', kind, {'restore': _restore(file, folder / f'{number}/out')})
    for kind in ('fifo', 'endless', 'folder', 'dangling'):
        file = make(folder / kind / 'x.mp4', kind)
        yield Case('videos', kind, {'restore': _restore(file, folder / kind / 'out')})


# Annotations ------------------------------------------------------------------------------------------------------


def _photos(folder: Path, count: int = 5) -> Path:
    for index in range(count):
        picture(folder / f'{index}.png', seed=index)
    return folder


def _prepare(source: Path, out: Path, *more: str) -> dict[str, list[str]]:
    return {'prepare': ['prepare', 'voc-fog', str(source), str(out), '--workers', '1', *more]}


def coco(folder: Path) -> Iterator[Case]:
    """COCO files."""
    images = [dict(id=i, file_name=f'{i}.png', width=32, height=24) for i in range(5)]
    box = dict(id=1, image_id=1, category_id=1, bbox=[1, 2, 9, 8], iscrowd=0)
    whole: dict[str, Any] = dict(images=images, annotations=[box], categories=[dict(id=1, name='car')])
    texts: dict[str, Any] = {'good': whole, 'a list': [], 'null': None, 'a number': 7, 'an object': {}}
    for key in whole:
        for name, value in (('missing', ...), ('null', None), ('a number', 7), ('of numbers', [1, 2]), ('empty', []),
                            ('an object', {'a': 1})):
            texts[f'{key} {name}'] = {**{k: v for k, v in whole.items() if k != key},
                                      **({} if value is ... else {key: value})}
    for key, value in [('id', [1]), ('id', 'x'), ('file_name', 7), ('file_name', '../x.png'), ('file_name', ''),
                       ('file_name', ESCAPES), ('file_name', 'a' * 5000), ('file_name', 'x\0.png'), ('width', -1)]:
        changed = [*images[:-1], {**images[-1], key: value}]
        texts[f'{key} {str(value)[:12]!a} of an image'] = {**whole, 'images': changed}
    for key, value in [('bbox', [1, 2]), ('bbox', 'x'), ('bbox', [1, 2, -3, 4]), ('bbox', [0, 0, 10**400, 1]),
                       ('bbox', {}), ('image_id', 77), ('image_id', {}), ('category_id', 'x'), ('category_id', None),
                       ('iscrowd', 'x'), ('segmentation', 'x')]:
        texts[f'{key} {str(value)[:12]} of a box'] = {**whole, 'annotations': [{**box, key: value}]}
    texts['double ids of images'] = {**whole, 'images': [*images, images[0]]}
    texts['double ids of categories'] = {**whole, 'categories': [dict(id=1, name='a'), dict(id=1, name='b')]}
    texts['category without a name'] = {**whole, 'categories': [dict(id=1)]}
    raw = json.dumps(whole)
    strings = {kind: json.dumps(value) for kind, value in texts.items()}
    strings |= {name: raw.replace('[1, 2, 9, 8]', value) for name, value in (
        ('NaN', '[NaN, 2, 9, 8]'), ('Infinity', '[1, 2, Infinity, 8]'), ('1e400', '[1, 2, 1e400, 8]'),
        ('nested 200000 deep', '[' * 200_000))}
    strings |= {'cut': raw[:len(raw) // 2], 'empty': '', 'two documents': raw + raw, 'a lone surrogate': '"\\ud800"'}
    for number, (kind, text) in enumerate(strings.items()):
        here = folder / str(number)
        _photos(here / 'images')
        (here / 'boxes.json').write_text(text)
        yield Case('COCO', kind, _prepare(here / 'boxes.json', here / 'out'))
    here = folder / 'bytes'
    _photos(here / 'images')
    (here / 'boxes.json').write_bytes(b'\xff\xfe' + raw.encode('utf-16-le'))
    yield Case('COCO', 'UTF-16', _prepare(here / 'boxes.json', here / 'out'))


XML = ('<annotation><object><name>car</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>'
       '</object></annotation>')
_LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha">' + ''.join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)) + ']>'


def voc(folder: Path) -> Iterator[Case]:
    """Annotations of PASCAL VOC."""
    texts = {
        'good': XML, 'empty': '', 'cut': XML[:70], 'text': 'car 1 2 9 8', 'JSON': '{}', 'no object': '<annotation/>',
        'another root': '<html/>', 'billion laughs': _LAUGHS + XML.replace('car', '&j;'),
        'external entity': '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + XML.replace('car', '&e;'),
        'nested 100000 deep': '<a>' * 100_000, 'unknown encoding': '<?xml version="1.0" encoding="no"?>' + XML,
        'control characters': XML.replace('car', 'c\x01r'), 'no name': XML.replace('<name>car</name>', ''),
        'empty name': XML.replace('car', ''), 'no box': '<annotation><object><name>x</name></object></annotation>',
        'name of 100000 characters': XML.replace('car', 'x' * 100_000),
        **{f'xmax {value[:12]}': XML.replace('9</xmax>', f'{value}</xmax>')
           for value in ('', 'x', 'nan', 'inf', '1e400', '-5', '0', '9' * 5000, '9.5', '1,5')}}
    for number, (kind, text) in enumerate(texts.items()):
        here = folder / str(number)
        _photos(here / 'JPEGImages')
        (here / 'Annotations').mkdir()
        for index in range(5):
            (here / f'Annotations/{index}.xml').write_text(XML)
        (here / 'Annotations/2.xml').write_text(text)
        yield Case('VOC', kind, _prepare(here, here / 'out'))
    for kind in KINDS:
        here = folder / kind
        _photos(here / 'JPEGImages')
        make(here / 'Annotations/2.xml', kind)
        yield Case('VOC', kind, _prepare(here, here / 'out'))


def lists(folder: Path) -> Iterator[Case]:
    """Lists of names, depth maps and quarantine files."""
    contents: dict[str, bytes] = {
        'good': b'1\n2\n', 'empty': b'', 'unknown names': b'nothing\n', 'bytes': os.urandom(2000),
        'no end': b'1' * 10**6,
        'outside': b'../../1\n', 'doubles': b'1\n1\n', 'Windows': '1\r\n2\r\n'.encode('utf-16'), 'NUL': b'1\0\n',
        'escapes': f'{ESCAPES}\n'.encode()}
    here = folder / 'voc'
    _photos(here / 'JPEGImages')
    (here / 'Annotations').mkdir()
    for index in range(5):
        (here / f'Annotations/{index}.xml').write_text(XML)
    for side in ('cloud', 'label'):
        _photos(folder / 'rice' / side)
    for number, (kind, content) in enumerate(contents.items()):
        (folder / f'{number}.txt').write_bytes(content)
        split = folder / f'lists{number}'
        split.mkdir()
        for name in ('train', 'test'):
            (split / f'{name}.txt').write_bytes(content)
        yield Case('lists', kind, {
            **_prepare(here, folder / f'out{number}', '--test-list', str(folder / f'{number}.txt')),
            'prepare rice': ['prepare', 'rice', str(folder / 'rice'), str(folder / f'rice{number}'), '--lists',
                             str(split)]})
    depths: dict[str, Callable[[Path], object]] = {
        'array of objects': lambda path: np.save(path, np.array([{}], object), allow_pickle=True),
        'complex': lambda path: np.save(path, np.ones((24, 32), complex)),
        'NaN': lambda path: np.save(path, np.full((24, 32), np.nan)),
        '1e30': lambda path: np.save(path, np.full((24, 32), 1e30)),
        'three axes': lambda path: np.save(path, np.ones((24, 32, 3))), 'text': lambda path: path.write_text('depth'),
        'empty': lambda path: path.touch(), 'fifo': os.mkfifo,
        'archive': lambda path: (np.savez(path.with_suffix('.npz'), a=np.ones(3)),
                                 shutil.move(path.with_suffix('.npz'), path))}
    for number, (kind, write) in enumerate(depths.items()):
        for index in range(5):
            path = folder / f'depth{number}/{index}.npy'
            path.parent.mkdir(exist_ok=True)
            np.save(path, np.full((24, 32), 20.0))
        path = folder / f'depth{number}/2.npy'
        path.unlink()
        write(path)
        words = '--depth', str(path.parent)
        yield Case('depth maps', kind, {
            **_prepare(here, folder / f'deep{number}', *words),
            'synth': ['synth', 'fog', str(here / 'JPEGImages'), str(folder / f'fog{number}'), '--jobs', '1', *words]})


# Configs ----------------------------------------------------------------------------------------------------------

_MODEL = "model = dict(type='mmweather.CleanNet', dim=8, num_blocks=[1, 1, 1, 1])\n"


def configs(folder: Path) -> Iterator[Case]:
    """Configs in Python, YAML and JSON."""
    folder.mkdir(parents=True)
    files = {
        'empty': ('py', ''), 'syntax error': ('py', 'model = dict('), 'NUL': ('py', 'a = 1\0'),
        'raises': ('py', '1 / 0'),
        'unknown import': ('py', 'import no_such_module'), 'exits': ('py', 'import sys\nsys.exit(3)'),
        'not UTF-8': ('py', b'a = "\xff"'), 'model a text': ('py', "model = 'CleanNet'"),
        'model a number': ('py', 'model = 7'),
        'model without type': ('py', 'model = dict(dim=8)'),
        'unknown model': ('py', "model = dict(type='mmweather.CleanNett')"),
        'unknown scope': ('py', "model = dict(type='mmwether.CleanNet')"),
        'type a number': ('py', 'model = dict(type=7)'),
        'unknown argument': ('py', "model = dict(type='mmweather.CleanNet', dimm=8)"),
        'good': ('py', _MODEL), 'dim a text': ('py', _MODEL.replace('8', "'8'")),
        'dim -8': ('py', _MODEL.replace('8', '-8')),
        'dim 0': ('py', _MODEL.replace('8', '0')), 'dim 7.5': ('py', _MODEL.replace('8', '7.5')),
        'dim 10^9': ('py', _MODEL.replace('8', '10**9')), 'dim None': ('py', _MODEL.replace('8', 'None')),
        'base of itself': ('py', "_base_ = './{name}'\n"), 'missing base': ('py', "_base_ = './nothing.py'"),
        'base a number': ('py', '_base_ = 7'), 'deletes what is not there': ('py', 'model = dict(_delete_=True)'),
        'unknown custom import': ('py', _MODEL + "custom_imports = dict(imports=['no_such_module'])"),
        'custom imports a number': ('py', _MODEL + 'custom_imports = 7'),
        'data a text': ('py', _MODEL + "train_dataloader = 'x'"),
        'data a number': ('py', _MODEL + 'test_dataloader = 7'),
        'unknown data set': ('py', _MODEL + "train_dataloader = dict(dataset=dict(type='mmweather.Nothing'))"),
        'data that are not there': ('py', _MODEL + "test_dataloader = dict(batch_size=1, dataset=dict("
                                    "type='mmweather.RoadSceneRain', data_root='nothing'))"),
        'YAML with a call': ('yaml', 'a: !!python/object/apply:os.system [touch PWNED]\n'),
        'YAML with an import': ('yaml', 'a: !!python/name:os.system\n'), 'YAML cut': ('yaml', 'model: [1, {a'),
        'YAML of a list': ('yaml', '- 1\n'), 'YAML empty': ('yaml', ''), 'YAML alias loop': ('yaml', 'a: &a [*a]\n'),
        'YAML of aliases': ('yaml', 'a: &a [x,x,x,x,x,x,x,x,x]\n' + ''.join(
            f'{c}: &{c} [{",".join([f"*{p}"] * 9)}]\n' for p, c in zip('abcdefgh', 'bcdefghi', strict=True))),
        'JSON cut': ('json', '{"model": '), 'JSON NaN': ('json', '{"a": NaN}'), 'JSON of a list': ('json', '[1]'),
        'JSON nested': ('json', '[' * 100_000),
        'JSON with imports': ('json', '{"custom_imports": {"imports": ["os"]}}'),
        'unknown ending': ('toml', 'a = 1'), 'noise': ('yaml', os.urandom(3000)), 'a callable as type': (
            'json', '{"model": {"type": "os.system", "command": "touch PWNED"}}')}
    for number, (kind, (end, text)) in enumerate(files.items()):
        file = folder / f'c{number}.{end}'
        file.write_bytes(text if isinstance(text, bytes) else text.replace('{name}', file.name).encode())
        yield Case('configs', kind, {'info': ['info', str(file)], 'check': ['check', str(file), '--workers', '1']})
    for kind in (*KINDS, 'folder'):
        file = make(folder / f'{kind}.py', kind)
        yield Case('configs', kind, {'info': ['info', str(file)], 'check': ['check', str(file), '--workers', '1']})


GROUPS: dict[str, Callable[[Path], Iterator[Case]]] = {
    'pictures': pictures, 'names': names, 'file kinds': special, 'GeoTIFF': scenes, 'checkpoints': checkpoints,
    'videos': videos, 'COCO': coco, 'VOC': voc, 'lists': lists, 'configs': configs}
