"""MSFF, the multi-scale feature fusion network of the SSDIE-Net paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.models.ops.whole_image import whole_image
from mmweather.registry import MODELS

from .layers import SLOPE, LatentNoise

# Up to so many entries, attention maps that are stored cost the CPU less time than the fused kernel (128 MiB).
_STORED_MAPS = 2**25


def _tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 1, HW, C)."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1)


class CrossScaleAttention(nn.Module):
    """Non-local block whose queries come from one scale and whose keys and values come from another.

    ``gamma * attention(x, y) + x`` with a softmax over the positions of ``y`` and no scaling of the scores. Large
    maps are not stored where torch has a fused kernel. ``gamma`` starts at 0.

    Args:
        channels: channels of both inputs, a multiple of ``reduction``.
        reduction: queries and keys have ``channels / reduction`` channels.
        grid: largest height and width of the map that keys and values come from; a larger ``y`` is averaged to it.
            None leaves it as it is.
    """

    def __init__(self, channels: int, reduction: int = 8, grid: int | None = None) -> None:
        super().__init__()
        self.grid = grid
        self.gamma = nn.Parameter(torch.zeros(1))
        self.query_conv = nn.Conv2d(channels, channels // reduction, 1)
        self.key_conv = nn.Conv2d(channels, channels // reduction, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)

    def _keys_and_values(self, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.grid is not None and max(y.shape[-2:]) > self.grid:
            y = F.adaptive_avg_pool2d(y, tuple(min(side, self.grid) for side in y.shape[-2:]))
        return _tokens(self.key_conv(y)), _tokens(self.value_conv(y))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, channels, H, W) and (B, channels, H', W') to the shape of ``x``."""
        query = _tokens(self.query_conv(x))
        key, value = whole_image(self, lambda: self._keys_and_values(y))
        if query.device.type == 'cpu' and len(x) * query.shape[2] * key.shape[2] > _STORED_MAPS:
            # The CPU's fused kernel wants one width and dense rows; zeros add nothing to the scores, and the maps are
            # not stored.
            query, key = (F.pad(t, (0, value.shape[-1] - t.shape[-1])).contiguous() for t in (query, key))
            value = value.contiguous()
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return torch.addcmul(x, self.gamma.view(1, 1, 1, 1), mixed.squeeze(1).transpose(1, 2).reshape_as(x))


def _encoder(*layers: tuple[int, int, int, int]) -> nn.Sequential:
    """Convolutions (in, out, kernel, stride) with reflect padding, each followed by LeakyReLU."""
    modules: list[nn.Module] = []
    for before, after, kernel, stride in layers:
        modules += [nn.Conv2d(before, after, kernel, stride, 1, padding_mode='reflect'),
                    nn.LeakyReLU(SLOPE, inplace=True)]
    return nn.Sequential(*modules)


def _decoder(before: int, after: int, kernel: int, stride: int, smooth: bool = False) -> nn.Sequential:
    """Transposed convolution without bias, batch norm, LeakyReLU, and perhaps a blur."""
    return nn.Sequential(
        nn.ConvTranspose2d(before, after, kernel, stride, 1, bias=False), nn.BatchNorm2d(after),
        nn.LeakyReLU(SLOPE, inplace=True), *([Smooth()] if smooth else ()))


class Smooth(nn.Module):
    """Blur with (1, 2, 1) / 4 along both axes, the edge repeated; (B, C, H, W) to the same shape.

    It leaves nothing of a pattern of period 2, which is what a transposed convolution of stride 2 makes of a constant.
    """

    def forward(self, x: Tensor) -> Tensor:
        kernel = x.new_tensor((0.25, 0.5, 0.25))
        weight = (kernel[:, None] * kernel).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), weight, groups=x.shape[1])


