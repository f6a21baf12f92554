"""Two-stream PSPNet, HeatNet's segmentation network (Vertens et al., IROS 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.registry import MODELS


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 residual block; the 3x3 carries the stride and the dilation."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + identity)


def _layer(in_channels: int, width: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    # Only the blocks after the first are dilated, unlike in torchvision and mmseg.
    return nn.Sequential(Bottleneck(in_channels, width, stride),
                         *(Bottleneck(4 * width, width, dilation=dilation) for _ in range(blocks - 1)))


class DualResNet(nn.Module):
    """Dilated bottleneck ResNet at stride 8, with a second stream up to layer 2 for late fusion.

    Args:
        in_channels: channels of the (first) stream.
        thermal_channels: channels of the second stream; 0 for a single stream.
        width: channels of the stem.
        blocks: blocks of the four layers.
    """

    def __init__(self, in_channels: int = 3, thermal_channels: int = 1, width: int = 64,
                 blocks: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.streams = ('', '_2') if thermal_channels else ('', )
        for suffix, channels in zip(self.streams, (in_channels, thermal_channels), strict=False):
            self.add_module(f'conv1{suffix}', nn.Conv2d(channels, width, 7, 2, 3, bias=False))
            self.add_module(f'bn1{suffix}', nn.BatchNorm2d(width))
            self.add_module(f'layer1{suffix}', _layer(width, width, blocks[0]))
            self.add_module(f'layer2{suffix}', _layer(4 * width, 2 * width, blocks[1], 2))
        self.layer3 = _layer(8 * width * len(self.streams), 4 * width, blocks[2], dilation=2)
        self.layer4 = _layer(16 * width, 8 * width, blocks[3], dilation=4)

    def forward(self, *images: Tensor) -> list[Tensor]:
        """Features, deepest first: layers 4, 3, 2 (stride 8), layer 1 and pooled stem (stride 4)."""
        levels: list[list[Tensor]] = [[], [], []]
        for suffix, x in zip(self.streams, images, strict=True):
            x = F.relu(getattr(self, f'bn1{suffix}')(getattr(self, f'conv1{suffix}')(x)))
            x = F.max_pool2d(x, 3, 2, 1)
            levels[0].append(x)
            for i in (1, 2):
                x = getattr(self, f'layer{i}{suffix}')(x)
                levels[i].append(x)
        stem, first, second = (torch.cat(level, 1) if len(level) > 1 else level[0] for level in levels)
        third = self.layer3(second)
        return [self.layer4(third), third, second, first, stem]


class PyramidPooling(nn.Module):
    """Pyramid pooling whose last 1x1 convolution runs before the upsampling.

    The published module upsamples four pooled maps, concatenates them with the input and convolves; a 1x1
    convolution and bilinear interpolation commute, so each pooled map is convolved at its own small size.

    Args:
        channels: input channels.
        out_channels: output channels.
        sizes: sizes of the pooled maps.
    """

    def __init__(self, channels: int, out_channels: int, sizes: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Conv2d(channels, channels, 1, bias=False)) for size in sizes)
        self.bottleneck = nn.Conv2d(channels * (len(sizes) + 1), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out_channels, h, w), not negative."""
        *pooled, last = self.bottleneck.weight.split(x.shape[1], 1)
        out = F.conv2d(x, last, self.bottleneck.bias)
        for (pool, conv), weight in zip(self.stages, pooled, strict=True):
            # The few pixels of all images in one product: weights of millions of numbers are read once.
            small = pool(x)
            rows = F.linear(F.linear(small.flatten(2).mT, conv.weight.flatten(1)), weight.flatten(1))
            small = rows.mT.unflatten(2, small.shape[2:])
            out = out + F.interpolate(small, x.shape[2:], mode='bilinear')
        return F.relu(out)


def doubled_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Bilinear doubling and a 3x3 convolution with padding 1, with a quarter of the convolution's arithmetic.

    The weights of each of the nine taps are a 1x1 convolution, which commutes with the doubling: it runs on the small
    map, and the nine doubled results are laid over each other, each shifted by its tap.

    Args:
        x: (B, C, h, w).
        weight: (D, C, 3, 3).
        bias: (D).

    Returns:
        (B, D, 2 h, 2 w).
    """
    # fold() shifts the other way round than a convolution reads.
    taps = weight.permute(0, 2, 3, 1).flip((1, 2)).flatten(0, 2)
    small = (taps @ x.flatten(2)).unflatten(2, x.shape[2:])
    doubled = F.interpolate(small, scale_factor=2, mode='bilinear')
    out = F.fold(doubled.flatten(2), doubled.shape[2:], 3, padding=1)
    return out if bias is None else out + bias[:, None, None]


class UpBlock(nn.Module):
    """Bilinear doubling, 3x3 convolution, batch norm, PReLU."""

    #: From so many channels on :func:`doubled_conv` is faster on a CPU (measured; its nine maps take memory traffic).
    WIDE = 256

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels),
                                  nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, activation = self.conv
        if x.shape[1] >= self.WIDE and x.device.type == 'cpu' and not torch.jit.is_tracing():
            return activation(norm(doubled_conv(x, conv.weight, conv.bias)))
        return self.conv(F.interpolate(x, scale_factor=2, mode='bilinear'))


@MODELS.register_module()
class HeatNetPSPNet(nn.Module):
    """PSPNet with one or two encoder streams (``--arch pspnet`` of the published code).

    Args:
        in_channels: channels of the first stream: 3 for RGB, 1 for thermal, 4 for early fusion.
        thermal_channels: channels of the second stream (late fusion); 0 for one stream.
        num_classes: channels of the logits.
        width: channels of the stem; the published 64 gives 2048 at the deepest layer.
        blocks: blocks of the four layers.
        decoder: channels after the pyramid and after each doubling; 16, 4, 1 and 1 times ``width`` by default.
    """

    def __init__(self, in_channels: int = 3, thermal_channels: int = 1, num_classes: int = 13, width: int = 64,
                 blocks: tuple[int, ...] = (3, 4, 6, 3), decoder: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.feats = DualResNet(in_channels, thermal_channels, width, blocks)
        first, second, third, last = decoder or (16 * width, 4 * width, width, width)
        self.psp = PyramidPooling(32 * width, first)
        self.drop_1 = nn.Dropout2d(0.3)
        self.up_1 = UpBlock(first, second)
        self.up_2 = UpBlock(second, third)
        self.up_3 = UpBlock(third, last)
        self.drop_2 = nn.Dropout2d(0.15)
        self.final = nn.Sequential(nn.Conv2d(last, num_classes, 1))

    def forward(self, *images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Segment.

        Args:
            *images: one tensor a stream, (B, C, H, W) in [-1, 1]: RGB, then thermal.

        Returns:
            Logits (B, classes, 8 ceil(H / 8), 8 ceil(W / 8)); the critics' inputs: the logits, then the encoder's
            five features, deepest first.
        """
        features = self.feats(*images)
        x = self.drop_1(self.psp(features[0]))
        for block in (self.up_1, self.up_2, self.up_3):
            x = self.drop_2(block(x))
        logits = self.final(x)
        return logits, [logits, *features]
