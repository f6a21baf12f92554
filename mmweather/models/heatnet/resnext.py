"""HeatNet's other segmentor: a pre-activation ResNeXt with atrous pyramid pooling (``--arch custom``)."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from mmweather.errors import ConfigError
from mmweather.registry import MODELS


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(channels), act=nn.ReLU()))


def _conv3(in_channels: int, out_channels: int, **options: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=options.get('dilation', 1), bias=False, **options)


class PreActivationBlock(nn.Module):
    """Grouped bottleneck with norm and ReLU before each convolution; the first 1x1 carries the stride.

    Args:
        in_channels: channels of the input.
        width: channels inside; twice as many leave.
        stride: of the first convolution.
        dilation: of the 3x3.
        groups: of the 3x3.
    """

    def __init__(self, in_channels: int, width: int, stride: int = 1, dilation: int = 1, groups: int = 64) -> None:
        super().__init__()
        self.bn1 = _norm_act(in_channels)
        self.convs = nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(in_channels, width, 1, stride, bias=False),
            bn2=_norm_act(width),
            conv2=_conv3(width, width, dilation=dilation, groups=groups),
            bn3=_norm_act(width),
            conv3=nn.Conv2d(width, 2 * width, 1, bias=False)))
        self.proj_conv = None
        if stride != 1 or in_channels != 2 * width:
            self.proj_conv = nn.Conv2d(in_channels, 2 * width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 2 width, ceil(h / stride), ceil(w / stride)), not activated."""
        active = self.bn1(x)
        shortcut = x if self.proj_conv is None else self.proj_conv(active)
        return self.convs(active) + shortcut


def _module(in_channels: int, width: int, blocks: int, stride: int, dilation: int, groups: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(
        (f'block{i + 1}', PreActivationBlock(2 * width if i else in_channels, width, 1 if i else stride, dilation,
                                             groups)) for i in range(blocks)))


def _stem(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(
        conv1=_conv3(in_channels, width, stride=2), bn1=_norm_act(width),
        conv2=_conv3(width, width), bn2=_norm_act(width),
        conv3=_conv3(width, width), pool=nn.MaxPool2d(3, 2, 1)))


def _fuse(in_channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(
        conv1=_conv3(in_channels, in_channels), bn1=_norm_act(in_channels),
        conv2=_conv3(in_channels, in_channels), bn2=_norm_act(in_channels),
        conv3=_conv3(in_channels, classes),
        up=nn.ConvTranspose2d(classes, classes, 8, 4, 2, bias=False)))


def _head(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv1=nn.Conv2d(channels, classes, 1, bias=False), bn1=_norm_act(classes)))


@MODELS.register_module()
class HeatNetResNeXt(nn.Module):
    """Pre-activation ResNeXt-50 at stride 8 with atrous pyramid pooling and a skip from its first module.

    Args:
        in_channels: channels of the first stream: 3 for RGB, 1 for thermal, 4 for early fusion.
        thermal_channels: channels of the second stream (late fusion); 0 for one stream.
        num_classes: channels of the logits.
        blocks: blocks of the four modules.
        width: channels of the stem; the modules have 2, 4, 8 and 16 times as many inside.
        groups: groups of the 3x3 convolutions.
        pyramid: channels of each branch of the pyramid.
        certainty: add the certainty head; for one stream only.

    Raises:
        ConfigError: a certainty head with two streams, which the published network has no shapes for.
    """

    def __init__(self, in_channels: int = 3, thermal_channels: int = 1, num_classes: int = 13,
                 blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64, groups: int = 64, pyramid: int = 256,
                 certainty: bool = False) -> None:
        super().__init__()
        if certainty and thermal_channels:
            raise ConfigError('HeatNetResNeXt: certainty=True needs one stream; set thermal_channels=0 and in_channels '
                              'to the sum (early fusion)')
        self.mod1 = _stem(in_channels, width)
        self.mod2_1 = _module(width, 2 * width, blocks[0], 1, 1, groups)
        if thermal_channels:
            self.mod1_2 = _stem(thermal_channels, width)
            self.mod2_2 = _module(width, 2 * width, blocks[0], 1, 1, groups)
        self.two_streams = bool(thermal_channels)
        skip = 4 * width * (2 if thermal_channels else 1)
        self.mod3_1 = _module(skip, 4 * width, blocks[1], 2, 1, groups)
        self.mod4_1 = _module(8 * width, 8 * width, blocks[2], 1, 2, groups)
        self.mod5_1 = _module(16 * width, 16 * width, blocks[3], 1, 4, groups)
        self.bn_out_1 = _norm_act(32 * width)
        self.aspp = ASPP(32 * width, [12, 24, 36], pyramid)
        self.aspp.project = self.aspp.project[:3]  # the published pyramid has no dropout
        self.score = _head(pyramid, num_classes)
        self.up_seg_2 = nn.ConvTranspose2d(num_classes, num_classes, 4, 2, 1, bias=False)
        self.fuse_seg = _fuse(skip + num_classes, num_classes)
        self.certainty = certainty
        if certainty:
            self.score_cert = _head(pyramid, 1)
            self.up_seg_2_cert = nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False)
            self.fuse_seg_cert = _fuse(skip + 1, 1)

    def features(self, *images: Tensor) -> list[Tensor]:
        """Deepest first: pyramid, modules 4, 3 (stride 8), 2 and pooled stem (stride 4)."""
        if len(images) != 1 + self.two_streams:
            raise ValueError(f'{1 + self.two_streams} image(s) wanted, got {len(images)}')
        stem = self.mod1(images[0])
        first = self.mod2_1(stem)
        if self.two_streams:
            thermal = self.mod1_2(images[1])
            stem, first = torch.cat((stem, thermal), 1), torch.cat((first, self.mod2_2(thermal)), 1)
        second = self.mod3_1(first)
        third = self.mod4_1(second)
        return [self.aspp(self.bn_out_1(self.mod5_1(third))), third, second, first, stem]

    @staticmethod
    def _decode(score: Tensor, skip: Tensor, up: nn.Module, fuse: nn.Module) -> Tensor:
        # Sides that 8 does not divide: the doubled score is up to one pixel larger than the skip.
        score = up(score)[..., :skip.shape[2], :skip.shape[3]]
        return fuse(torch.cat((score, skip), 1))

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Segment.

        Args:
            *images: one tensor a stream, (B, C, H, W): RGB, then thermal.

        Returns:
            Logits (B, classes, 4 ceil(H / 4), 4 ceil(W / 4)); the critics' inputs: the logits, the pyramid beside the
            pooled skip, modules 4, 3, 2 and the pooled stem; where there is a certainty head, its map
            (B, 1, ...) in [0, 1].
        """
        pyramid, third, second, first, stem = self.features(*images)
        logits = self._decode(self.score(pyramid), first, self.up_seg_2, self.fuse_seg)
        deepest = torch.cat((pyramid, F.adaptive_avg_pool2d(first, pyramid.shape[2:])), 1)
        outputs = logits, [logits, deepest, third, second, first, stem]
        if not self.certainty:
            return outputs
        return *outputs, self._decode(self.score_cert(pyramid), first, self.up_seg_2_cert, self.fuse_seg_cert).sigmoid()