@MODELS.register_module()
class MSFF(nn.Module):
    """Three encoders at full, half and quarter resolution, attention across neighbouring scales, one decoder.

    Args:
        in_channels: channels of the image, in and out.
        features: width of the first level, a multiple of 4; all else follows. 64 as published.
        noise_std: standard deviation of the noise on the two fused maps, which share one draw.
        published_noise: add the noise in evaluation mode too, as the published code does.
        attention_grid: average what is attended to down to this height and width at most, so that the cost grows
            with the number of pixels and not with its square; None attends to every position, as published.
        smooth: blur each map that a transposed convolution has enlarged. Without it, as published, the four kernels
            that make up such a layer leave a grid of periods 2 and 4 in the image. Checkpoints are the same.
        neutral: in evaluation mode, how much of the remaining cast is taken from the result, 0 to 1: a tone curve for
            each channel brings the means of the whole image together and leaves black and white where they are.
    """

    inference_contract = InferenceContract(multiple_of=4, minimum=8, tiling='shared', overlap=64, measured='copy',
                                           measured_side=256)

    def __init__(self, in_channels: int = 3, features: int = 64, noise_std: float = 0.01,
                 published_noise: bool = False, attention_grid: int | None = None, smooth: bool = False,
                 neutral: float = 0.0) -> None:
        super().__init__()
        self.neutral = neutral
        f, deep = features, 2 * features
        self.E1 = _encoder((in_channels, f, 4, 2), (f, deep, 4, 2))
        self.E2 = _encoder((in_channels, f, 4, 2), (f, deep, 3, 1))
        self.E3_L1 = _encoder((in_channels, f, 3, 1))
        self.E3_L2 = _encoder((f, deep, 3, 1))
        self.Att_256_to_128 = CrossScaleAttention(deep, grid=attention_grid)
        self.Att_128_to_64 = CrossScaleAttention(deep, grid=attention_grid)
        self.noise = LatentNoise(noise_std, published_noise)
        self.D3_L1 = _decoder(deep, f, 3, 1)
        self.D3_L2 = _decoder(deep, f, 3, 1)
        self.D2_L1 = _decoder(deep, f, 3, 1)
        self.D2_L2 = _decoder(deep, f, 4, 2, smooth)
        self.D1_L1 = _decoder(deep, f, 4, 2, smooth)
        self.D1_L2 = _decoder(deep, f, 4, 2, smooth)
        self.final_decoder = nn.Sequential(
            *_decoder(f + in_channels, f, 3, 1), *_decoder(f, f // 2, 3, 1), *_decoder(f // 2, f // 4, 3, 1),
            nn.ConvTranspose2d(f // 4, in_channels, 3, 1, 1, bias=False), nn.Tanh())

    def forward(self, img: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            img: (B, in_channels, H, W), RGB in [-1, 1], sides multiples of 4, 8 or more.

        Returns:
            The same shape and range.
        """
        full = self.E1(img)
        half = self.E2(F.avg_pool2d(img, 2))
        quarter_early = self.E3_L1(F.avg_pool2d(img, 4))
        quarter = self.E3_L2(quarter_early)
        upper, lower = self.noise(self.Att_256_to_128(full, half), self.Att_128_to_64(half, quarter))
        lower = self.D3_L2(torch.cat((self.D3_L1(lower), quarter_early), 1))
        middle = self.D2_L2(torch.cat((self.D2_L1(upper), lower), 1))
        # The published decoder climbs from the encoder's map here, not from the fused one.
        top = self.D1_L2(torch.cat((self.D1_L1(full), middle), 1))
        restored = self.final_decoder(torch.cat((top, img), 1))
        return self._balance(restored) if self.neutral and not self.training else restored

    def _balance(self, restored: Tensor) -> Tensor:
        light = restored.float() * 0.5 + 0.5

        def exponents() -> Tensor:
            means = light.mean((2, 3), keepdim=True).clamp(0.02, 0.98)
            return (means.mean(1, keepdim=True).log() / means.log()).clamp(0.6, 1.7)**self.neutral

        return light.clamp_min(1e-6)**whole_image(self, exponents) * 2 - 1
