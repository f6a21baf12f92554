"""Speed of TogetherNet against the published code and mmdet's YOLOX-s: same weights, same inputs, taken in turns.

    git clone https://github.com/yz-wang/TogetherNet /path/to/published
    OMP_NUM_THREADS=1 python benchmarks/togethernet.py --published /path/to/published

Prints Markdown. CPU seconds count all threads; on a machine that others use as well the least of the repeats says more
than the median.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from _common import Call, measure, seconds
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmweather.models.togethernet.state_dict_adapter import convert
from mmweather.registry import MODELS

CLASSES = 5


class Pair:
    """Stands for the batch of foggy and clear images that the published forward cuts in two in training mode.

    The cut is written there as four and four; this gives the two parts whatever their number is.
    """

    def __init__(self, foggy: Tensor, clear: Tensor) -> None:
        self.parts = foggy, clear

    def split(self, sizes: Any, dim: int = 0) -> tuple[Tensor, Tensor]:
        return self.parts


def published_modules(folder: Path) -> tuple[ModuleType, ModuleType]:
    """The published network and loss."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module('nets.yolo'), importlib.import_module('nets.yolo_training')
    finally:
        sys.path.remove(str(folder))


def report(title: str, calls: dict[str, Call], repeats: int, same: tuple[str, str]) -> None:
    """Measure, and print a line for each call, with its ratio to the published code and to YOLOX-s."""
    times, results = measure(calls, repeats)
    spent = {name: values['cpu'] for name, values in times.items()}
    least = {name: min(values) for name, values in spent.items()}
    for name, values in spent.items():
        ratios = [f'{least[name] / least[other]:.2f}' if other in least else '-' for other in ('published', 'YOLOX-s')]
        print(f'| {title} | {name} | {seconds(values)} | {" | ".join(ratios)} |', flush=True)
    if set(same) <= set(results):
        a, b = (results[name] for name in same)
        gap = ((a - b).abs().max() / b.abs().max()).item()
        print(f'| | | greatest difference of {same[0]} and {same[1]}, relative to the largest value: {gap:.1e} | | |')


def yolox() -> nn.Module:
    """mmdet's YOLOX-s."""
    norm = dict(norm_cfg=dict(type='BN', momentum=0.03, eps=0.001), act_cfg=dict(type='Swish'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(dict(
            type='mmdet.YOLOX', data_preprocessor=None,
            backbone=dict(type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.5, **norm),
            neck=dict(type='mmdet.YOLOXPAFPN', in_channels=[128, 256, 512], out_channels=128, num_csp_blocks=1, **norm),
            bbox_head=dict(type='mmdet.YOLOXHead', num_classes=CLASSES, in_channels=128, feat_channels=128, **norm),
            train_cfg=dict(assigner=dict(type='mmdet.SimOTAAssigner', center_radius=2.5)),
            test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.65))))


def networks(published: Path | None) -> tuple[nn.Module, nn.Module, nn.Module | None, nn.Module | None]:
    """Ours, YOLOX-s, and the published network and loss, with one set of weights."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmweather'):
        ours = MODELS.build(dict(type='mmweather.TogetherNet', arch='s', num_classes=CLASSES, data_preprocessor=None,
                                 backbone=dict(dtfe=dict(dropout=0.0))))
    plain = yolox()
    if published is None:
        return ours, plain, None, None
    network, training = published_modules(published)
    theirs = network.YoloBody(CLASSES, 's')
    training.weights_init(theirs)
    for module in theirs.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    ours.load_state_dict(convert(theirs.state_dict()))
    plain.load_state_dict({key: value for key, value in ours.state_dict().items() if key in plain.state_dict()})
    return ours, plain, theirs, training.YOLOLoss(CLASSES)


def samples(batch: int, size: int, clear: Tensor | None) -> list[Any]:
    """Three boxes an image, in mmdet's structures."""
    from mmdet.structures import DetDataSample
    generator = torch.Generator().manual_seed(1)
    result = []
    for i in range(batch):
        corner = torch.rand(3, 2, generator=generator) * size * 0.6
        boxes = torch.cat((corner, corner + size * (0.1 + 0.25 * torch.rand(3, 2, generator=generator))), 1)
        sample = DetDataSample(metainfo=dict(img_shape=(size, size)))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2, 4]))
        if clear is not None:
            sample.clean_img = clear[i]
        result.append(sample)
    return result


