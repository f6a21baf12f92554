"""Speed of NiteDR's networks against the published code: same weights, same inputs, one process, taken in turns.

    git clone https://github.com/CidanShi/NiteDR-Nighttime-Image-De-raining /path/to/published
    python benchmarks/nitedr.py --published /path/to/published

Prints Markdown. The published code needs einops, and its stage-2 modules OpenCV; parts that cannot be imported are
left out with the reason. CPU seconds count all threads; on a machine that others use as well the least of the repeats
says more than the median.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections import defaultdict
from pathlib import Path

import torch
from _common import Call, difference, load, machine, measure, published_folder, roof, seconds
from torch import Tensor, nn

from mmweather.models.nitedr.cleannet import CleanNet
from mmweather.models.nitedr.fusion import LuminanceFusion
from mmweather.models.nitedr.refinement import IlluminationRefiner
from mmweather.models.nitedr.state_dict_adapter import drop_shared


def row(title: str, calls: dict[str, Call], repeats: int) -> dict[str, Tensor]:
    """Measure, and print a line of the table; the first call is the published code."""
    times, results = measure(calls, repeats)
    (first, other) = calls
    for kind in ('wall', 'cpu'):
        a, b = times[first][kind], times[other][kind]
        gap = f'{difference(results[other], results[first]):.1e}'
        print(f'| {title}, {kind} | {seconds(a)} | {seconds(b)} | {min(a) / min(b):.2f} | {gap} |', flush=True)
    return results


def step(network: nn.Module, x: Tensor, target: Tensor) -> Call:
    """One training step of the published recipe; gives loss and gradient norm."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=1e-4)

    def call() -> Tensor:
        network.train()
        optimizer.zero_grad()
        loss = (network(x) - target).abs().mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), 0.01)
        optimizer.step()
        return torch.stack((loss.detach(), norm))

    return call


def _kind_and_flops(name: str, shapes: list[list[int]]) -> tuple[str, float]:
    name = name.removeprefix('aten::')
    if name in ('mkldnn_convolution', '_slow_conv2d_forward', 'convolution_backward'):
        x, weight = (shapes[1], shapes[2]) if name == 'convolution_backward' else shapes[:2]
        kind = ('depthwise' if weight[1] == 1 else '1x1' if weight[2:] == [1, 1] else '3x3') + ' convolutions'
        # Backward makes two gradients at once, except of depthwise convolutions, where ours asks for one.
        gradients = 2 if name == 'convolution_backward' and not kind.startswith('depthwise') else 1
        return kind, 2.0 * gradients * x[0] * x[2] * x[3] * math.prod(weight)
    if name in ('addmm_', 'addmm', 'mm', 'bmm', 'baddbmm_'):
        a, b = shapes[1:3] if name.startswith(('addmm', 'baddbmm')) else shapes[:2]
        return 'matrix products', 2.0 * math.prod(a) * b[-1]
    if 'layer_norm' in name:
        return 'layer norms', 0
    if name in ('topk', 'scatter', 'gather', 'cumsum', 'exp', 'sort', 'linalg_vector_norm', 'scatter_'):
        return 'selection of scores, lengths', 0
    if name in ('add', 'add_', 'clamp_min', 'clamp_min_', 'relu', 'mul', 'mul_', 'threshold_backward', 'div', 'sum'):
        return 'sums, products, ReLUs', 0
    if name in ('copy_', 'cat', 'fill_', 'zero_', 'constant_pad_nd', 'empty', 'empty_strided'):
        return 'copies and memory', 0
    return 'everything else (views, dispatch)', 0


def breakdown(call: Call, title: str, peak: float) -> None:
    """Time by kind of operation, with the arithmetic rate where it is defined."""
    used = time.process_time()
    call()
    used = (time.process_time() - used) / torch.get_num_threads()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profile:
        call()
    spent, done = defaultdict(float), defaultdict(float)
    for event in profile.key_averages(group_by_input_shape=True):
        kind, flops = _kind_and_flops(event.key, event.input_shapes)
        spent[kind] += event.self_cpu_time_total / 1e6
        done[kind] += flops * event.count / 1e9
    total = sum(spent.values())
    # The profiler counts wall time, which other work on the machine stretches; its shares are put on the CPU time.
    spent = {kind: value * used / total for kind, value in spent.items()}
    total = used
    print(f'\n{title}: {total:.2f} CPU seconds a thread, {sum(done.values()):.0f} GFLOP counted, '
          f'{sum(done.values()) / total:.0f} GFLOP/s of {peak:.0f}\n')
    print('| part | CPU s a thread | share | GFLOP | GFLOP/s | of the roof |\n|---|---|---|---|---|---|')
    for kind, value in sorted(spent.items(), key=lambda item: -item[1]):
        rate = done[kind] / value if value else 0
        figures = f'{done[kind]:.1f} | {rate:.0f} | {rate / peak:.0%}' if done[kind] else '- | - | -'
        print(f'| {kind} | {value:.3f} | {value / total:.0%} | {figures} |')
    print(flush=True)


