"""The memory of detectors and segmentors, checked before they run."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..memory import check_memory
from ..restore import autocast, device_of
from .loop import Task


def check_step(task: Task, data: dict[str, list[Any]], size: Sequence[int], dtype: str | None) -> None:
    """Refuse a batch that the memory is too small for.

    Args:
        task: with a model of mmdet or mmseg.
        data: ``inputs`` and ``data_samples``, as the model's ``test_step`` takes them.
        size: height and width of the pictures as given; the results have it.
        dtype: precision by name.

    Raises:
        DataError: see :func:`~mmweather.apis.memory.check_memory`.
    """
    model, device = task.model, device_of(task.model)
    shapes = tuple(tuple(tensor.shape) for tensor in data['inputs'])

    def run(height: int, width: int) -> Any:
        with autocast(dtype, device):
            samples = copy.deepcopy(data['data_samples'])
            return model.test_step({'inputs': list(data['inputs']), 'data_samples': samples})

    largest = max((tuple(size), *(shape[-2:] for shape in shapes)), key=lambda sides: sides[0] * sides[1])
    check_memory(model, (dtype, shapes, tuple(size)), run, (largest[0], largest[1]), len(shapes), device,
                 lambda fits: task.memory_mend, by_fit=False)