def stepper(network: nn.Module, loss: Callable[[], Tensor]) -> Call:
    """One step of the published optimizer; gives the loss."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.937, nesterov=True)

    def call() -> Tensor:
        network.train()
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return value.detach().reshape(1)

    return call


def forward_rows(args: argparse.Namespace, batch: int, nets: tuple) -> None:
    """Networks without decoding of boxes and suppression, which are the same for all."""
    ours, plain, theirs, _ = nets
    x = torch.randn(batch, 3, args.size, args.size)

    def run(call: Callable[[], Any]) -> Call:
        def timed() -> Tensor:
            with torch.no_grad():
                return call()
        return timed

    def flat(maps: tuple) -> Tensor:
        return torch.cat([torch.cat((b, o, c), 1).flatten() for c, b, o in zip(*maps, strict=True)])

    def both() -> Tensor:
        features = ours.backbone(x)
        ours.restoration_head(features)
        return flat(ours.bbox_head(ours.neck(features)))

    calls = {}
    if theirs is not None:
        calls['published'] = run(lambda: torch.cat([m.flatten() for m in theirs.eval()(x)[0]]))
    calls['YOLOX-s'] = run(lambda: flat(plain.eval()(x)))
    calls['ours'] = run(lambda: flat(ours.eval()(x)))
    calls['ours, restored image too'] = run(both)
    report(f'forward {batch}x3x{args.size}x{args.size}', calls, args.repeats, ('ours', 'published'))


def training_rows(args: argparse.Namespace, batch: int, nets: tuple) -> None:
    """Forward, losses, backward and optimizer."""
    ours, plain, theirs, loss = nets
    x, clear = (torch.randn(batch, 3, args.size, args.size) for _ in range(2))
    given, without = samples(batch, args.size, clear), samples(batch, args.size, None)
    calls = {}
    if theirs is not None:
        from torchvision.ops import box_convert
        targets = [torch.cat((box_convert(s.gt_instances.bboxes, 'xyxy', 'cxcywh'),
                              s.gt_instances.labels[:, None].float()), 1) for s in given]

        def published() -> Tensor:
            maps, restored = theirs(Pair(x, clear))
            return 0.2 * loss(maps, targets) + 0.8 * nn.functional.mse_loss(restored, clear)

        calls['published'] = stepper(theirs, published)
    calls['YOLOX-s'] = stepper(plain, lambda: sum(plain.loss(x, without).values()))
    calls['ours'] = stepper(ours, lambda: sum(ours.loss(x, given).values()))
    report(f'training step {batch}x3x{args.size}x{args.size}', calls, args.train_repeats, ('ours', 'published'))


def breakdown(ours: nn.Module, size: int) -> None:
    """CPU seconds of the forward by part."""
    spent: dict[str, float] = defaultdict(float)
    started: dict[str, float] = {}

    def before(name: str) -> Any:
        return lambda *_: started.__setitem__(name, time.process_time())

    def after(name: str) -> Any:
        return lambda *_: spent.__setitem__(name, spent[name] + time.process_time() - started[name])

    parts = {'backbone': ours.backbone, 'of it: deformable convolution': ours.backbone.dtfe.deform,
             'of it: transformer': ours.backbone.dtfe.csp, 'neck': ours.neck, 'head': ours.bbox_head,
             'decoder': ours.restoration_head}
    parts.update({f'neck: bottleneck {i + 1}': block for i, block in enumerate(ours.neck.calibrated)})
    handles = [hook for name, part in parts.items() for hook in
               (part.register_forward_pre_hook(before(name)), part.register_forward_hook(after(name)))]
    x, rounds = torch.randn(1, 3, size, size), 3
    ours.eval()
    with torch.no_grad():
        for turn in range(rounds + 1):
            if turn == 1:
                spent.clear()
            features = ours.backbone(x)
            ours.bbox_head(ours.neck(features))
            ours.restoration_head(features)
    for hook in handles:
        hook.remove()
    print('\n| part of the forward | CPU seconds |\n|---|---|')
    for name in parts:
        print(f'| {name} | {spent[name] / rounds:.3f} |')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--published', type=Path, help='checkout of the published code; left out without')
    parser.add_argument('--size', type=int, default=640, help='side of the images (%(default)s)')
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 2], help='batch sizes')
    parser.add_argument('--repeats', type=int, default=5, help='of the forward, after one to warm up')
    parser.add_argument('--train-repeats', type=int, default=2, help='of the training step; 0 leaves it out')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    nets = networks(args.published)
    print(f'torch {torch.__version__}, {torch.get_num_threads()} thread(s)\n')
    print('| item | network | CPU seconds, median (least) | of published | of YOLOX-s |\n|---|---|---|---|---|')
    for batch in args.batches:
        forward_rows(args, batch, nets)
    for batch in args.batches if args.train_repeats else ():
        training_rows(args, batch, nets)
    breakdown(nets[0], args.size)


if __name__ == '__main__':
    main()
