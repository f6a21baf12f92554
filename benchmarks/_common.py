"""What the benchmarks share: loading the published code, comparing, peak memory, the machine."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import math
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

Call = Callable[[], Tensor]
Times = dict[str, dict[str, list[float]]]


def load(folder: Path, name: str) -> ModuleType:
    """A module of the published code, whose own imports are found beside it."""
    path = folder / name
    spec = importlib.util.spec_from_file_location(f'published_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def difference(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest value but at least to 1."""
    return ((a - b).abs().max() / max(1.0, b.abs().max().item())).item()


def seconds(values: list[float]) -> str:
    """Median and, if there are several, the least."""
    return f'{statistics.median(values):.3g}' + (f' ({min(values):.3g})' if len(values) > 1 else '')


def roof(size: int = 2048) -> float:
    """GFLOP/s of a square float32 matrix product, the best of ten, by CPU seconds so that other work does not count."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    best = math.inf
    for _ in range(10):
        start = time.process_time()
        a @ b
        best = min(best, time.process_time() - start)
    return 2 * size**3 / best / 1e9 * torch.get_num_threads()


def machine(peak: float) -> str:
    """One line on what the figures were measured with; ``peak`` is that of :func:`roof`."""
    return (f'torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()} '
            f'{torch.backends.cpu.get_cpu_capability()}, float32 matrix product {peak:.0f} GFLOP/s, '
            f'load average {os.getloadavg()[0]:.1f} at the start')


def _status(file: str, key: str) -> int | None:
    """A field of a Linux status file, bytes."""
    try:
        lines = Path(file).read_text(encoding='ascii').splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f'{key}:')), None)


def peak_memory() -> int:
    """Largest resident set of this process so far, bytes.

    On Linux from ``/proc``: the peak that getrusage gives to a child process starts at that of its parent.
    """
    peak = _status('/proc/self/status', 'VmHWM')
    if peak is None:
        # Linux counts in KiB, macOS in bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)
    return peak


def free_memory() -> int | None:
    """Memory that can be taken without swapping, bytes; None where the system does not say."""
    return _status('/proc/meminfo', 'MemAvailable')


def restart_peak() -> int:
    """Let :func:`peak_memory` start anew where the system can do that; gives the resident set at this moment, bytes."""
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5', encoding='ascii')
    held = _status('/proc/self/status', 'VmRSS')
    return peak_memory() if held is None else held


def measure(calls: dict[str, Call], repeats: int, warm: bool = True) -> tuple[Times, dict[str, Tensor]]:
    """Run the calls in turns, with ``warm`` once before it counts.

    Gives wall and CPU seconds of each repeat, and the results of the first round.
    """
    times: Times = {name: {'wall': [], 'cpu': []} for name in calls}
    results: dict[str, Tensor] = {}
    for round_ in range(-int(warm), repeats):
        for name, call in calls.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            result = call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            results.setdefault(name, result)
            if round_ >= 0:
                times[name]['wall'].append(wall)
                times[name]['cpu'].append(cpu)
    return times, results


def published_folder(parser: argparse.ArgumentParser, folder: Path | None, marker: str, repository: str) -> Path:
    """The folder of the published code; without one the benchmark, which only compares, ends with a line.

    Args:
        parser: for the message about a wrong folder.
        folder: what the user gave, or None.
        marker: a file that tells the published code.
        repository: where it is on GitHub.
    """
    if folder is None:
        print(f'left out: it compares with the published code; clone {repository} and give its folder (--published)')
        raise SystemExit(0)
    if not (folder / marker).is_file():
        parser.error(f'--published {folder}: not the published code; clone {repository} and name its folder')
    return folder.resolve()
