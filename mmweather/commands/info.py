"""``mmweather info``: size, cost and results of one model."""

from __future__ import annotations

import argparse
import inspect
from typing import TYPE_CHECKING, Any

from ..errors import MMWeatherError
from ..methods import input_of, methods
from ..utils.text import one_line

if TYPE_CHECKING:
    import torch

    from ..apis.hub import ModelEntry

HELP = 'show parameters, multiplications, sizes, status, results and weights of a model'
EXAMPLE = """
mmweather info nitedr_cleannet_2xb4-300k_roadscene-rain
mmweather info configs/nitedr/nitedr_cleannet_2xb4-300k_roadscene-rain.py
"""
_SIDE, _SHOWN = 256, 8
_TILING = {
    'shared': 'shared: every tile uses what one pass measures on the whole image, so no seam shows',
    'approximate': 'approximate: tiles differ from the whole image and a seam may show; --tile none avoids it',
    'never': 'never: whole images only',
}
# What tools/model_converters/shrink.py writes into the head of weights.
_FACTS = ('config', 'purpose', 'seed', 'data', 'source', 'commit', 'scores', 'precision', 'left_out')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', help='a name or alias from `mmweather list`, or the path of a config file')


def run(args: argparse.Namespace) -> int:
    """Print what is known and what can be counted; a model that cannot be built here says why."""
    from ..apis.hub import entry_of, get_model, load_config

    config = load_config(args.model)
    rows: list[tuple[str, str]] = []
    entry = entry_of(args.model)
    if entry is not None:
        rows += [('model', entry.name), *([('alias', entry.alias)] if entry.alias else []),
                 ('method', _method(entry.collection)), ('status', entry.status),
                 *([('on real photos', entry.real_photos)] if entry.real_photos else [])]
    rows.append(('config', str(config.filename)))
    try:
        rows += _count(get_model(config))
    except MMWeatherError as error:
        rows.append(('parameters', f'not counted: {error}'))
    if entry is not None:
        rows += _published(entry)
    width = max(len(key) for key, _ in rows)
    for key, value in rows:
        print(f'{key:<{width}}  {value}')
    return 0


def _method(title: str) -> str:
    """Title and purpose of a method; the title alone for collections that are none."""
    purpose = next((method.purpose for method in methods().values() if method.title == title), '')
    return f'{title}: {purpose}' if purpose else title


def _count(model: torch.nn.Module) -> list[tuple[str, str]]:
    from ..apis.inferencer import task_of

    parts = [(name, _parameters(part)) for name, part in model.named_children()]
    detail = ', '.join(f'{name} {_short(count)}' for name, count in parts if count)
    rows = [('parameters', f'{_short(_parameters(model))} ({detail})' if detail else _short(_parameters(model)))]
    try:
        task = task_of(model)
    except MMWeatherError as error:
        return [*rows, ('task', f'not known: {error}')]
    rows += [('task', task.name), ('inputs', ', '.join(f'{name} ({input_of(name).label})' for name in task.inputs))]
    classes = getattr(task, 'classes', None)
    if classes:
        rows.append(('classes', f"{len(classes)}: {', '.join(classes[:_SHOWN])}{', ...' * (len(classes) > _SHOWN)}"))
    if task.name == 'restore':
        contract = model.inference_contract
        multiple, minimum = contract.multiple_of, contract.minimum
        tiling = f'; tiling {_TILING.get(contract.tiling, contract.tiling)}'
    else:
        preprocessor = getattr(model, 'data_preprocessor', None)
        divisor = getattr(preprocessor, 'pad_size_divisor', None) or getattr(preprocessor, 'size_divisor', None)
        multiple, minimum, tiling = divisor or 1, getattr(preprocessor, 'minimum_size', 1), ''
    rows.append(('sizes', f'padded to multiples of {multiple}, at least {minimum}{tiling}'))
    side = -(-max(_SIDE, minimum) // multiple) * multiple
    return [*rows, ('multiply-adds', _multiply_adds(model, task, side))]


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _shapes(model: Any, task: Any, side: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs of one forward pass by name."""
    from ..apis.restore import bands_of

    channels = {name: input_of(name).channels for name in task.inputs}
    if task.name == 'restore':
        channels |= {'img': bands_of(model)}
        return {name: (1, channels[name], side, side) for name in task.inputs}
    return {'img': (1, sum(channels[name] for name in task.inputs), side, side)}


def _multiply_adds(model: Any, task: Any, side: int) -> str:
    """Count one forward pass without computing it: fake tensors have shapes only."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), counter:
            images = {name: torch.zeros(shape) for name, shape in _shapes(model, task, side).items()}
            if 'mode' not in inspect.signature(model.forward).parameters:
                model(*images.values())
            else:
                model(images if task.name == 'restore' else images['img'], mode='tensor')
    except Exception as error:  # some operators have no shape-only version
        return f"not countable: {one_line(error)[:100]}"
    return f'{_short(counter.get_total_flops() // 2)} at {side} x {side} (convolutions and matrix products)'


def _published(entry: ModelEntry) -> list[tuple[str, str]]:
    from ..utils.checkpoint import read_metadata

    rows = [(f'  {key}', str(value)) for key, value in entry.metadata.items()]
    rows = [('metadata', ''), *rows] if rows else []
    for result in entry.results:
        metrics = ', '.join(f'{key} {value}' for key, value in (result.get('Metrics') or {}).items())
        rows.append(('result', f"{result.get('Task', '?')} on {result.get('Dataset', '?')}: {metrics}"))
    if not entry.results:
        rows.append(('result', 'none measured'))
    file = entry.weights_file
    if file is not None:
        rows.append(('weights', f'{entry.weights}, {file.stat().st_size / 1e6:.2f} MB'))
        rows += [(f'  {key}', str(value)) for key, value in read_metadata(file).items() if key in _FACTS]
    elif entry.weights is not None:
        rows.append(('weights', entry.weights if '://' in entry.weights else f'{entry.weights}, which is missing'))
    else:
        rows.append(('weights', 'none published by this project'))
    return rows


def _short(count: int) -> str:
    for unit, size in (('G', 10**9), ('M', 10**6), ('k', 10**3)):
        if count >= size:
            return f'{count / size:.2f} {unit}'
    return str(count)
