"""The patch discriminator of SSDIE-Net."""

from __future__ import annotations

from torch import Tensor, nn

from mmweather.registry import MODELS

from .layers import SLOPE, DownBlock


@MODELS.register_module()
class SandDustDiscriminator(nn.Module):
    """PatchGAN (Isola et al., CVPR 2017): one logit for each 70x70 patch; all padding reflects.

    With three channels it tells clean images from restored ones, with one channel the dark channel of clean images
    from that of dusty ones.

    Args:
        in_channels: channels of the input.
        features: widths of the layers; all but the last halve the sides.

    Raises:
        ValueError: fewer than two widths.
    """

    def __init__(self, in_channels: int = 3, features: tuple[int, ...] = (64, 128, 256, 512)) -> None:
        super().__init__()
        if len(features) < 2:
            raise ValueError(f'SandDustDiscriminator needs two widths or more, got features={tuple(features)}')
        self.initial = nn.Sequential(
            nn.Conv2d(in_channels, features[0], 4, 2, 1, padding_mode='reflect'), nn.LeakyReLU(SLOPE, inplace=True))
        last = len(features) - 1
        blocks = [DownBlock(features[i - 1], features[i], 1 if i == last else 2) for i in range(1, last + 1)]
        self.model = nn.Sequential(*blocks, nn.Conv2d(features[-1], 1, 4, 1, 1, padding_mode='reflect'))

    def forward(self, img: Tensor) -> Tensor:
        """(B, in_channels, H, W) in [-1, 1] to logits, (B, 1, H / 8 - 2, W / 8 - 2); sides of 24 pixels or more."""
        return self.model(self.initial(img))
