"""VGG-16 feature levels of the information measure."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_TAPS = (3, 8, 15, 22, 29)


class PublishedVGG(nn.Module):
    """torchvision's VGG-16 seen through five ReLU taps.

    Args:
        sequential: True gives the activations after relu1_2, 2_2, 3_3, 4_3 and 5_3, as the paper describes. False
            gives what the published code computes: it applies just those five ReLUs to the image.
    """

    def __init__(self, sequential: bool = False) -> None:
        super().__init__()
        from torchvision.models import vgg16
        network = vgg16(weights=None)
        self.features = network.features
        self.classifier = network.classifier
        self.sequential = sequential

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) in [0, 1] to five feature maps, finest first."""
        if not self.sequential:
            return (F.relu(x), ) * len(_TAPS)
        levels = []
        for index, layer in enumerate(self.features[:_TAPS[-1] + 1]):
            x = layer(x)
            if index in _TAPS:
                levels.append(x)
        return tuple(levels)