def cleannet(published: Path, args: argparse.Namespace, peak: float) -> None:
    """Forward, training step, bfloat16, and where the time goes."""
    torch.manual_seed(0)
    ours = CleanNet()
    theirs = load(published, 'basicsr/models/archs/CLformer_arch.py').CLformer()
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(1, 3, args.size, args.size)
    b, n = args.batch, args.train_size

    def forward(network: nn.Module, dtype: torch.dtype | None = None) -> Call:
        def call() -> Tensor:
            with torch.no_grad(), torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
                return network.eval()(x).float()

        return call

    print('\n| item, seconds as median (least) | published | ours | published / ours, least | max rel diff |')
    print('|---|---|---|---|---|')
    calls = {'published': forward(theirs), 'ours': forward(ours)}
    exact = row(f'CleanNet forward 1x3x{args.size}x{args.size}', calls, args.repeats)['ours']
    if args.train_repeats:
        pair = torch.rand(b, 3, n, n), torch.rand(b, 3, n, n)
        row(f'CleanNet training step {b}x3x{n}x{n}', {'published': step(theirs, *pair), 'ours': step(ours, *pair)},
            args.train_repeats)
        ours.load_state_dict(theirs.state_dict())
    stage_two(published, args)
    if not args.no_bf16:
        exact = forward(ours)()
        calls = {'float32': forward(ours), 'bfloat16': forward(ours, torch.bfloat16)}
        times, results = measure(calls, args.repeats)
        error = results['bfloat16'] - exact
        psnr = -10 * math.log10(max(error.square().mean().item(), 1e-20))
        print('\n| CleanNet forward, ours | float32 | bfloat16 autocast | ratio | max abs error | PSNR to float32 |')
        print('|---|---|---|---|---|---|')
        for kind in ('wall', 'cpu'):
            first, second = (times[name][kind] for name in calls)
            print(f'| {args.size}x{args.size}, {kind} | {seconds(first)} | {seconds(second)} | '
                  f'{min(first) / min(second):.2f} | {error.abs().max():.1e} | {psnr:.1f} dB |')
    breakdown(forward(ours), f'Forward {args.size}x{args.size}', peak)
    if args.train_repeats:
        breakdown(step(ours, *pair), f'Training step {b}x3x{n}x{n}', peak)


@torch.no_grad()
def stage_two(published: Path, args: argparse.Namespace) -> None:
    """Rows of the fusion network and of the refiner."""
    size = args.size
    try:
        dense, refine = load(published, 'Dense.py').DenseNet().eval(), load(published, 'refine.py').Refinement(3).eval()
    except ImportError as error:
        print(f'| stage 2 | left out: {error} | | | |')
        return
    fusion, refiner = LuminanceFusion().eval(), IlluminationRefiner(passes=3).eval()
    fusion.load_state_dict(dense.state_dict())
    refiner.load_state_dict(drop_shared(refine.state_dict()))
    visible, infrared = torch.rand(2, 1, 1, size, size).mul(2).sub(1).unbind()
    rgb, ycrcb = torch.rand(1, 3, size, size), torch.rand(1, 3, size, size) * 2 - 1

    def fixed(call: Call) -> Call:
        def without_gradients() -> Tensor:
            with torch.no_grad():
                return call()

        return without_gradients

    repeats = max(args.repeats, 5)
    row(f'fusion forward {size}x{size}', {'published': fixed(lambda: dense(visible, infrared)),
                                          'ours': fixed(lambda: fusion(visible, infrared))}, repeats)
    row(f'refiner, 3 passes, {size}x{size}', {'published': fixed(lambda: refine(rgb, ycrcb)[1][-1]),
                                              'ours': fixed(lambda: refiner(rgb, ycrcb).refined[-1])}, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--published', default=os.environ.get('MMWEATHER_PUBLISHED_NITEDR'), type=Path,
                        help='folder of the published code; default: environment variable MMWEATHER_PUBLISHED_NITEDR')
    parser.add_argument('--size', type=int, default=256, help='side of the image of the forward runs')
    parser.add_argument('--train-size', type=int, default=128, help='side of the crops of the training step')
    parser.add_argument('--batch', type=int, default=2, help='batch of the training step')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--train-repeats', type=int, default=2, help='0 leaves the training step out')
    parser.add_argument('--threads', type=int, default=0, help='0: the default of PyTorch')
    parser.add_argument('--no-bf16', action='store_true')
    args = parser.parse_args()
    args.published = published_folder(parser, args.published, 'basicsr/models/archs/CLformer_arch.py',
                                      'CidanShi/NiteDR-Nighttime-Image-De-raining')
    if args.threads:
        torch.set_num_threads(args.threads)
    peak = roof()
    print(machine(peak))
    cleannet(args.published, args, peak)
    print(f'load average {os.getloadavg()[0]:.1f} at the end')


if __name__ == '__main__':
    main()
