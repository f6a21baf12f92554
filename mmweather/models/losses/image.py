"""Losses that no toolbox has, or has wrong."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.registry import MODELS


@MODELS.register_module()
class PSNRLoss(nn.Module):
    """Negative PSNR in dB as a loss (HINet, Chen et al., CVPRW 2021), on RGB or on luma.

    mmagic's class of the same name ignores its switch for luma.

    Args:
        loss_weight: factor.
        to_y: compare BT.601 luma (16 to 235 of 255) in place of RGB.
    """

    def __init__(self, loss_weight: float = 1.0, to_y: bool = False) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.to_y = to_y

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] each, to a scalar; the error is averaged per image before the logarithm."""
        difference = pred - target
        if self.to_y:
            luma = difference.new_tensor((65.481, 128.553, 24.966)).view(1, 3, 1, 1) / 255
            difference = (difference * luma).sum(1, keepdim=True)
        error = difference.square().mean((1, 2, 3))
        return self.loss_weight * 10 / math.log(10) * (error + 1e-8).log().mean()


@MODELS.register_module()
class SSIMLoss(nn.Module):
    """One minus the structural similarity of RGB images (Gaussian window of 11 pixels).

    Args:
        loss_weight: factor.
        signed: images are in [-1, 1] in place of [0, 1].
    """

    def __init__(self, loss_weight: float = 1.0, signed: bool = False) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.signed = signed

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """(B, C, H, W) each, at least 11 pixels a side, to a scalar."""
        from pytorch_msssim import ssim
        if self.signed:
            pred, target = pred * 0.5 + 0.5, target * 0.5 + 0.5
        return self.loss_weight * (1 - ssim(pred, target, data_range=1.0))


def gram(features: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, C): inner products of the channels, divided by C * H * W."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def logistic_loss(logits: Tensor, real: bool) -> Tensor:
    """Mean logistic loss of logits of any shape against 1 (``real``) or 0."""
    return F.softplus(-logits if real else logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half the sum of the logistic losses of real (against 1) and fake logits (against 0)."""
    return 0.5 * (logistic_loss(real_logits, True) + logistic_loss(fake_logits, False))
