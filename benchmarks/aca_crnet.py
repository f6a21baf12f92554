"""Time and memory of ACA-CRNet against the published code: same weights, same inputs, one run.

    git clone https://github.com/huangwenwenlili/ACA-CRNet /path/to/published
    python benchmarks/aca_crnet.py --published /path/to/published --threads 1

Prints Markdown. Every figure comes from a process of its own, the published code and ours in turns, so that neither
finds the other's memory. Of the published code, what would not fit into the free memory is estimated and left out;
without --published ours is measured alone. Maps of up to 4096 positions run once to warm up and --repeats times,
larger ones once. CPU seconds count all threads; on a machine that others use as well they say more than wall seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _common import difference, free_memory, machine, peak_memory, restart_peak, roof, seconds
from torch import Tensor, nn
from tqdm import tqdm

import mmweather
from mmweather.models.aca_crnet.attention import AttentiveContextualAttention
from mmweather.models.aca_crnet.network import ACACRNet

CHANNELS = 256
# Maps of positions times positions that the published code holds at once: measured for the attention (see
# benchmarks/README.md); a training step of the network keeps six of its first attention while the second one runs.
PUBLISHED_MAPS = {('attention', False): 5, ('attention', True): 7, ('network', False): 5, ('network', True): 13}
SMALL = 4096
NAMES = {'attention': 'aca_crnet/ac_attention_256', 'network': 'aca_crnet/rice_3to3'}
Item = tuple[str, int, bool]


def positions(item: Item) -> int:
    """Positions of the map that is attended: that of the network has half the side of the image."""
    part, side, _ = item
    return (side // 2)**2 if part == 'network' else side**2


def work(item: Item) -> float:
    """About the multiply-adds, so that the short rows come first."""
    part, side, train = item
    products = 2 * CHANNELS * positions(item)**2
    total = 2 * products + 17.5e6 * side**2 if part == 'network' else products
    return total * (3.5 if train else 1)


def title(item: Item) -> str:
    part, side, train = item
    if part == 'attention':
        return f'attention, N = {side**2}, forward{" and backward" if train else ""}'
    return f'network {side}x{side}, {"training step" if train else "forward"}'


def published_network(part: str, folder: Path) -> nn.Module:
    """The published class with fresh weights; it talks while it is built."""
    sys.path.insert(0, str(folder))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            if part == 'network':
                return importlib.import_module('models.ACA_CRNet').ACA_CRNet(3, 3)
            return importlib.import_module('models.ca').ConAttn(CHANNELS, CHANNELS)
    finally:
        sys.path.remove(str(folder))


def fresh(part: str, folder: Path | None) -> nn.Module:
    """A network whose weights both sides take."""
    torch.manual_seed(0)
    if folder is not None:
        return published_network(part, folder)
    return ACACRNet() if part == 'network' else AttentiveContextualAttention(CHANNELS)


def call_of(item: Item, network: nn.Module) -> Callable[[], Tensor]:
    """What is measured; it returns what is compared."""
    part, side, train = item
    generator = torch.Generator().manual_seed(1)
    if part == 'attention':
        x = torch.randn(1, CHANNELS, side, side, generator=generator).relu_()
        probe = torch.randn(CHANNELS, 1, 1, generator=generator)

        def attend() -> Tensor:
            network.zero_grad()
            leaf = x.detach().requires_grad_(train)
            with torch.set_grad_enabled(train):
                out = network(leaf)
            if train:
                (out * probe).mean().backward()
                # Both as large as the other, so that the comparison sees both.
                return torch.cat((out.detach(), leaf.grad * out.detach().abs().max() / leaf.grad.abs().max()))
            return out

        return attend
    image = torch.rand(1, 3, side, side, generator=generator) * 2 - 1
    if not train:
        return torch.no_grad()(lambda: network(image))
    target = torch.rand(1, 3, side, side, generator=generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=7e-5)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = ((torch.tanh(network(image)) + 1) / 2 - target).abs().mean()
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
        optimizer.step()
        return torch.stack((loss.detach(), norm))

    return step


def measure(item: Item, published: Path | None, state: Path, repeats: int, result: Path) -> None:
    """One side of one row, in this process: times and memory on standard output, the compared tensor in a file."""
    weights = torch.load(state, map_location='cpu', weights_only=True)
    if published is None:
        network = mmweather.from_official(NAMES[item[0]], weights)
    else:
        network = published_network(item[0], published)
        network.load_state_dict(weights)
    del weights
    call = call_of(item, network)
    gc.collect()
    before = restart_peak()
    wall, cpu = [], []
    warm = positions(item) <= SMALL
    for round_ in range(-int(warm), repeats if warm else 1):
        start = time.perf_counter(), time.process_time()
        out = call()
        spent = time.perf_counter() - start[0], time.process_time() - start[1]
        if round_ == -int(warm):
            torch.save(out, result)
        if round_ >= 0:
            wall.append(spent[0])
            cpu.append(spent[1])
    print(json.dumps(dict(wall=wall, cpu=cpu, peak=peak_memory(), rise=peak_memory() - before)))


def in_a_process(item: Item, published: Path | None, state: Path, args: argparse.Namespace, result: Path) -> dict:
    """:func:`measure` in a fresh interpreter."""
    task = dict(item=item, published=published and str(published), state=str(state), repeats=args.repeats,
                result=str(result))
    command = [sys.executable, '-W', 'ignore', __file__, '--task', json.dumps(task)]
    done = subprocess.run([*command, '--threads', str(args.threads)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        # Killed by the system for want of memory, as a rule.
        return dict(failed=f'ended with status {done.returncode}')
    return json.loads(done.stdout.splitlines()[-1])


def gib(value: float) -> str:
    return f'{value / 2**30:.3g}'


def row(item: Item, states: dict[str, Path], args: argparse.Namespace, folder: Path) -> tuple[str, int | None]:
    """A line of the table, and by how much our memory rose."""
    theirs = dict(failed='-')
    if args.published is not None:
        need = PUBLISHED_MAPS[item[0], item[2]] * 4 * positions(item)**2
        free = free_memory() if args.free is None else args.free * 2**30
        if free is not None and need > 0.9 * free:
            theirs = dict(failed=f'needs about {gib(need)} GiB, {gib(free)} are free')
        else:
            theirs = in_a_process(item, args.published, states[item[0]], args, folder / 'theirs.pt')
    ours = in_a_process(item, None, states[item[0]], args, folder / 'ours.pt')
    if 'failed' in ours:
        return f'| {title(item)} | | | ours: {ours["failed"]} | | | |', None
    cells = [f'{seconds(ours["cpu"])}, wall {seconds(ours["wall"])}', f'{gib(ours["rise"])} of {gib(ours["peak"])}']
    if 'failed' in theirs:
        return f'| {title(item)} | {theirs["failed"]} | {cells[0]} | | | {cells[1]} | |', ours['rise']
    gap = difference(*(torch.load(folder / name, weights_only=True) for name in ('ours.pt', 'theirs.pt')))
    return (f'| {title(item)} | {seconds(theirs["cpu"])}, wall {seconds(theirs["wall"])} | {cells[0]} | '
            f'{min(theirs["cpu"]) / min(ours["cpu"]):.2f} | {gib(theirs["rise"])} of {gib(theirs["peak"])} | '
            f'{cells[1]} | {gap:.1e} |'), ours['rise']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--published', default=os.environ.get('MMWEATHER_PUBLISHED_ACA_CRNET'), type=Path,
                        help='folder of the published code; default: environment variable '
                             'MMWEATHER_PUBLISHED_ACA_CRNET')
    parser.add_argument('--maps', type=int, nargs='*', default=[64, 128, 256],
                        help='sides of the maps of the attention')
    parser.add_argument('--images', type=int, nargs='*', default=[128, 256], help='sides of the images, forward; 512 '
                        'takes some minutes')
    parser.add_argument('--train-images', type=int, nargs='*', default=[128], help='the same, training step')
    parser.add_argument('--repeats', type=int, default=2)
    parser.add_argument('--threads', type=int, default=0, help='0: the default of PyTorch')
    parser.add_argument('--free', type=float, help='memory that the published code may take, GiB (what is free)')
    parser.add_argument('--task', type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.task:
        task = args.task
        measure(tuple(task['item']), task['published'] and Path(task['published']), Path(task['state']),
                task['repeats'], Path(task['result']))
        return
    if args.published is not None and not (args.published / 'models/ACA_CRNet.py').is_file():
        parser.error(f'--published {args.published}: not the published code; clone huangwenwenlili/ACA-CRNet and name '
                     'its folder')
    items = [('attention', side, train) for side in args.maps for train in (False, True)]
    items += [('network', side, True) for side in args.train_images]
    items += [('network', side, False) for side in args.images]
    print(machine(roof()))
    print('\n| item | published, CPU s | ours, CPU s | published / ours | published, GiB above the start of peak '
          '| ours, GiB | max rel diff |\n|---|---|---|---|---|---|---|', flush=True)
    rises = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        states = {part: folder / f'{part}.pt' for part in NAMES}
        for part, file in states.items():
            torch.save(fresh(part, args.published).state_dict(), file)
        for item in tqdm(sorted(items, key=work), unit='row', disable=None):
            line, rises[item] = row(item, states, args, folder)
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
    print('\nOurs, KiB above the start for each position of the attended map:')
    for item, rise in rises.items():
        if rise is not None:
            print(f'* {title(item)}: {rise / 1024 / positions(item):.1f}')
    print(f'\nload average {os.getloadavg()[0]:.1f} at the end')


if __name__ == '__main__':
    main()
