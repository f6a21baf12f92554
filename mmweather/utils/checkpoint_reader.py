"""The guarded reader of PyTorch files: nothing of a file is run, and forged content ends in one line."""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import re
import threading
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .safe_types import Array, Refused, rebuilt, stand_ins

# Named in a refusal, these mean malice rather than carelessness.
_RUNS_CODE = frozenset(f'builtins.{name}' for name in ('eval', 'exec', 'compile', '__import__', 'getattr', 'open'))
_DEPTH = 100
# What may exceed the file: a small tensor that was saved expanded.
_SLACK = 64 * 2**20
# C recursion of a tuple's hash has no limit of its own.
_TUPLES = 500
_PUTS, _GETS = frozenset({'PUT', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE'}), frozenset({'GET', 'BINGET', 'LONG_BINGET'})
_NESTING = frozenset({'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3', 'REDUCE', 'NEWOBJ', 'BUILD'})
_LOCK = threading.RLock()


class Inert:
    """Stands for an object of a class that is not loaded; takes whatever the file gives it and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_pickled(file: Path, map_location: Any, tensors_only: bool) -> Any:
    """Read a PyTorch file with ``weights_only=True``.

    Args:
        file: the file.
        map_location: as of :func:`torch.load`.
        tensors_only: leave out objects of unknown classes instead of refusing the file.

    Raises:
        CheckpointError: the file is damaged, forged, or would need code to be run.
    """
    archive = _check_archive(file)
    inert: dict[str, Any] = {}
    while True:
        try:
            with _only({**stand_ins(), **inert}):
                # The mapping bounds every tensor by the file; else PyTorch believes the length that the file states.
                checkpoint = torch.load(file, map_location=map_location, weights_only=True, mmap=archive)
            return _Checked(file.stat().st_size, archive).value(checkpoint)
        except pickle.UnpicklingError as error:
            name = _refused_global(error)
            if name is None:
                raise _damaged(file) from None
            blocked = 'is blocked' in str(error)
            if blocked or not tensors_only or name in inert:
                fix = ('do not use the file' if blocked or name in _RUNS_CODE else
                       'ask for a plain state dict, or take the tensors alone: mmweather convert --tensors-only')
                raise CheckpointError(f"{file}: refused, it holds code ('{name}'); loading stopped before anything of "
                                      f'it ran; {fix}') from None
            inert[name] = type('Inert', (Inert, ), {})
        except Refused as error:
            raise CheckpointError(f'{file}: refused, {error}; loading stopped before anything of it ran; '
                                  'do not use the file') from None
        except Exception as error:  # damaged bytes make the reader raise anything
            if 'TorchScript' in str(error):
                raise CheckpointError(f'{file}: is a TorchScript program, not weights; '
                                      'save model.state_dict()') from None
            raise CheckpointError(f'{file}: {_what_it_is(file)} ({first_line(error)}); download or save it '
                                  'again') from None


@contextlib.contextmanager
def _only(allowed: Mapping[str, Any]) -> Iterator[None]:
    """Put ``allowed`` on PyTorch's list for the block, in place of what stands there under these names.

    Classes of the user's own stay on it. PyTorch's distributed types, which it lists when they are imported, do not:
    a file could open a process group by them. The list is of the process, hence the lock; after the block it is as
    before.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # on protocols and old storages, before the line that says what is wrong
        before = torch.serialization.get_safe_globals()
        others = [item for item in before if _global_name(item) not in allowed
                  and not _global_name(item).startswith('torch.')]
        torch.serialization.clear_safe_globals()
        try:
            torch.serialization.add_safe_globals([*others, *((kind, name) for name, kind in allowed.items())])
            yield
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(before)


def _global_name(item: Any) -> str:
    return item[1] if isinstance(item, tuple) else f'{item.__module__}.{item.__qualname__}'


def _check_archive(file: Path) -> bool:
    """Whether the file is a zip archive, as all newer checkpoints are; its records must be stored and fit the file."""
    with file.open('rb') as stream:
        if stream.read(4) != b'PK\x03\x04':
            stream.seek(0)
            # Magic number, protocol, machine, content, keys of the storages; then the storages themselves.
            _check_pickles(file, stream, 5)
            return False
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _damaged(file) from None
    if any(record.filename.endswith('/constants.pkl') for record in records):
        raise CheckpointError(f'{file}: is a TorchScript program, not weights; save model.state_dict()')
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise CheckpointError(f'{file}: refused, its records are compressed, which PyTorch never does; unpack it and '
                              'save it with torch.save, or do not use the file')
    if sum(record.file_size for record in records) > file.stat().st_size:
        raise CheckpointError(f'{file}: refused, its records are said to be larger than the file; download it again, '
                              'or do not use the file')
    with zipfile.ZipFile(file) as archive:
        for record in records:
            if record.filename.endswith('data.pkl'):
                _check_pickles(file, io.BytesIO(archive.read(record)), 1)
    return True


def _check_pickles(file: Path, stream: IO[bytes], count: int) -> None:
    """Read the opcodes of pickles and refuse tuples nested so deep that hashing one overflows the C stack."""
    try:
        for _ in range(count):
            start = stream.tell()
            if not stream.read(1):
                return
            stream.seek(start)
            if _tuple_depth(stream) > _TUPLES:
                raise CheckpointError(f'{file}: refused, it holds tuples nested more than {_TUPLES} levels deep; '
                                      'do not use the file')
    except CheckpointError:
        raise
    except Exception:  # noqa: BLE001  damaged bytes make the parser raise anything
        raise _damaged(file) from None


def _tuple_depth(stream: IO[bytes]) -> int:
    """Largest depth of tuples in tuples of one pickle; what is built from a tuple counts as one."""
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    deepest = 0
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name == 'MARK':
            marks.append(len(stack))
        elif name in _PUTS:
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif name in _GETS:
            stack.append(memo[int(argument or 0)])
        else:
            before = opcode.stack_before
            sliced = pickletools.markobject in before
            start = marks.pop() if sliced else len(stack)
            start -= before.index(pickletools.markobject) if sliced else len(before)
            if start < 0:
                raise ValueError('the stack is empty')
            depth = 1 + max(stack[start:], default=0) if name in _NESTING else 0
            del stack[start:]
            stack.extend([depth] * len(opcode.stack_after))
            deepest = max(deepest, depth)
    return deepest


class _Checked:
    """A walk over what a file held: stand-ins become arrays, mapped tensors become ordinary ones.

    Args:
        size: of the file in bytes.
        mapped: tensors on the CPU still lie in the file's mapping.
    """

    def __init__(self, size: int, mapped: bool) -> None:
        self.limit, self.mapped = size + _SLACK, mapped
        self._storages: dict[tuple[int, int], torch.UntypedStorage] = {}
        self._heights: dict[int, int] = {}
        # The old tuple is kept with the new one: its id must stay its own.
        self._values: dict[int, tuple[Any, Any]] = {}

    def value(self, root: Any) -> Any:
        """Check everything below ``root`` and return it.

        Raises:
            Refused: it is nested too deep, holds itself, or holds a tensor or an array that nobody saves.
        """
        # Iterative, and every container once: nesting of any depth and shared parts cost no stack and no time.
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            node, done = stack.pop()
            if done:
                self._finish(node)
            elif isinstance(node, (Mapping, list, tuple)):
                height = self._heights.get(id(node))
                if height is None:
                    self._heights[id(node)] = 0  # until its children are done
                    _bare(node)
                    stack.append((node, True))
                    stack.extend((child, False) for child in _children(node))
                elif height == 0:
                    raise Refused('it holds itself')
            elif isinstance(node, Tensor):
                self._tensor(node)
            elif isinstance(node, (bytes, bytearray)) and len(node) > self.limit:
                raise Refused('it holds more bytes than the file')
        return self._new(root)

    def _finish(self, node: Any) -> None:
        """Close a container whose children are all closed."""
        height = 1 + max((self._heights.get(id(child), 0) for child in _children(node)), default=0)
        if height > _DEPTH:
            raise Refused(f'it is nested more than {_DEPTH} levels deep')
        self._heights[id(node)] = height
        if isinstance(node, tuple):
            items = [self._new(item) for item in node if not isinstance(item, Inert)]
            if len(items) != len(node) or any(new is not old for new, old in zip(items, node, strict=True)):
                self._values[id(node)] = node, tuple(items)
        elif isinstance(node, list):
            node[:] = [self._new(item) for item in node if not isinstance(item, Inert)]
        else:
            for key, item in list(node.items()):
                if isinstance(item, Inert):
                    del node[key]
                else:
                    node[key] = self._new(item)

    def _new(self, item: Any) -> Any:
        return rebuilt(item) if isinstance(item, Array) else self._values.get(id(item), (None, item))[1]

    def _tensor(self, tensor: Tensor) -> None:
        if type(tensor) not in (Tensor, torch.nn.Parameter):
            raise Refused(f'it holds a tensor of the class {type(tensor).__name__}')
        vars(tensor).clear()
        kind = ('meta' if tensor.is_meta else 'quantised' if tensor.is_quantized else 'nested' if tensor.is_nested else
                'sparse' if tensor.layout != torch.strided else None)
        if kind is not None:
            raise Refused(f'it holds a {kind} tensor; weights are dense')
        if tensor.numel() * tensor.element_size() > self.limit:
            raise Refused(f'it holds a tensor of shape {tuple(tensor.shape)}, which is larger than the file')
        if self.mapped and tensor.device.type == 'cpu':
            storage = tensor.untyped_storage()
            place = storage.data_ptr(), storage.nbytes()
            if place not in self._storages:
                self._storages[place] = storage.clone()
            elif self._storages[place].data_ptr() == place[0]:
                return
            fresh = torch.empty(0, dtype=tensor.dtype)
            fresh.set_(self._storages[place], tensor.storage_offset(), tensor.size(), tensor.stride())
            tensor.data = fresh


def _bare(node: Any) -> None:
    """Remove what a file may set on a dict, such as another ``items``; the versions of modules are kept."""
    found = getattr(node, '__dict__', None)
    if found:
        versions = found.get('_metadata')
        found.clear()
        if isinstance(versions, dict) and all(isinstance(value, dict) for value in versions.values()):
            node._metadata = versions


def _children(node: Any) -> Iterator[Any]:
    return iter(node.values() if isinstance(node, Mapping) else node)


def _refused_global(error: Exception) -> str | None:
    found = re.search(r'GLOBAL ([^\s]+)', str(error))
    if found is None:
        return None
    # PyTorch leaves out the module of built-in names in its message.
    return found[1] if '.' in found[1] else f'builtins.{found[1]}'


def _damaged(file: Path) -> CheckpointError:
    return CheckpointError(f'{file}: {_what_it_is(file)}; download or save it again')


def _what_it_is(file: Path) -> str:
    with file.open('rb') as stream:
        head = stream.read(16).lstrip()
    if head.startswith(b'PK'):
        return 'a PyTorch checkpoint that is cut short or damaged'
    if head[:1] == b'<':
        return 'a web page, not a checkpoint (a download that needs a login?)'
    return 'not a PyTorch checkpoint, or damaged'


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
