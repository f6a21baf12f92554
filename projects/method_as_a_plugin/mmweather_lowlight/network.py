"""A brightening curve with one strength a colour channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS


@MODELS.register_module()
class LightCurve(nn.Module):
    """Repeated quadratic curves, ``x + a x (1 - x)``, which keep 0 and 1 (the form of Zero-DCE, CVPR 2020, eq. 1-2).

    Args:
        iterations: how often the curve is applied.

    Shapes:
        (B, 3, H, W) in [0, 1], RGB, to the same.
    """

    inference_contract = InferenceContract(inputs=('img', ), overlap=0)

    def __init__(self, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations
        self.strength = nn.Parameter(torch.zeros(3))

    def forward(self, img: Tensor) -> Tensor:
        """Brighten images."""
        strength = self.strength.tanh()[:, None, None]
        for _ in range(self.iterations):
            img = img + strength * img * (1 - img)
        return img
