"""Speed of HeatNet against the published code: same weights, same inputs, one process, taken in turns.

    git clone https://github.com/JohanVer/heatnet /path/to/published
    python benchmarks/heatnet.py --published /path/to/published --threads 1

Prints Markdown: the forward pass, and an iteration of each training phase of the README's recipe (two streams, thermal
teacher, one critic). Training of ours is measured twice: with its defaults, and with the switches that make it compute
what the published loop computes, by which the values are compared. CPU only: the published code is run with its calls
of the GPU taken out. On a machine that others use as well the least of the CPU seconds says most.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from _common import Call, difference, machine, measure, published_folder, roof, seconds
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from torch import Tensor, nn

import mmweather.registry  # noqa: F401  before a toolbox is imported
from mmweather.models.adaptation.domain_adversarial import DomainAdversarial
from mmweather.models.heatnet.pspnet import HeatNetPSPNet
from mmweather.models.heatnet.segmentor import HeatNet
from mmweather.models.heatnet.state_dict_adapter import mmseg_keys


def published_network(folder: Path) -> Any:
    """The published student with one critic, built on the CPU."""
    # Gone from torchvision; nothing is downloaded.
    torchvision.models.resnet.load_state_dict_from_url = None
    sys.path.insert(0, str(folder))
    cuda = nn.Module.cuda
    nn.Module.cuda = lambda self, *_: self
    try:
        build = importlib.import_module('models.conf_segnet').conv_segnet
        teacher = importlib.import_module('models.build_net').build_network(None, 'resnet50', 1, False)
        student = build(pretrained=False, disc_arch='cyclegan', num_critics=1, modalities='rgb_ir', arch='pspnet',
                        late_fusion=True)
    finally:
        nn.Module.cuda = cuda
        sys.path.remove(str(folder))
    return without_dropout(student), without_dropout(teacher)


def without_dropout(module: nn.Module) -> nn.Module:
    """Dropout draws cannot agree, so there are none."""
    for part in module.modules():
        if isinstance(part, nn.Dropout2d):
            part.p = 0.
    return module


def batch(size: int, height: int, width: int) -> dict[str, Tensor]:
    shape = (size, 4, height, width)
    return {'day': torch.rand(shape) * 2 - 1, 'night': torch.rand(shape) * 2 - 1,
            'label': torch.randint(0, 13, (size, height, width))}


def published_step(student: nn.Module, teacher: nn.Module, data: dict[str, Tensor], phase: str) -> Call:
    """One iteration as the published loop goes: both networks and all losses in either phase."""
    teacher.train()
    optimizer = torch.optim.RMSprop(student.parameters(), lr=1e-4)

    def call() -> Tensor:
        student.train()
        student.setPhase(phase)
        optimizer.zero_grad()
        out = student(list(data['day'].split((3, 1), 1)), list(data['night'].split((3, 1), 1)))
        with torch.no_grad():
            judged = teacher(data['night'][:, 3:])[0].softmax(1)
        first, second = out['critics_a'][0], out['critics_b'][0]
        critic = F.mse_loss(first, torch.ones_like(first)) + F.mse_loss(second, torch.zeros_like(second))
        loss = critic
        if phase == 'train_seg':
            certain = judged.softmax(1).amax(1)
            night = F.cross_entropy(out['pred_label_b'], judged.argmax(1), reduction='none')
            scale = F.interpolate((1 - certain)[:, None], first.shape[2:], mode='bilinear').mean()
            confusion = (F.mse_loss(first, torch.zeros_like(first)) + F.mse_loss(second, torch.ones_like(second)))
            loss = (F.cross_entropy(out['pred_label_a'], data['label']) + (certain * night).mean()
                    + 0.01 * scale * confusion)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call


def our_step(state: dict[str, Tensor], critic: dict[str, Tensor], teacher: dict[str, Tensor], data: dict[str, Tensor],
             phase: str, published: bool) -> Call:
    """Return one iteration of ours."""
    from mmseg.structures import SegDataSample

    model = HeatNet(dict(type='mmweather.HeatNetEncoder'), dict(type='mmweather.HeatNetPSPHead'),
                    published_certainty=published, published_teacher_mode=published)
    model.load_state_dict(mmseg_keys(state))
    network = without_dropout(HeatNetPSPNet(1, 0))
    network.load_state_dict(teacher)
    model.set_teacher(network)
    without_dropout(model).train()
    whole = DomainAdversarial(model, dict(
        in_channels=[13], loss_weight=0.01, published_certainty_mean=published,
        initial_critic_iters=int(phase == 'train_critic'), critic_iters=0)).train()
    whole.critics[0].load_state_dict(critic)
    wrapper = build_optim_wrapper(whole, dict(
        constructor='mmweather.DomainAdversarialOptim', optimizer=dict(type='mmengine.RMSprop', lr=1e-4)))
    whole.message_hub.update_info('iter', 0)
    samples = []
    for domain in ('day', 'night'):
        for label in data['label']:
            samples.append(SegDataSample(metainfo=dict(domain=domain)))
            if domain == 'day':
                samples[-1].gt_sem_seg = PixelData(data=label[None])
    inputs = torch.cat((data['day'], data['night']))

    def call() -> Tensor:
        log = whole.train_step(dict(inputs=inputs, data_samples=samples), wrapper)
        return log['loss' if phase == 'train_seg' else 'loss_critic']

    return call


def rows(title: str, calls: dict[str, Call], repeats: int, same: str) -> None:
    """Print wall and CPU seconds of each call; the first is the published code, ``same`` must give its values."""
    times, results = measure(calls, repeats, warm=False)
    gap = difference(results[same], results['published'])
    for kind in ('wall', 'cpu'):
        least = {name: min(value[kind]) for name, value in times.items()}
        cells = [seconds(value[kind]) for value in times.values()]
        cells += ['-'] * (3 - len(cells))
        print(f'| {title}, {kind} | {" | ".join(cells)} | {least["ours"] / least["published"]:.2f} | {gap:.1e} |',
              flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--published', default=os.environ.get('MMWEATHER_PUBLISHED_HEATNET'), type=Path,
                        help='folder of the published code; default: environment variable MMWEATHER_PUBLISHED_HEATNET')
    parser.add_argument('--size', type=int, nargs=2, default=(320, 704), help='height and width of the forward run')
    parser.add_argument('--train-size', type=int, nargs=2, default=(64, 96), help='height and width of the iterations')
    parser.add_argument('--batch', type=int, default=2, help='images of each domain in an iteration')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=0, help='0: the default of PyTorch')
    args = parser.parse_args()
    args.published = published_folder(parser, args.published, 'models/conf_segnet.py', 'JohanVer/heatnet')
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    student, teacher = published_network(args.published)
    state = {key: value.clone() for key, value in student.trgb_segnet.state_dict().items()}
    critic = {key: value.clone() for key, value in student.critics[0].state_dict().items()}
    judge = {key: value.clone() for key, value in teacher.state_dict().items()}
    print(machine(roof()) + '\n')
    print('| item, seconds as median (least) | published | ours | ours, published switches | ours / published, least | '
          'max rel diff |\n|---|---|---|---|---|---|')
    ours = HeatNetPSPNet()
    ours.load_state_dict(state)
    image = torch.rand(1, 4, *args.size) * 2 - 1

    def forward(network: nn.Module) -> Call:
        def call() -> Tensor:
            with torch.no_grad():
                return network.eval()(*image.split((3, 1), 1))[0]

        return call

    rows(f'forward 1x(3+1)x{args.size[0]}x{args.size[1]}',
         {'published': forward(student.trgb_segnet), 'ours': forward(ours)}, args.repeats, 'ours')
    data = batch(args.batch, *args.train_size)
    shape = f'{args.batch}+{args.batch} of {args.train_size[0]}x{args.train_size[1]}'
    for phase, title in (('train_seg', 'segmentation iteration'), ('train_critic', 'critic iteration')):
        student.trgb_segnet.load_state_dict(state)
        student.critics[0].load_state_dict(critic)
        teacher.load_state_dict(judge)
        rows(f'{title} {shape}', {
            'published': published_step(student, teacher, data, phase),
            'ours': our_step(state, critic, judge, data, phase, published=False),
            'ours, published switches': our_step(state, critic, judge, data, phase, published=True),
        }, args.repeats, 'ours, published switches')
    print(f'\nload average {os.getloadavg()[0]:.1f} at the end')


if __name__ == '__main__':
    main()
