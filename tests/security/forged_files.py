"""Checkpoints that no honest program writes, each an attack on the reader; imported by the tests here."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

POINTERS = b'\x10AAAAA\0\0' * 4


class Call:
    """Pickled as a call of a function with arguments, and then as content."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple:
        return self.call


def array(shape: tuple, dtype: Any, data: Any) -> Call:
    """An array as NumPy pickles it, with content that may not fit."""
    return Call(np._core.multiarray._reconstruct, np.ndarray, (0, ), b'b', state=(1, shape, dtype, False, data))


def history(**state: Any) -> Any:
    """MMEngine's log with a state that may not fit."""
    from mmengine.logging import HistoryBuffer
    log = HistoryBuffer([1.0], [1])
    log.__dict__.update(state)
    return log


def nested(levels: int, kind: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = ()
    for _ in range(levels):
        value = kind(value)
    return value


def pickled_by_hand(file: Path, program: bytes) -> None:
    """A checkpoint whose ``data.pkl`` is this program of pickle opcodes."""
    torch.save({}, file)
    rewrite(file, lambda name, data: program if name.endswith('data.pkl') else data)


def rewrite(file: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file) as old:
        records = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(file, 'w', compression) as new:
        for name, data in records.items():
            new.writestr(name, change(name, data))


def _sides(size: int) -> Callable[[str, bytes], bytes]:
    """Let the pickle of a saved ``torch.zeros(7919)`` say that it is longer than its record."""
    old, new = b'M' + struct.pack('<H', 7919), b'J' + struct.pack('<i', size)

    def change(name: str, data: bytes) -> bytes:
        if name.endswith('data.pkl'):
            assert data.count(old) == 2
            return data.replace(old, new)
        return data

    return change


def forged(folder: Path, good: dict[str, torch.Tensor]) -> dict[str, Path]:
    """Write every attack.

    Args:
        folder: for the files.
        good: a state dict that fits; its first tensor is what several attacks replace.
    """
    from mmengine.logging import HistoryBuffer
    first = next(key for key, value in good.items() if value.ndim == 4)
    structured = np.dtype([('a', 'O')])
    objects = Call(np.ndarray, (4, ), np.dtype('O'), POINTERS)
    files: dict[str, Path] = {}

    def save(name: str, content: Any, suffix: str = '.pth', **options: Any) -> Path:
        files[name] = folder / f'{name}{suffix}'
        torch.save(content, files[name], **options)
        return files[name]

    beside = {
        'object array': objects,
        'object array in a log': Call(HistoryBuffer, objects, objects),
        'object array in a log\'s state': history(_log_history=objects, _count_history=objects),
        'object array rebuilt': array((4, ), np.dtype('O'), POINTERS),
        'object list rebuilt': array((1, ), np.dtype('O'), [1]),
        'structured array': Call(np.ndarray, (2, ), structured, POINTERS[:16]),
        'structured array rebuilt': array((2, ), structured, POINTERS[:16]),
        'structured state': array((2, ), Call(np.dtype, 'f8', False, True, state=(
            3, '<', None, ('a', ), {'a': (np.dtype('O'), 0)}, 8, 8, 0)), POINTERS[:16]),
        'subarray state': array((2, ), Call(np.dtype, 'f8', False, True, state=(
            3, '<', (np.dtype('O'), (2, )), None, None, 8, 8, 0)), POINTERS[:16]),
        'void array': array((1, ), np.dtype('V8'), POINTERS[:8]),
        'dates': array((1, ), np.dtype('M8[s]'), POINTERS[:8]),
        'array longer than its bytes': array((10**12, ), np.dtype('f8'), b''),
        'array with a negative side': array((-4, ), np.dtype('f8'), POINTERS),
        'array of huge sides': array((2**62, 4), np.dtype('f8'), b''),
        'negative strides': Call(np.ndarray, (4, ), np.dtype('f8'), POINTERS, 24, (-8, )),
        'array without content': Call(np._core.multiarray._reconstruct, np.ndarray, (0, ), b'b'),
        'array class from another': Call(np._core.multiarray._reconstruct, np.dtype, (0, ), b'b'),
        'scalar of objects': Call(np._core.multiarray.scalar, np.dtype('O'), POINTERS[:8]),
        'scalar too short': Call(np._core.multiarray.scalar, np.dtype('f8'), b'12'),
        'log of lists': history(_log_history=[1.0], _count_history=[1]),
        'log of two lengths': history(_log_history=np.ones(3)),
        'log of no length': history(max_length='many'),
        'getattr': Call(getattr, HistoryBuffer, '__init__'),
        'device mesh': Call(torch.distributed.device_mesh.DeviceMesh, 'cpu', [0]),
        'huge bytearray': Call(bytearray, 10**11), 'huge bytes': Call(bytes, 10**11),
        'huge tensor': Call(torch._utils._rebuild_tensor_v2, torch.zeros(1).untyped_storage(), 0, (10**6, 10**6),
                            (0, 0), False, OrderedDict()),
        'tensor beyond its storage': Call(torch._utils._rebuild_tensor_v2, torch.zeros(1).untyped_storage(), 0,
                                          (10**6, ), (1, ), False, OrderedDict()),
        'negative tensor strides': Call(torch._utils._rebuild_tensor_v2, torch.zeros(9).untyped_storage(), 8, (9, ),
                                        (-1, ), False, OrderedDict()),
        'nested lists': nested(3000),
        'nested dicts': nested(3000, lambda inner: {'state_dict': inner}),
        'nested tuples': nested(3000, lambda inner: (inner, )),
    }
    for name, value in beside.items():
        if not name.startswith('nested'):
            save(name, {'state_dict': good, 'extra': value})
    for name in ('object array', 'object array in a log\'s state', 'structured array', 'getattr'):
        save(f'{name}, old format', {'state_dict': good, 'extra': beside[name]}, _use_new_zipfile_serialization=False)

    # Python's own pickler recurses, so what is nested deep is written by hand.
    item = b'X' + struct.pack('<I', 10) + b'state_dict'
    for name, opening, closing in (('lists', b']', b'a'), ('dicts', b'}' + item, b's'), ('tuples', b'', b'\x85')):
        for levels in (300, 30_000):
            files[f'{levels} nested {name}'] = folder / f'{levels}{name}.pth'
            inner = opening * levels + (b'}' if name == 'dicts' else b')') + closing * levels
            pickled_by_hand(files[f'{levels} nested {name}'], b'\x80\x02}' + item + inner + b's.')
    for zip_format in (True, False):
        name = f'nested tuple as a key, {"new" if zip_format else "old"} format'
        files[name] = folder / f'key{zip_format}.pth'
        program = b'\x80\x02})' + b'\x85' * 300_000 + b'Ns.'
        if zip_format:
            pickled_by_hand(files[name], program)
        else:
            torch.save({}, files[name], _use_new_zipfile_serialization=False)
            whole = files[name].read_bytes()
            files[name].write_bytes(whole[:whole.index(b'\x80\x02}q\x00.', 60)] + program)
    files['self reference'] = folder / 'self.pth'
    pickled_by_hand(files['self reference'], b'\x80\x02}q\x00' + item + b'h\x00s.')
    files['self reference in a list'] = folder / 'self_list.pth'
    pickled_by_hand(files['self reference in a list'], b'\x80\x02}' + item + b']q\x00h\x00as.')
    files['methods of a dict'] = folder / 'methods.pth'
    pickled_by_hand(files['methods of a dict'], b'\x80\x02ccollections\nOrderedDict\n)R}(X\x05\0\0\0itemsK\x01X\x06\0\0'
                                                b'\0valuesK\x01X\x03\0\0\0getK\x01ub.')

    save('integer keys', dict(enumerate(good.values())))
    save('integer keys in a wrapper', {'state_dict': dict(enumerate(good.values()))})
    save('tuple keys', {'model_state_dict': {(1, 2): torch.zeros(1)}})
    weights = {
        'sparse': torch.eye(4).to_sparse(), 'compressed sparse': torch.eye(4).to_sparse_csr(),
        'meta': torch.zeros(good[first].shape, device='meta'),
        'quantised': torch.quantize_per_tensor(good[first].float(), 0.1, 0, torch.qint8),
        'nested': torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        'complex': good[first].float() * (1 + 1j), 'no tensor': [1, 2], 'text': 'x',
    }
    for name, value in weights.items():
        save(f'{name} weights', {'state_dict': {**good, first: value}})
    save('array of the wrong shape', {'state_dict': {**good, first: np.zeros(3)}})

    save('tensor longer than its record', {'state_dict': {**good, first: torch.zeros(7919)}})
    rewrite(files['tensor longer than its record'], _sides(2**31 - 1))
    save('zip bomb', {'state_dict': {**good, first: torch.zeros(2**24)}})
    rewrite(files['zip bomb'], lambda name, data: data, zipfile.ZIP_DEFLATED)
    for name, protocol in (('os system', 2), ('os system, protocol 4', 4), ('os system, protocol 0', 0)):
        files[name] = folder / f'a_os{protocol}.pkl'
        files[name].write_bytes(pickle.dumps(Call(os.system, f'touch {folder / "PWNED"}'), protocol))
    for function in (eval, exec, __import__, open):
        save(f'call of {function.__name__}', {'x': Call(function, f'{folder / "PWNED"}')})

    files['folder'] = folder / 'folder.pth'
    files['folder'].mkdir()
    files['fifo'] = folder / 'fifo.pth'
    os.mkfifo(files['fifo'])
    files['device'] = folder / 'device.pth'
    files['device'].symlink_to('/dev/zero')
    files['fifo in safetensors'] = folder / 'fifo.safetensors'
    os.mkfifo(files['fifo in safetensors'])
    heads = {'header longer than the file': struct.pack('<Q', 10**12),
             'header that is no JSON': struct.pack('<Q', 8) + b'{{{{{{{{',
             'nested header': struct.pack('<Q', 40_000) + b'[' * 40_000}
    for name, head in heads.items():
        files[f'safetensors: {name}'] = folder / f'{len(files)}.safetensors'
        files[f'safetensors: {name}'].write_bytes(head)
    from safetensors.torch import save as to_bytes
    for note in ([], ['generator'], 7, 'generator', [['generator']], {'generator': 1}):
        text = json.dumps(note)
        name = f'safetensors of one tensor that leaves out {text}'
        files[name] = folder / f'{len(files)}.safetensors'
        files[name].write_bytes(to_bytes({first: good[first].contiguous()}, metadata={'left_out': text}))
    return files


def good_bytes(state: dict[str, torch.Tensor], suffix: str) -> bytes:
    """An honest file of these weights."""
    if suffix == '.safetensors':
        from safetensors.torch import save as to_bytes
        return to_bytes({key: value.contiguous() for key, value in state.items()})
    stream = io.BytesIO()
    torch.save({'state_dict': state, 'meta': {}}, stream)
    return stream.getvalue()
