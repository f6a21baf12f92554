"""Losses of SSDIE-Net on images in [-1, 1]; its L1 and squared errors are torch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmweather.models.losses.image import gram, logistic_loss
from mmweather.models.ops.dark_channel import block_dark_channel
from mmweather.models.semi_supervised.terms import PERCEPTUAL_LAYERS, STYLE_LAYERS
from mmweather.registry import MODELS

from .vgg import VGG19Features


@MODELS.register_module()
class PerceptualStyleLoss(nn.Module):
    """Perceptual and style loss from one VGG-19 pass an image (Johnson et al., ECCV 2016).

    The published code runs VGG-19 twice on each image, one copy a loss, down to the last layer; the numbers are
    the same.

    Args:
        perceptual_weight: factor of the mean absolute differences of features; 0 leaves it out.
        style_weight: factor of the mean absolute differences of Gram matrices; 0 leaves it out.
        perceptual_layers: layers of the first.
        style_layers: layers of the second.
        weights: as in :class:`~mmweather.models.ssdie_net.vgg.VGG19Features`.
    """

    def __init__(self, perceptual_weight: float = 1.0, style_weight: float = 1.0,
                 perceptual_layers: Sequence[str] = PERCEPTUAL_LAYERS, style_layers: Sequence[str] = STYLE_LAYERS,
                 weights: str | None = 'imagenet') -> None:
        super().__init__()
        self.perceptual_weight = perceptual_weight
        self.style_weight = style_weight
        self.perceptual_layers = tuple(perceptual_layers) if perceptual_weight else ()
        self.style_layers = tuple(style_layers) if style_weight else ()
        self.vgg = VGG19Features({*self.perceptual_layers, *self.style_layers}, weights)

    def terms(self, pred: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """The unweighted terms of each layer: ``{'perceptual': {layer: scalar}, 'style': {layer: scalar}}``."""
        return {
            'perceptual': {name: F.l1_loss(pred[name], target[name]) for name in self.perceptual_layers},
            'style': {name: F.l1_loss(gram(pred[name]), gram(target[name])) for name in self.style_layers},
        }

    def forward(self, pred: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss terms.

        Args:
            pred: (B, 3, H, W), RGB in [-1, 1], sides of 16 or more.
            target: likewise; no gradient reaches it.

        Returns:
            ``loss_perceptual`` and ``loss_style``, weighted scalars; a term with weight 0 is absent.
        """
        with torch.no_grad():
            wanted = self.vgg(target)
        terms = self.terms(self.vgg(pred), wanted)
        weights = {'perceptual': self.perceptual_weight, 'style': self.style_weight}
        return {
            f'loss_{name}': weights[name] * torch.stack(list(layers.values())).sum()
            for name, layers in terms.items() if layers
        }


def dark_channel_loss(classifier: nn.Module, img: Tensor, block: int = 16) -> Tensor:
    """How far a classifier of dark channels is from taking an image for a clean one.

    Args:
        classifier: maps (B, 1, H, W) to logits of "clean", frozen and in evaluation mode; the gradient goes through
            it to the image.
        img: (B, 3, H, W), RGB in [-1, 1].
        block: side of the blocks of the dark channel.

    Returns:
        A scalar.
    """
    return logistic_loss(classifier(block_dark_channel(img, block)), True)


def total_variation(img: Tensor) -> Tensor:
    """Twice the sum of the mean squared vertical and the mean squared horizontal neighbour difference.

    (B, C, H, W) to a scalar. The published code defines it and does not use it.
    """
    vertical, horizontal = img.diff(dim=-2).square().mean(), img.diff(dim=-1).square().mean()
    return 2 * (vertical + horizontal)
