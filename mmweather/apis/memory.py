"""How much memory a model will need for a picture, and how much there is: known before the model runs.

Small networks are run once more on tensors without data, of the size in question, and the bytes that live at the same
time are counted. Networks of thousands of small steps, or of many more steps on larger pictures, where that takes
longer than the work, are run on two small pictures, and the count is extended to the size in question.
"""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

from ..errors import ConfigError, DataError

Run = Callable[[int, int], Any]
"""Runs a model on zeros of a height and width, which it makes itself."""

SCREEN = 40_000
"""Bytes a pixel that no network of the package reaches: what fits by this count is not looked at more closely."""
_BASE = 48_000_000
"""Bytes that the libraries take when a model first runs at a size: threads, prepared kernels."""
_FEW_STEPS = 2500
_MOST_STEPS = 10_000
_SMALL = (128, 192)
_SUGGESTED = (768, 512, 384, 256, 128)
_FREE_VARIABLE = 'MMWEATHER_FREE_BYTES'


# What there is ------------------------------------------------------------------------------------------------------


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be taken on a device; None where it cannot be found out.

    On a CPU the least of what the system has, what the control group leaves and what ``ulimit -v`` leaves. The
    environment variable ``MMWEATHER_FREE_BYTES`` replaces the answer.

    Raises:
        ConfigError: that variable is not a number.
    """
    given = os.environ.get(_FREE_VARIABLE)
    if given:
        try:
            return int(float(given))
        except ValueError:
            raise ConfigError(f"{_FREE_VARIABLE}: give a number of bytes, such as 8e9, not '{given}'") from None
    if device.type == 'cuda':
        # What PyTorch keeps for later is free, too.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != 'cpu':
        return None
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    available = _field('/proc/meminfo', 'MemAvailable')
    if available is not None:
        yield available
    yield from _group_limits()
    with suppress(ImportError, OSError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = _field('/proc/self/status', 'VmSize')
        if soft != resource.RLIM_INFINITY and used is not None:
            yield max(soft - used, 0)


def _field(file: str, name: str) -> int | None:
    """Bytes of a line such as ``MemAvailable:  1024 kB``."""
    with suppress(OSError, ValueError):
        found = re.search(rf'^{name}:\s+(\d+) kB', Path(file).read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    return None


def _group_limits() -> Iterator[int]:
    """What the control groups of this process leave, versions 2 and 1; files that can be given back count as free."""
    with suppress(OSError):
        for line in Path('/proc/self/cgroup').read_text().splitlines():
            _, controllers, place = line.split(':', 2)
            if controllers not in ('', 'memory'):
                continue
            root = Path('/sys/fs/cgroup', controllers)
            limit, used, idle = (('memory.max', 'memory.current', 'inactive_file') if not controllers else
                                 ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'))
            own = root / place.lstrip('/')
            for folder in (own, *own.parents):
                if folder != root and root not in folder.parents:
                    break
                with suppress(OSError, ValueError):
                    most = int((folder / limit).read_text())
                    found = re.search(rf'^{idle} (\d+)', (folder / 'memory.stat').read_text(), re.MULTILINE)
                    spare = int(found[1]) if found else 0
                    yield max(most - int((folder / used).read_text()) + spare, 0)


# What is needed -----------------------------------------------------------------------------------------------------


class _ManySteps(Exception):
    """A run takes more steps than are to be followed."""


class PeakTracker(TorchDispatchMode):
    """Count of the bytes of tensors that live at the same time while it is active, and of what kernels add.

    Args:
        limit: number of operations after which it stops the run; None follows all.

    Attributes:
        peak: maximum so far in bytes.
        steps: operations so far.
    """

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self._limit = limit
        self.peak = self.steps = self._live = 0
        self._seen = WeakIdKeyDictionary()

    def _drop(self, size: int) -> None:
        self._live -= size

    def _add(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            size = storage.nbytes()
            self._seen[storage] = size
            self._live += size
            weakref.finalize(storage, self._drop, size)
        return tensor.numel() * tensor.element_size()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.steps += 1
        if self._limit is not None and self.steps > self._limit:
            raise _ManySteps
        made = sum(self._add(tensor) for tensor in tree_flatten(result)[0] if isinstance(tensor, Tensor))
        self.peak = max(self.peak, self._live + _workspace(func, args, made))
        return result


def _workspace(func: Any, args: Sequence[Any], made: int) -> int:
    """Bytes that a kernel needs beside its inputs and outputs."""
    name = func._schema.name.removeprefix('aten::')
    if name in ('convolution', 'conv2d', 'conv_transpose2d', 'mkldnn_convolution'):
        # On a CPU, oneDNN keeps blocked copies of both; cuDNN is given about as much.
        return made + args[0].numel() * args[0].element_size()
    if name == 'scaled_dot_product_attention' and not _is_fused(*args[:3]):
        # Scores and their softmax.
        query, key = args[:2]
        return 2 * query.numel() // query.shape[-1] * key.shape[-2] * query.element_size()
    return 0


def _is_fused(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether PyTorch has a kernel that stores no map of attention for these."""
    dense = all(tensor.stride(-1) == 1 for tensor in (query, key, value))
    same = query.shape[-1] == key.shape[-1] == value.shape[-1]
    return query.dim() == 4 and dense and (same or query.device.type != 'cpu')


