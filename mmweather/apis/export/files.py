"""Writing a graph to a file, and checking the file against PyTorch."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from ...errors import ConfigError, DataError, MissingToolboxError
from ...utils.atomic import write_bytes
from ...utils.text import one_line
from .graphs import Graph, inference_graph
from .operators import traceable

#: Format by the ending of the file.
FORMATS = {'.onnx': 'onnx', '.pt2': 'torch'}
_OPSET = 20


def export_model(model: nn.Module, path: str | os.PathLike[str], height: int | None = None, width: int | None = None,
                 dynamic: bool = True, metadata: dict[str, str] | None = None) -> Graph:
    """Write a model's inference path (see :func:`inference_graph`) to a file.

    Args:
        model: restorer, detector or segmentor with its weights, on the CPU.
        path: ``.onnx``, or ``.pt2`` for ``torch.export``; written whole or not at all.
        height: of the example that is traced, and of every input where ``dynamic`` is off.
        width: likewise.
        dynamic: the file takes any height and width that fit the graph's ``multiple_of`` and ``minimum``.
        metadata: further facts for the file, such as the model's name.

    Returns:
        What was exported. The file's metadata repeats it as JSON under ``mmweather``.

    Raises:
        ConfigError: the ending is unknown, or the model has no exportable path.
        DataError: PyTorch cannot trace the model.
        MissingToolboxError: ``onnx`` and ``onnxscript`` are needed and not installed.
    """
    _check_path(Path(path))
    graph = inference_graph(model)
    write_program(graph, trace(graph, height, width, dynamic), path, metadata)
    return graph


def write_program(graph: Graph, program: ExportedProgram, path: str | os.PathLike[str],
                  metadata: dict[str, str] | None = None) -> None:
    """Write what :func:`trace` returned; as the second half of :func:`export_model`."""
    path = Path(path)
    _check_path(path)
    facts = json.dumps({'task': graph.task, 'inputs': graph.inputs, 'outputs': graph.outputs,
                        'multiple_of': graph.multiple_of, 'minimum': graph.minimum, 'classes': graph.classes,
                        **(metadata or {})})
    with _refused(graph), _quiet():
        data = _onnx_bytes(graph, program, facts) if path.suffix == '.onnx' else _torch_bytes(program, facts)
    write_bytes(path, data)


def _check_path(path: Path) -> None:
    if path.suffix not in FORMATS:
        raise ConfigError(f"'{path}': the ending says the format; give one of {', '.join(FORMATS)}")
    if FORMATS[path.suffix] == 'onnx':
        _need('onnx', 'onnxscript')


@contextlib.contextmanager
def _refused(graph: Graph) -> Iterator[None]:
    """What PyTorch cannot trace or translate, in one line."""
    try:
        yield
    except (RuntimeError, torch.onnx.errors.OnnxExporterError, torch._dynamo.exc.TorchDynamoException) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        name = type(graph.module.model).__name__
        raise DataError(f"{name} cannot be exported: {one_line(cause)[:300]}") from error


def trace(graph: Graph, height: int | None = None, width: int | None = None, dynamic: bool = True) -> ExportedProgram:
    """The graph as ``torch.export`` sees it.

    Args:
        graph: from :func:`inference_graph`.
        height: of the example; likewise ``width``.
        width: see ``height``.
        dynamic: leave height and width open. One image at a time.
    """
    inputs = graph.example(height, width)
    shapes: Any = None
    if dynamic:
        least = -(-graph.minimum // graph.multiple_of)
        sizes = [Dim(name, min=max(least, 2), max=2**16 // graph.multiple_of) for name in ('rows', 'columns')]
        if graph.multiple_of > 1:
            sizes = [graph.multiple_of * size for size in sizes]
        shapes = (tuple({2: sizes[0], 3: sizes[1]} for _ in inputs), )
    with _refused(graph), _quiet(), traceable(), torch.no_grad():
        return torch.export.export(_Positional(graph.module), inputs, dynamic_shapes=shapes, strict=False)


class _Positional(nn.Module):
    """One signature for all graphs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *images: torch.Tensor) -> Any:
        return self.module(*images)


def _onnx_bytes(graph: Graph, program: ExportedProgram, facts: str) -> bytes:
    result = torch.onnx.export(program, dynamo=True, input_names=list(graph.inputs), output_names=list(graph.outputs),
                               opset_version=_OPSET, verbose=False)
    assert result is not None
    proto = result.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = 'mmweather', facts
    return proto.SerializeToString()


def _torch_bytes(program: ExportedProgram, facts: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={'mmweather.json': facts})
    return buffer.getvalue()


def check_file(graph: Graph, path: str | os.PathLike[str], height: int | None = None, width: int | None = None,
               seed: int = 1) -> dict[str, float]:
    """Compare an exported file with PyTorch on a drawn image.

    Args:
        graph: what was exported.
        path: the file, ``.onnx`` or ``.pt2``.
        height: of the image, made to fit; likewise ``width``.
        width: see ``height``.
        seed: of the drawn image.

    Returns:
        Output -> largest difference, relative to its largest magnitude.

    Raises:
        MissingToolboxError: ``onnxruntime`` is needed and not installed.
    """
    inputs = graph.example(height, width, seed)
    with torch.no_grad():
        wanted = graph.module(*inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted, )
    if Path(path).suffix == '.onnx':
        _need('onnxruntime')
        import onnxruntime

        session = onnxruntime.InferenceSession(os.fspath(path), providers=['CPUExecutionProvider'])
        got = session.run(None, {name: image.numpy() for name, image in zip(graph.inputs, inputs, strict=True)})
    else:
        with torch.no_grad():
            result = torch.export.load(os.fspath(path)).module()(*inputs)
        got = [value.numpy() for value in (result if isinstance(result, tuple) else (result, ))]
    return {name: _difference(have, want.numpy()) for name, have, want in zip(graph.outputs, got, wanted, strict=True)}


def _difference(have: np.ndarray, want: np.ndarray) -> float:
    with np.errstate(invalid='ignore'):  # untrained detectors have boxes of infinite size
        distance = np.where(have == want, 0, np.abs(have - want))
    return float(distance.max() / max(np.abs(want[np.isfinite(want)]).max(initial=0), 1e-12))


def _need(*packages: str) -> None:
    import importlib.util

    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingToolboxError(f"{', '.join(missing)} not installed: pip install 'mmweather[export]'")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own insides."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
