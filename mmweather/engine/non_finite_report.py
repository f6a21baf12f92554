"""Why a loss or a gradient is not finite: what was checked, on which rank, and what it showed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor

from ..utils.finite import float_tensors, not_finite
from ..utils.text import shorten

_FILES = 8
# Weights that grew more than this, from at least 1, are reported as the cause.
_GROWTH = 100.


@dataclass
class Finding:
    """What one process found at the step that it refused; lists hold names.

    Attributes:
        rank: the process.
        losses: (iteration, value) of each loss that is not finite.
        loss: the last loss.
        gradients: parameters whose gradients are not finite.
        weights: parameters that are not finite.
        buffers: buffers that are not finite, such as the running statistics of batch norms.
        state: entries of the optimizers' state that are not finite.
        files: files of the batches whose loss or gradient was refused.
        bad_files: those of them whose sample holds values that are not finite.
        bad_batch: the batch holds values that are not finite.
        tensors: the number of tensors of the batch that were checked.
        largest: the largest absolute weight.
        first_largest: the largest absolute weight at the start of the run.
        rates: the learning rates.
        skipped: number of steps in a row that GradScaler skipped.
    """

    rank: int
    losses: list[tuple[int, float]] = field(default_factory=list)
    loss: float | None = None
    gradients: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    buffers: list[str] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    bad_files: list[str] = field(default_factory=list)
    bad_batch: bool = False
    tensors: int = 0
    largest: float = 0.
    first_largest: float = 0.
    rates: list[float] = field(default_factory=list)
    skipped: int = 0

    @property
    def guilty(self) -> bool:
        """Whether this process saw a loss or a gradient that is not finite."""
        return bool(self.losses or self.gradients)


def describe(findings: Sequence[Finding], optimizer: str, iteration: int) -> str:
    """Return the error of a refused step, in one line.

    Args:
        findings: of all processes; at least one is guilty.
        optimizer: its name, empty where there is one optimizer.
        iteration: of the refused step, from 1.
    """
    cause, remedy = _cause(findings)
    return f'{_event(findings, optimizer, iteration)}; {cause}; {_state(findings)}: {remedy}'


def _event(findings: Sequence[Finding], optimizer: str, iteration: int) -> str:
    which = f" of optimizer '{optimizer}'" if optimizer else ''
    losses = [(finding.rank, *loss) for finding in findings for loss in finding.losses[:1]]
    if losses:
        values = ', '.join(f'{value} on rank {rank}' for rank, _, value in losses)
        return f'loss{which} at iteration {losses[0][1]} is {values}'
    guilty = next(finding for finding in findings if finding.guilty)
    skipped = f' in {guilty.skipped} steps in a row, which GradScaler skipped' if guilty.skipped else ''
    value = '' if guilty.loss is None else f', the loss is {guilty.loss:.6g}'
    return f'gradients{which} at iteration {iteration} are not finite{skipped}: {shorten(guilty.gradients)}{value}'


def _cause(findings: Sequence[Finding]) -> tuple[str, str]:
    first = findings[0]
    rate = ', '.join(f'{value:g}' for value in sorted(set(first.rates))[:3])
    lower = f'lower the learning rate (optim_wrapper.optimizer.lr, now {rate})'
    weights, state = (_joined(findings, name) for name in ('weights', 'state'))
    files = _joined(findings, 'bad_files')
    if weights:
        return (f'weights are not finite since an earlier step: {shorten(weights)}',
                f'{lower} and continue from the last good checkpoint (--resume)')
    if any(finding.bad_batch for finding in findings):
        names = shorten(files or _joined(findings, 'files'), _FILES) or 'and names no files'
        return f'the batch holds values that are not finite: {names}', 'remove or fix these data and resume'
    images = shorten(_joined(findings, 'files'), _FILES)
    images = f'the batch holds {images}' if images else 'the batch names no files'
    if any(finding.tensors for finding in findings):
        images += ' (its values are finite)'
    if first.largest > _GROWTH * max(first.first_largest, 1.):
        return (f'the weights grew from max |w| = {first.first_largest:.3g} to {first.largest:.3g} with learning rate '
                f'{rate}; {images}',
                'lower the learning rate (optim_wrapper.optimizer.lr) and start again, or resume from a checkpoint '
                'before they grew')
    if state:
        return f'the optimizer state is not finite: {shorten(state)}; {images}', f'{lower} and resume'
    return images, f'look at these files, or {lower}, and resume'


def _state(findings: Sequence[Finding]) -> str:
    buffers = _joined(findings, 'buffers')
    if _joined(findings, 'weights'):
        return 'no step was taken'
    text = f'no step was taken, and the weights are finite (max |w| = {findings[0].largest:.3g})'
    return text + (f', but not {shorten(buffers)}' if buffers else '')


def _joined(findings: Sequence[Finding], name: str) -> list[str]:
    return list(dict.fromkeys(value for finding in findings for value in getattr(finding, name)))


def find_files(node: Any) -> list[str]:
    """Return the files that a batch names: metainfo keys of data samples, or keys of dicts, that end in ``_path``."""
    return sorted(set(_paths(node)))


def _paths(node: Any) -> Iterator[str]:
    if isinstance(node, BaseDataElement):
        node = node.metainfo
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(key, str) and key.endswith('_path'):
                yield from (str(v) for v in (value if isinstance(value, (list, tuple)) else [value]) if v is not None)
            elif isinstance(value, (dict, list, tuple, BaseDataElement)):
                yield from _paths(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _paths(value)


def check_batches(batches: Sequence[Any]) -> tuple[bool, int, list[str]]:
    """Check the values of batches.

    Args:
        batches: as the data loader yields them.

    Returns:
        Whether any value is not finite, the number of tensors checked, and the files of the samples that hold such
        values, where a list of the batch gives one entry for each sample.
    """
    bad, count, files = False, 0, []
    for batch in batches:
        plain = _plain(batch)
        faults = not_finite(float_tensors(plain))
        bad, count = bad or bool(faults), count + _count(plain)
        numbers = sorted({int(part) for name in faults for part in name.split('.') if part.isdigit()})
        samples = batch.get('data_samples') if isinstance(batch, dict) else None
        if isinstance(samples, (list, tuple)):
            files += find_files([samples[number] for number in numbers if number < len(samples)])
    return bad, count, files


def _plain(node: Any) -> Any:
    if isinstance(node, BaseDataElement):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_plain(value) for value in node]
    return node


def _count(node: Any) -> int:
    if isinstance(node, Tensor):
        return 1
    children: Iterable[Any] = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return sum(_count(child) for child in children)
