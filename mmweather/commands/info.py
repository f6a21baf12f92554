"""``mmweather info``: size, cost and results of one model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import MMWeatherError

if TYPE_CHECKING:
    import torch

    from ..apis.model_index import ModelEntry

HELP = 'show parameters, multiplications, sizes, status and results of a model'
EXAMPLE = """
mmweather info nitedr_cleannet_2xb4-300k_roadscene-rain
mmweather info configs/nitedr/nitedr_cleannet_2xb4-300k_roadscene-rain.py
"""
_SIDE = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', help='a name from `mmweather list`, or the path of a config file')


def run(args: argparse.Namespace) -> int:
    """Print what is known and what can be counted; a model that cannot be built here says why."""
    from ..apis.model_index import find_entry, get_model, load_config

    config = load_config(args.model)
    rows: list[tuple[str, str]] = []
    entry = None if config.filename == args.model else find_entry(args.model)
    if entry is not None:
        rows += [('model', entry.name), ('method', entry.collection), ('status', entry.status)]
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


def _count(model: torch.nn.Module) -> list[tuple[str, str]]:
    parts = [(name, _parameters(part)) for name, part in model.named_children()]
    detail = ', '.join(f'{name} {_short(count)}' for name, count in parts if count)
    rows = [('parameters', f'{_short(_parameters(model))} ({detail})' if detail else _short(_parameters(model)))]
    contract = getattr(model, 'inference_contract', None)
    if contract is not None:
        rows.append(('inputs', ', '.join(contract.inputs)))
        rows.append(('sizes', f'padded to multiples of {contract.multiple_of}, at least {contract.minimum}; '
                              f'tiling {contract.tiling}'))
        rows.append(('multiply-adds', _multiply_adds(model, contract)))
    return rows


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _multiply_adds(model: torch.nn.Module, contract: Any) -> str:
    """Count one forward pass without computing it: on the meta device, tensors have shapes only."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    side = -(-max(_SIDE, contract.minimum) // contract.multiple_of) * contract.multiple_of
    images = {name: torch.zeros(1, 3, side, side, device='meta') for name in contract.inputs}
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            model.to('meta')(images, mode='tensor')
    except Exception as error:  # some operators have no shape-only version
        return f"not countable: {' '.join(str(error).split())[:100]}"
    return f'{_short(counter.get_total_flops() // 2)} at {side} x {side} (convolutions and matrix products)'


def _published(entry: ModelEntry) -> list[tuple[str, str]]:
    rows = [(f'  {key}', str(value)) for key, value in entry.metadata.items()]
    rows = [('metadata', ''), *rows] if rows else []
    for result in entry.results:
        metrics = ', '.join(f'{key} {value}' for key, value in (result.get('Metrics') or {}).items())
        rows.append(('result', f"{result.get('Task', '?')} on {result.get('Dataset', '?')}: {metrics}"))
    if not entry.results:
        rows.append(('result', 'none measured'))
    rows.append(('weights', entry.weights or 'none published by this project'))
    return rows


def _short(count: int) -> str:
    for unit, size in (('G', 10**9), ('M', 10**6), ('k', 10**3)):
        if count >= size:
            return f'{count / size:.2f} {unit}'
    return str(count)
