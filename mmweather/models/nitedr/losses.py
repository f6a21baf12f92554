"""Losses of NiteDR's second stage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.registry import MODELS

from .vgg import PublishedVGG

# Half of the 24 neighbour offsets (rows, columns); the published sum visits each direction from both ends.
_DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (2, 1), (2, -1), (1, 2), (1, -2), (2, 2), (2, -2))


def neighbour_difference(x: Tensor, rows: int, columns: int) -> Tensor:
    """Difference of pixels that lie ``rows`` down and ``columns`` right, where both exist; (B, C, H', W')."""
    height, width = x.shape[-2:]
    left, right = max(0, -columns), max(0, columns)
    later = x[..., rows:, right:width - left]
    earlier = x[..., :height - rows, left:width - right]
    return later - earlier


def smoothness(guide: Tensor, image: Tensor, sigma: float = 0.1, published: bool = False) -> Tensor:
    """Edge-aware smoothness of ``image``: gradients are cheap where ``guide`` has an edge.

    The intended term is the mean over pixels of ``exp(-|grad guide|^2 / (2 sigma^2)) * |grad image|``, summed over
    twelve directions. The published code multiplies by ``-sigma^2 / 2`` instead, averages the gradient before it
    is weighted, and counts each direction twice.

    Args:
        guide: (B, C, H, W) in [0, 1].
        image: (B, C, H, W).
        sigma: width of the edge weight, in image units.
        published: compute what the published code computes.

    Returns:
        A scalar.
    """
    factor = -0.5 * sigma * sigma if published else -0.5 / (sigma * sigma)
    total = image.new_zeros(())
    for rows, columns in _DIRECTIONS:
        if image.shape[-2] <= rows or image.shape[-1] <= abs(columns):
            continue
        weight = (neighbour_difference(guide, rows, columns).square().sum(1, keepdim=True) * factor).exp()
        gradient = neighbour_difference(image, rows, columns).abs()
        total = total + (2 * weight.mean() * gradient.mean() if published else (weight * gradient).mean())
    return total


@MODELS.register_module()
class RefinementLoss(nn.Module):
    """Fidelity and smoothness of the illumination of one pass (NiteDR, section III-D).

    Args:
        fidelity_weight: factor of the mean squared difference between illumination and input.
        smooth_weight: factor of :func:`smoothness`.
        published_smoothness: see :func:`smoothness`.
    """

    def __init__(self, fidelity_weight: float = 1.5, smooth_weight: float = 1.0,
                 published_smoothness: bool = False) -> None:
        super().__init__()
        self.fidelity_weight = fidelity_weight
        self.smooth_weight = smooth_weight
        self.published_smoothness = published_smoothness

    def forward(self, image: Tensor, illumination: Tensor) -> Tensor:
        """Input of the pass and its illumination, (B, 3, H, W) each, to a scalar."""
        return (self.fidelity_weight * F.mse_loss(illumination, image)
                + self.smooth_weight * smoothness(image, illumination, published=self.published_smoothness))


def high_frequency(features: Tensor) -> Tensor:
    """Mean of the eight neighbours minus the pixel, per channel, zero padding; (B, C, H, W) to the same shape."""
    kernel = features.new_full((1, 1, 3, 3), 1 / 8)
    kernel[..., 1, 1] = -1
    b, c, h, w = features.shape
    return F.conv2d(features.reshape(b * c, 1, h, w), kernel, padding=1).view(b, c, h, w)


def information_measure(levels: list[Tensor], scale: float = 3200.0) -> Tensor:
    """How much detail an image holds: mean square of :func:`high_frequency`, averaged over the feature levels.

    Args:
        levels: feature maps, (B, C_i, H_i, W_i) each.
        scale: divisor, 3200 as published.

    Returns:
        (B,).
    """
    return torch.stack([high_frequency(level).square().mean((1, 2, 3)) for level in levels]).mean(0) / scale


@MODELS.register_module()
class LuminanceFusionLoss(nn.Module):
    """SSIM and squared error of the fused luminance against both sources (NiteDR, section III-C).

    The sources count one half each, as in the published code, or by the information that a VGG-16 finds in
    them, as in the paper.

    Args:
        ssim_weight: factor of the SSIM term.
        mse_weight: factor of the squared-error term.
        data_range: range that SSIM's constants assume. Images are in [0, 1]; the published code left the
            library's default of 255, which all but removes the term.
        vgg_checkpoint: torchvision's VGG-16 weights for the paper's adaptive weights; None for one half each.
    """

    def __init__(self, ssim_weight: float = 1.0, mse_weight: float = 20.0, data_range: float = 1.0,
                 vgg_checkpoint: str | None = None) -> None:
        super().__init__()
        self.ssim_weight = ssim_weight
        self.mse_weight = mse_weight
        self.data_range = data_range
        self.features = None
        if vgg_checkpoint is not None:
            from mmweather.utils.checkpoint import load_checkpoint, load_into, unwrap_state_dict
            self.features = PublishedVGG(sequential=True)
            load_into(self.features, unwrap_state_dict(load_checkpoint(vgg_checkpoint)), vgg_checkpoint)
            self.features.eval().requires_grad_(False)

    @torch.no_grad()
    def source_weights(self, visible: Tensor, infrared: Tensor) -> Tensor:
        """Weights of the two sources, (B, 2), rows summing to one; planes (B, 1, H, W) in [0, 1]."""
        if self.features is None:
            return visible.new_full((len(visible), 2), 0.5)
        measures = [information_measure(list(self.features(x.expand(-1, 3, -1, -1)))) for x in (visible, infrared)]
        return torch.stack(measures, 1).softmax(1)

    def forward(self, fused: Tensor, visible: Tensor, infrared: Tensor) -> dict[str, Tensor]:
        """Loss terms.

        Args:
            fused: fused luminance, (B, 1, H, W) in [0, 1], at least 11 pixels a side.
            visible: visible luminance, likewise.
            infrared: infrared luminance, likewise.

        Returns:
            ``loss_ssim`` and ``loss_mse``, already weighted, scalars.
        """
        from pytorch_msssim import ssim
        weights = self.source_weights(visible, infrared)
        ssim_term = mse_term = 0.0
        for i, source in enumerate((visible, infrared)):
            similarity = ssim(fused, source, data_range=self.data_range, size_average=False, nonnegative_ssim=True)
            ssim_term = ssim_term + (weights[:, i] * (1 - similarity)).mean()
            mse_term = mse_term + (weights[:, i] * (fused - source).square().mean((1, 2, 3))).mean()
        return {'loss_ssim': self.ssim_weight * ssim_term, 'loss_mse': self.mse_weight * mse_term}
