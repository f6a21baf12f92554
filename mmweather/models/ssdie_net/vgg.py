"""VGG-19 features for images in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmweather.errors import CheckpointError
from mmweather.registry import MODELS

#: Index of each ReLU in torchvision's ``vgg19().features``.
RELUS = {
    f'relu{stage}_{i + 1}': first + 2 * i
    for stage, first, count in ((1, 1, 2), (2, 6, 2), (3, 11, 4), (4, 20, 4), (5, 29, 4)) for i in range(count)
}


@MODELS.register_module()
class VGG19Features(nn.Module):
    """Activations of torchvision's VGG-19; the parameters are frozen.

    ``in_checkpoints`` tells the semi-supervised restorer to leave the weights out of its checkpoints.

    Args:
        layers: names such as ``'relu3_4'``; the network is cut behind the deepest.
        weights: ``'imagenet'`` for torchvision's, fetched once; a file of torchvision's ``vgg19`` state dict; None
            leaves random weights, to be loaded by the caller.

    Raises:
        ValueError: an unknown layer.
        CheckpointError: the file does not hold a VGG-19.
    """

    in_checkpoints = False

    def __init__(self, layers: Sequence[str] = tuple(RELUS), weights: str | None = None) -> None:
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers
        unknown = sorted(set(layers) - set(RELUS))
        if unknown or not layers:
            raise ValueError(f'VGG-19 has no layers {unknown}: choose from {", ".join(RELUS)}')
        self.layers = tuple(sorted(layers, key=RELUS.__getitem__))
        self.features = make_layers(cfgs['E'], batch_norm=False)[:RELUS[self.layers[-1]] + 1]
        self.register_buffer('mean', torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1), persistent=False)
        if weights is not None:
            self.load(weights)
        self.eval().requires_grad_(False)

    def load(self, weights: str) -> None:
        """Load ``'imagenet'`` or a file, as in the constructor.

        Raises:
            CheckpointError: the file does not hold a VGG-19, or the weights could not be fetched.
        """
        from mmweather.utils.checkpoint import load_checkpoint, load_into, unwrap_state_dict
        if weights == 'imagenet':
            from torchvision.models import VGG19_Weights
            try:
                state = load_checkpoint(VGG19_Weights.IMAGENET1K_V1.url)
            except CheckpointError as error:
                raise CheckpointError(f"torchvision's VGG-19 weights: {error}; or give a file of its vgg19 state dict "
                                      "in place of 'imagenet', or leave the terms out that use it") from error
        else:
            state = unwrap_state_dict(load_checkpoint(weights))
        own = self.state_dict()
        # The deeper layers and the classifier of the file are not needed.
        load_into(self, {key: value for key, value in state.items() if key in own}, source=weights)

    def train(self, mode: bool = True) -> VGG19Features:
        """Always in evaluation mode."""
        return super().train(False)

    def forward(self, img: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) RGB in [-1, 1], sides of 16 or more, to ``{layer: (B, C, h, w)}``, shallowest first."""
        x = (img * 0.5 + 0.5 - self.mean) / self.std
        wanted = {RELUS[name]: name for name in self.layers}
        found = {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in wanted:
                found[wanted[index]] = x
        return found
