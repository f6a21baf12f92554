"""Classical restorers without parameters, to compare trained ones with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmweather.errors import ConfigError
from mmweather.registry import MODELS

from ..ops.contract import InferenceContract
from ..ops.dark_channel import dark_channel
from ..ops.filters import grey_world, guided_filter

_LUMA = (0.299, 0.587, 0.114)
_DARKEST_AIR = 1e-2


@MODELS.register_module()
class GreyWorld(nn.Module):
    """Colour balance that makes the mean of an image grey; see :func:`~mmweather.models.ops.filters.grey_world`."""

    inference_contract = InferenceContract(tiling='never')

    def forward(self, img: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same."""
        return grey_world(img)


@MODELS.register_module()
class DarkChannelPrior(nn.Module):
    """Removal of haze by the dark channel prior (He et al., CVPR 2009), the transmission refined by a guided filter.

    The air is the brightest of the pixels whose dark channel is in the highest thousandth; what the dark channel shows
    above 0 is taken for air, in a share of ``omega``. The defaults are those of the paper (guided filter: He et al.,
    ECCV 2010, with the grey picture as the guide).

    Args:
        window: side of the window of the dark channel in pixels, odd.
        omega: share of the haze that is removed, in (0, 1].
        least: least transmission, above 0.
        radius: of the guided filter in pixels; 0 leaves the transmission as it is.
        eps: of the guided filter.

    Raises:
        ConfigError: a number is out of range.
    """

    inference_contract = InferenceContract(tiling='never')

    def __init__(self, window: int = 15, omega: float = 0.95, least: float = 0.1, radius: int = 60,
                 eps: float = 1e-4) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0 or not 0 < omega <= 1 or not 0 < least <= 1 or radius < 0 or eps <= 0:
            raise ConfigError('DarkChannelPrior: window must be odd, omega and least in (0, 1], radius 0 or more, '
                              f'eps above 0, got {window}, {omega}, {least}, {radius} and {eps}')
        self.window = window
        self.omega = omega
        self.least = least
        self.radius = radius
        self.eps = eps

    def air(self, img: Tensor) -> Tensor:
        """Colour of the air, (B, C, 1, 1), of images (B, C, H, W)."""
        dark = dark_channel(img, self.window).flatten(1)
        count = max(1, dark.shape[1] // 1000)
        places = dark.topk(count, 1).indices
        colours = img.flatten(2).gather(2, places.unsqueeze(1).expand(-1, img.shape[1], -1))
        brightest = colours.sum(1).argmax(1).view(-1, 1, 1).expand(-1, img.shape[1], 1)
        return colours.gather(2, brightest).unsqueeze(-1)

    def transmission(self, img: Tensor, air: Tensor) -> Tensor:
        """Share of the scene's light that arrives, (B, 1, H, W), not limited."""
        share = 1 - self.omega * dark_channel(img / air.clamp_min(_DARKEST_AIR), self.window)
        if not self.radius:
            return share
        guide = (img * img.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return guided_filter(guide, share, self.radius, self.eps)

    def forward(self, img: Tensor) -> Tensor:
        """(B, 3, H, W), RGB in [0, 1], to the same."""
        with torch.autocast(img.device.type, enabled=False):  # the filter subtracts squares of nearly one size
            img = img.float()
            air = self.air(img)
            return ((img - air) / self.transmission(img, air).clamp(self.least, 1) + air).clamp(0, 1)
