"""TogetherNet's restoration branch: from the backbone's features to the clear image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.filters import box_mean
from mmweather.registry import MODELS

from .sampling import without_autocast


def _upward(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(out_channels),
        nn.SiLU(inplace=True),
    )


_BLOCK = 128
#: Least transmission.
_LEAST = 0.08


def _enlargement(size: int, scale: int, taps: int, like: Tensor) -> Tensor:
    """(taps, size, size * scale): how much a value counts in its enlarged and mirrored row, shifted by each tap."""
    eye = torch.eye(size, dtype=like.dtype, device=like.device)
    enlarged = F.interpolate(eye[None], size * scale, mode='linear', align_corners=True)
    padded = F.pad(enlarged, (taps // 2, taps // 2), mode='reflect')[0]
    return torch.stack([padded[:, tap:tap + size * scale] for tap in range(taps)])


def _blocks(size: int, scale: int, taps: int) -> list[tuple[slice, slice]]:
    """Pieces of an enlarged row, and which part of the row each needs; mirrored places lie as near as the taps."""
    last, result = size * scale - 1, []
    for start in range(0, last + 1, _BLOCK):
        stop = min(start + _BLOCK, last + 1)
        needed = [min(max(place, 0), last) * (size - 1) // last for place in (start - taps, stop + taps)]
        result.append((slice(start, stop), slice(needed[0], min(needed[1] + 2, size))))
    return result


def enlarge_and_convolve(x: Tensor, weight: Tensor, bias: Tensor, scale: int = 4) -> Tensor:
    """Bilinear enlargement with aligned corners, reflection padding and a convolution, without the enlarged map.

    All three are linear, so the order can be changed: the products of the convolution's taps are formed on the small
    map, ``scale`` squared times fewer of them, and the results are enlarged along the rows, added up, enlarged along
    the columns and added up, as matrix products.  Few output channels, as those of an image, make this much cheaper in
    time and memory.

    Args:
        x: (B, C, H, W), H and W times ``scale`` at least 8.
        weight: (O, C, k, k), k odd.
        bias: (O, ).
        scale: enlargement.

    Returns:
        (B, O, H * scale, W * scale), float32 or wider.
    """
    exact = torch.promote_types(x.dtype, torch.float32)
    with without_autocast(x):
        x, weight, bias = x.to(exact), weight.to(exact), bias.to(exact)
        b, c, h, w = x.shape
        out, _, k, _ = weight.shape
        products = F.conv2d(x, weight.permute(0, 2, 3, 1).reshape(-1, c, 1, 1)).view(b, out, k, k, h, w)
        products = products.transpose(3, 4)  # image, output, row of the kernel, row, column of the kernel, column
        columns, rows = _enlargement(w, scale, k, x), _enlargement(h, scale, k, x)
        pieces = []
        for to, of in _blocks(w, scale, k):
            pieces.append(products[..., of].reshape(b * out * k * h, -1) @ columns[:, of, to].flatten(0, 1))
        wide = torch.cat(pieces, 1).view(b * out, k, h, -1)
        pieces = []
        for to, of in _blocks(h, scale, k):
            pieces.append(rows[:, of, to].flatten(0, 1).t() @ wide[:, :, of].flatten(1, 2))
        return torch.cat(pieces, 1).view(b, out, h * scale, -1) + bias.view(-1, 1, 1)


def guided_enlargement(x: Tensor, guide: Tensor, radius: int = 8, eps: float = 0.02) -> Tensor:
    """Enlarge a map along the edges of an image: the fast guided filter (He and Sun, 2015).

    Args:
        x: (B, 1, h, w).
        guide: (B, 1, H, W), H and W multiples of h and w.
        radius: of the windows, in places of the small map.
        eps: variance of the guide below which a window counts as flat.

    Returns:
        (B, 1, H, W).
    """
    small = F.interpolate(guide, x.shape[-2:], mode='area')
    mean_guide, mean_x = box_mean(small, radius), box_mean(x, radius)
    slope = (box_mean(small * x, radius) - mean_guide * mean_x) / (
        box_mean(small * small, radius) - mean_guide * mean_guide + eps)
    offset = mean_x - slope * mean_guide
    slope, offset = F.interpolate(box_mean(torch.cat((slope, offset), 1), radius), guide.shape[-2:],
                                  mode='bilinear').chunk(2, 1)
    return slope * guide + offset


@MODELS.register_module()
class RestorationDecoder(nn.Module):
    """Three transposed convolutions with skip connections, bilinear enlargement by four, 7x7 convolution, tanh.

    Args:
        in_channels: channels of the features at strides 8, 16 and 32.
        out_channels: channels of the restored image.
        tanh: keep the published tanh; its range (-1, 1) covers only the middle of an image that is normalised with
            ImageNet's mean and deviation, so the published target cannot be reached where it is dark or bright.
        skip: predict what fog did to the image in place of the clear image itself, so that the restored image has all
            of its detail: transmission ``t`` at a quarter of the size, brought to the edges of the image by a guided
            filter, and for the whole image what to add to the airlight ``A`` (the mean colour where little light
            passes), exposure and white balance; restored is
            ``gain * ((I - A) / t + A) + shift``.  It starts as the foggy image, and there is no tanh.  As published,
            the image is drawn from features of an eighth of the size, and is blurred.
    """

    def __init__(self, in_channels: Sequence[int] = (128, 256, 512), out_channels: int = 3, tanh: bool = True,
                 skip: bool = False) -> None:
        super().__init__()
        fine, middle, coarse = in_channels
        self.tanh = tanh and not skip
        self.skip = skip
        self.conv_1 = _upward(coarse, middle)
        self.conv_2 = _upward(2 * middle, fine)
        self.conv_3 = _upward(2 * fine, fine // 2)
        # The place in the sequence is that of the published checkpoints, which count the padding.
        self.conv_4 = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(fine // 2, out_channels, 7))
        if skip:
            self.conv_4 = nn.Sequential(nn.Identity(), nn.Conv2d(fine // 2, 1, 3, padding=1))
            self.whole = nn.Linear(coarse + 3 * out_channels, 3 * out_channels)
            for layer, bias in ((self.conv_4[1], 4.0), (self.whole, 0.0)):
                nn.init.zeros_(layer.weight)
                nn.init.constant_(layer.bias, bias)

    def forward(self, features: Sequence[Tensor], foggy: Tensor | None = None) -> Tensor:
        """Restore the image.

        Args:
            features: (B, C_i, H / s, W / s) for s = 8, 16, 32, finest first.
            foggy: (B, out_channels, H, W), what ``skip`` begins from.

        Returns:
            (B, out_channels, H, W), in (-1, 1) with ``tanh``; it is compared with the clear image in the space of the
            network's input.
        """
        fine, middle, coarse = features
        x = self.conv_1(coarse)
        x = self.conv_2(torch.cat((x, middle), 1))
        x = self.conv_3(torch.cat((x, fine), 1))
        if self.skip:
            return self._undo_fog(self.conv_4(x), coarse, foggy)
        x = enlarge_and_convolve(x, self.conv_4[1].weight, self.conv_4[1].bias)
        return torch.tanh(x) if self.tanh else x

    def _undo_fog(self, logit: Tensor, coarse: Tensor, foggy: Tensor) -> Tensor:
        """The clear image from logits of the transmission (B, 1, H / 4, W / 4), features and the foggy image."""
        with without_autocast(foggy):
            foggy = foggy.float()
            small = _LEAST + (1 - _LEAST) * logit.float().sigmoid()
            # What little light passes through looks like the air.
            weight = (1 - small)**4 + 1e-6
            airlight = (weight * F.interpolate(foggy, small.shape[-2:], mode='area')).sum((2, 3)) / weight.sum((2, 3))
            facts = torch.cat((coarse.float().mean((2, 3)), foggy.mean((2, 3)), foggy.std((2, 3)), airlight), 1)
            change, gain, shift = self.whole(facts).unflatten(1, (3, -1, 1, 1)).unbind(1)
            airlight = airlight[..., None, None] + change
            transmission = guided_enlargement(small, foggy.mean(1, keepdim=True)).clamp(_LEAST, 1)
            return ((foggy - airlight) / transmission + airlight) * gain.clamp(-1, 1).exp() + shift
