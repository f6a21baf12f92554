"""Time and memory of SSDIE-Net's semi-supervised step against the published code: same weights, same images, one run.

    git clone https://github.com/bartani/SSDIE-Net /path/to/published
    python benchmarks/ssdie_net.py --published /path/to/published --threads 1

Prints Markdown. Each row is measured in a process of its own, so that none finds the other's memory. The published
``train.train`` runs as it is, on the CPU: its VGG gets random weights and stays where it is, and its random numbers
are replaced by the same ones on both sides (no dropout, no latent noise, a fixed noise for the consistency term), so
that the gradients of the generator can be compared; they depend on every term and on the stepped critic. CPU seconds
count all threads; on a machine that others use as well they say more than wall seconds. Memory is the peak of the
process above what it holds before the step; a row that would take more than ``--limit`` GiB is stopped and said to.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import torch
from _common import machine, peak_memory, published_folder, restart_peak, roof, seconds
from torch import Tensor, nn
from tqdm import tqdm

SIZE = 256
ROWS = {
    'published': None,
    'ours': {},
    'ours, views restored twice': dict(recompute_views=True),
    'ours, all copies in one pass': dict(copies_per_pass=99),
}


def fixed_noise(like: Tensor, **_: object) -> Tensor:
    """In place of ``torch.randn_like``: one noise for images, none for features."""
    if like.shape[1] != 3:
        return torch.zeros_like(like)
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(7))


def vgg_features() -> nn.Sequential:
    """The convolutions of VGG-19 with random weights that keep the size of what passes."""
    from torchvision.models.vgg import cfgs, make_layers
    torch.manual_seed(5)
    network = make_layers(cfgs['E'])
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def images(batch: int, copies: int) -> dict[str, Tensor]:
    """One batch in [-1, 1]."""
    generator = torch.Generator().manual_seed(3)
    shapes = dict.fromkeys(('img', 'gt', 'unlabelled', 'pseudo_label'), (batch, 3, SIZE, SIZE))
    shapes |= dict.fromkeys(('gt_views', 'unlabelled_views'), (batch, copies, 3, SIZE, SIZE))
    return {name: torch.rand(shape, generator=generator) * 2 - 1 for name, shape in shapes.items()}


def published_step(folder: Path, args: argparse.Namespace, state: dict[str, dict]) -> tuple:
    """The published training loop over one batch; gives the step and the networks."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    # The code asks for a GPU at two places and for ImageNet weights at one.
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    from torchvision import models
    models.vgg19 = lambda **_: SimpleNamespace(features=vgg_features())
    import config
    import loss
    import train
    from models.discriminator import Discriminator
    from models.generator_model import UNET
    from models.MSFF import MultiScaleFeatureFusionNetwork
    config.K_augmented = args.copies
    networks = {'generator': UNET() if args.generator == 'unet' else MultiScaleFeatureFusionNetwork(),
                'critic': Discriminator(in_channels=3), 'dark': Discriminator(in_channels=1).eval()}
    for name, network in networks.items():
        network.load_state_dict(state[name])
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    optimizers = {name: torch.optim.Adam(networks[name].parameters(), lr=1e-4, betas=(0.5, 0.999))
                  for name in ('generator', 'critic')}
    given = images(args.batch, args.copies)
    views = [list(given[name].unbind(1)) for name in ('unlabelled_views', 'gt_views')]
    loader = [(*views, given['gt'], given['img'], given['unlabelled'], given['pseudo_label'])]
    terms = loss.BCE(), loss.L1(), loss.Perceptual(), loss.Style()
    scaler = torch.cuda.amp.GradScaler

    def step() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            train.train(networks['generator'], optimizers['generator'], scaler(), networks['critic'],
                        optimizers['critic'], scaler(), networks['dark'], loader, *terms)

    return step, networks


def our_step(args: argparse.Namespace, options: dict) -> tuple:
    """The same with the semi-supervised restorer."""
    from mmengine.config import Config
    from mmengine.optim import OptimWrapper, OptimWrapperDict

    from mmweather.registry import MODELS
    cfg = Config.fromfile(Path(__file__).parents[1] / 'configs/_base_/models/ssdie_net.py').model
    cfg.generator = (dict(type='mmweather.SandDustUNet', dropout=0.0) if args.generator == 'unet'
                     else dict(type='mmweather.MSFF'))
    cfg.update(noise_copies=args.copies, **options)
    torch.manual_seed(0)
    model = MODELS.build(cfg).train()
    wanted = model.vgg.features.state_dict()
    model.vgg.features.load_state_dict({key: value for key, value in vgg_features().state_dict().items()
                                        if key in wanted})

    class KeepGradients(OptimWrapper):
        def zero_grad(self, **kwargs: object) -> None:
            pass

    wrappers = OptimWrapperDict(**{
        name: KeepGradients(torch.optim.Adam(model.get_submodule(name).parameters(), lr=1e-4, betas=(0.5, 0.999)))
        for name in model.trained})
    given = images(args.batch, args.copies)

    def step() -> None:
        model.zero_grad()
        model.optimise(given, wrappers)

    return step, {name: model.get_submodule(name) for name in ('generator', 'critic', 'dark')}