def peak_without_data(run: Callable[[], Any], limit: int | None = None) -> int | None:
    """Bytes that a run would need, found on tensors without data.

    Args:
        run: makes its tensors itself.
        limit: maximum number of operations; see :class:`PeakTracker`.

    Returns:
        Bytes beside the model's own; None where the model cannot be run so. A model is followed until its results
        depend on data, as the boxes of a detector do.

    Raises:
        _ManySteps: the run takes more operations than ``limit``.
    """
    from torch._subclasses.fake_tensor import (
        DataDependentOutputException,
        DynamicOutputShapeException,
        FakeTensorMode,
    )

    tracker = PeakTracker(limit)
    log = logging.getLogger('torch._subclasses.fake_tensor')
    before, log.disabled = log.disabled, True  # what cannot be run so is not the user's concern
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), tracker:
            run()
    except (DataDependentOutputException, DynamicOutputShapeException):
        pass
    except _ManySteps:
        raise
    except Exception:  # noqa: BLE001  not every operation can be run so; then nothing is known
        return None
    finally:
        log.disabled = before
    return tracker.peak


class MemoryNeed:
    """Memory that a model needs by the size of its input, found once for each size.

    Args:
        by_fit: whether a network of many steps may be run on small pictures instead.
    """

    def __init__(self, by_fit: bool = True) -> None:
        self._known: dict[tuple[int, int], int | None] = {}
        self._line: tuple[float, float] | None = None
        self._untried = self._by_fit = by_fit

    def at(self, run: Run, height: int, width: int) -> int | None:
        """Bytes for a size, or None where they are not known.

        Args:
            run: the model on tensors of a size.
            height: of the size; see ``run``.
            width: of the size; see ``run``.
        """
        size = (height, width)
        if size not in self._known:
            peak = self._find(run, height, width)
            self._known[size] = None if peak is None else int(peak) + _BASE
        return self._known[size]

    def _find(self, run: Run, height: int, width: int) -> float | None:
        if self._untried:
            self._untried = False
            first = _small_run(run, _SMALL[0] // 2)
            if first is not None and first.steps > _FEW_STEPS:
                self._fit(run)
        if self._line is None:
            try:
                return peak_without_data(lambda: run(height, width), _MOST_STEPS if self._by_fit else None)
            except _ManySteps:  # their number grows with the size
                self._fit(run)
        if self._line is None:
            return peak_without_data(lambda: run(height, width))
        return self._line[0] + self._line[1] * height * width

    def _fit(self, run: Run) -> None:
        runs = [_small_run(run, side) for side in _SMALL]
        peaks, areas = [tracker.peak for tracker in runs if tracker is not None], [side**2 for side in _SMALL]
        if len(peaks) == len(areas):
            slope = (peaks[1] - peaks[0]) / (areas[1] - areas[0])
            self._line = peaks[0] - slope * areas[0], slope


def _small_run(run: Run, side: int) -> PeakTracker | None:
    tracker = PeakTracker()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), tracker:
            run(side, side)
    except Exception:  # noqa: BLE001  a size that the model does not take
        return None
    return tracker


# Both together ------------------------------------------------------------------------------------------------------

_needs: weakref.WeakKeyDictionary[nn.Module, dict[Any, MemoryNeed]] = weakref.WeakKeyDictionary()


def check_memory(model: nn.Module, kind: tuple[Any, ...], run: Run, size: tuple[int, int], count: int,
                 device: torch.device, remedy: Callable[[Callable[[int, int], bool]], str], beside: int = 0,
                 by_fit: bool = True) -> None:
    """Refuse a run for which there is not enough memory.

    Args:
        model: whose needs are kept.
        kind: what the needs depend on beside the size: number of pictures, precision.
        run: the model on tensors of a height and width, all pictures of a batch together.
        size: height and width that go through the model at a time.
        count: pictures that go through it together.
        device: where.
        remedy: the option that helps, for the message; it is given a function that tells whether a height and width
            would fit.
        beside: bytes that are needed beside the run.
        by_fit: see :class:`MemoryNeed`.

    Raises:
        DataError: the need is greater than what is free; with both, and the remedy.
        ConfigError: see :func:`free_memory`.
    """
    free = free_memory(device)
    if free is None or SCREEN * count * size[0] * size[1] + beside <= free:
        return
    needs = _needs.setdefault(model, {}).setdefault((*kind, count, device), MemoryNeed(by_fit))

    def fits(height: int, width: int) -> bool:
        need = needs.at(run, height, width)
        return need is None or need + beside <= free

    if fits(*size):
        return
    need = (needs.at(run, *size) or 0) + beside
    pictures = f'{count} pictures of' if count > 1 else 'a picture of'
    raise DataError(f'{pictures} {size[1]}x{size[0]} would need about {need / 1e9:.3g} GB of memory at once, '
                    f'{free / 1e9:.3g} GB are free; {remedy(fits)}')


def smaller_tiles(fits: Callable[[int, int], bool], below: int) -> str:
    """The remedy for networks that run in tiles: the largest usual tile that fits, or a smaller one.

    Args:
        fits: whether a height and width would fit.
        below: longer side of what does not fit.
    """
    side = next((side for side in _SUGGESTED if side < below and fits(side, side)), _SUGGESTED[-1])
    return f'use tiles (--tile {side}, or tile={side} in Python)'
