"""The initialisation that several published codes share."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn


def init_published(network: nn.Module, zero_biases: bool = False, skip: Collection[nn.Module] = ()) -> None:
    """Draw convolution weights from N(0, 0.02) and batch-norm weights from N(1, 0.02), in place.

    Biases of batch norms become 0; everything else keeps PyTorch's initialisation.

    Args:
        network: its modules are drawn in the order of ``network.modules()``.
        zero_biases: also set the biases of convolutions to 0.
        skip: modules to leave as they are.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module not in skip:
            nn.init.normal_(module.weight, 0.0, 0.02)
            if zero_biases and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