def count_passes(networks: dict[str, nn.Module], counts: dict[str, int]) -> None:
    """Count the passes of every network from now on."""
    for name, network in networks.items():
        counts[name] = 0
        network.register_forward_hook(lambda *_, name=name: counts.update({name: counts[name] + 1}))


def measure(args: argparse.Namespace) -> None:
    """One row, in this process: figures on standard output, gradients in a file."""
    warnings.simplefilter('ignore')
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.limit:
        resource.setrlimit(resource.RLIMIT_DATA, (int(args.limit * 2**30), ) * 2)
    state = torch.load(args.state, map_location='cpu', weights_only=True)
    options = ROWS[args.row]
    step, networks = published_step(args.published, args, state) if options is None else our_step(args, options)
    for name, network in networks.items():
        network.load_state_dict(state[name])
    torch.randn_like = fixed_noise
    counts: dict[str, int] = {}
    count_passes(networks, counts)
    figures: dict[str, list[float]] = {'wall': [], 'cpu': []}
    for repeat in range(args.repeats):
        gc.collect()
        held = restart_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        figures['wall'].append(time.perf_counter() - wall)
        figures['cpu'].append(time.process_time() - cpu)
        if repeat == 0:
            memory, passes = peak_memory() - held, dict(counts)
            gradients = {key: parameter.grad.clone() for key, parameter in networks['generator'].named_parameters()}
            torch.save(gradients, args.result)
    print(json.dumps({**figures, 'memory': memory, 'passes': passes}))


def weights(generator: str) -> dict[str, dict]:
    """Fresh weights that both sides take; the attention is switched on."""
    from mmweather.models.ssdie_net.discriminator import SandDustDiscriminator
    from mmweather.models.ssdie_net.msff import MSFF
    from mmweather.models.ssdie_net.unet import SandDustUNet
    torch.manual_seed(0)
    network = SandDustUNet() if generator == 'unet' else MSFF()
    state = {'generator': network.state_dict(), 'critic': SandDustDiscriminator(3).state_dict(),
             'dark': SandDustDiscriminator(1).state_dict()}
    for key, value in state['generator'].items():
        if key.endswith('gamma'):
            value.fill_(0.5)
    return state


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Length of the difference of all gradients, relative to the length of the wanted ones."""
    gap = sum((found[key].double() - value.double()).square().sum() for key, value in wanted.items())
    return (gap / sum(value.double().square().sum() for value in wanted.values())).sqrt().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--published', default=os.environ.get('MMWEATHER_PUBLISHED_SSDIE_NET'), type=Path,
                        help='folder of the published code; default: environment variable '
                             'MMWEATHER_PUBLISHED_SSDIE_NET')
    parser.add_argument('--generator', choices=('unet', 'msff'), default='unet')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--copies', type=int, default=5, help='views and noisy copies (published: 5)')
    parser.add_argument('--repeats', type=int, default=1)
    parser.add_argument('--threads', type=int, default=0, help='0: the default of PyTorch')
    parser.add_argument('--limit', type=float, default=0, metavar='GIB',
                        help='memory that a row may take in all (default: 0, no limit)')
    parser.add_argument('--row', help=argparse.SUPPRESS)
    parser.add_argument('--state', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--result', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.published = published_folder(parser, args.published, 'instrument.py', 'bartani/SSDIE-Net')
    if args.row:
        measure(args)
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    print(machine(roof()))
    print(f'\nstep of {args.generator}, batch {args.batch}, {args.copies} copies, {SIZE}x{SIZE}, seconds as median '
          '(least)\n')
    print('| code | CPU s | wall s | of the published, CPU | memory GiB | passes of generator, critic, classifier | '
          'gradient, relative difference |\n|---|---|---|---|---|---|---|')
    first: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, 'state.pth')
        torch.save(weights(args.generator), state)
        for row in tqdm(ROWS, disable=None, leave=False):
            result = Path(folder, f'{len(row)}.pth')
            words = [sys.executable, Path(__file__).resolve(), '--published', args.published, '--generator',
                     args.generator, '--batch', args.batch, '--copies', args.copies, '--repeats', args.repeats,
                     '--threads', args.threads, '--limit', args.limit, '--row', row, '--state', state, '--result',
                     result]
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                                  env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''})
            if args.limit and any(word in done.stderr for word in ("can't allocate memory", 'MemoryError')):
                if not first:
                    sys.exit(f'{row}: more than {args.limit:g} GiB, and nothing to compare with: raise --limit')
                print(f'| {row} | more than {args.limit:g} GiB | | | | | |', flush=True)
                continue
            if done.returncode:
                sys.exit(f'{row}: status {done.returncode} {done.stderr[-2000:]}')
            figures = json.loads(done.stdout.splitlines()[-1])
            gradients = torch.load(result, weights_only=True)
            first = first or {**figures, 'gradients': gradients}
            print(f'| {row} | {seconds(figures["cpu"])} | {seconds(figures["wall"])} | '
                  f'{min(figures["cpu"]) / min(first["cpu"]):.2f} | {figures["memory"] / 2**30:.2f} | '
                  f'{", ".join(str(value) for value in figures["passes"].values())} | '
                  f'{distance(gradients, first["gradients"]):.1e} |', flush=True)
    print(f'\nload average {os.getloadavg()[0]:.1f} at the end')


if __name__ == '__main__':
    main()
