"""Illumination refinement, the second network of NiteDR's second stage."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS

from ..ops.initialisation import init_published


def _conv_norm_relu(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()]


class Balance(nn.Module):
    """Illumination of a fused image, from the image and the infrared one."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(nn.Conv2d(6, channels, 3, padding=1), nn.ReLU())
        self.conv = nn.Sequential(*_conv_norm_relu(channels, channels))
        self.out_conv = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, fused: Tensor, infrared: Tensor) -> Tensor:
        """Fused RGB in [0, 1] and infrared YCrCb in [-1, 1], (B, 3, H, W) each, to (B, 3, H, W) in [1e-4, 1]."""
        x = self.in_conv(torch.cat((fused, infrared), 1))
        x = x + self.conv(x)
        return (self.out_conv(x) + fused).clamp(1e-4, 1.0)


class Adjust(nn.Module):
    """Detail of the infrared image, added to the input of the next training pass.

    Args:
        channels: width.
        passes: how often the one residual block runs.
    """

    def __init__(self, channels: int = 16, passes: int = 3) -> None:
        super().__init__()
        self.passes = passes
        self.in_conv = nn.Sequential(*_conv_norm_relu(3, channels))
        self.convs = nn.Sequential(*_conv_norm_relu(channels, channels), *_conv_norm_relu(channels, channels))
        self.out_conv = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, infrared: Tensor) -> Tensor:
        """(B, 3, H, W) YCrCb in [-1, 1] to the same shape."""
        x = self.in_conv(infrared)
        for _ in range(self.passes):
            x = x + self.convs(x)
        return infrared - self.out_conv(x)


class RefinementOutput(NamedTuple):
    """What each pass of the refinement gives, first pass first; every tensor is (B, 3, H, W)."""

    illumination: list[Tensor]
    refined: list[Tensor]
    inputs: list[Tensor]
    detail: list[Tensor]


@MODELS.register_module()
class IlluminationRefiner(nn.Module):
    """Retinex-like refinement of the fused image, trained with weight sharing over several passes.

    Args:
        passes: passes while training. Inference is the first pass, which needs :class:`Balance` alone.
        adjust: whether the part that only training uses is there.
    """

    inference_contract = InferenceContract(inputs=('fused', 'ir'), tiling='supported', overlap=8)

    def __init__(self, passes: int = 3, adjust: bool = True) -> None:
        super().__init__()
        self.passes = passes
        self.balance = Balance()
        self.adjust = Adjust() if adjust else None

    def init_published(self) -> None:
        """Convolution weights N(0, 0.02), biases 0; batch-norm weights N(1, 0.02), biases 0."""
        init_published(self, zero_biases=True)

    @staticmethod
    def divide(fused: Tensor, illumination: Tensor) -> Tensor:
        """Reflectance: fused image over its illumination, clamped to [0, 1]."""
        return (fused / illumination).clamp(0, 1)

    def refine(self, fused: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """One pass, as at inference.

        Args:
            fused: (B, 3, H, W) RGB, nominally [0, 1].
            infrared: (B, 3, H, W) YCrCb in [-1, 1].

        Returns:
            Illumination in [1e-4, 1] and refined RGB in [0, 1].
        """
        illumination = self.balance(fused, infrared)
        return illumination, self.divide(fused, illumination)

    def forward(self, fused: Tensor, infrared: Tensor) -> RefinementOutput:
        """All passes; arguments as in :meth:`refine`.

        Raises:
            RuntimeError: the network was built without the training part.
        """
        if self.adjust is None:
            raise RuntimeError('this refiner was built with adjust=False, for inference: call refine()')
        result = RefinementOutput([], [], [], [])
        current = fused
        for _ in range(self.passes):
            illumination = self.balance(current, infrared)
            refined = self.divide(fused, illumination)
            # In training mode each call moves the batch-norm statistics, so it is made anew for every pass.
            detail = self.adjust(infrared)
            result.illumination.append(illumination)
            result.refined.append(refined)
            result.inputs.append(current)
            result.detail.append(detail.abs())
            current = refined + detail
        return result
