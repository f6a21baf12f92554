"""What the golden checks of SSDIE-Net share: inputs, weights, and rows that several of them yield."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from parity_compare import Arrays, GoldenFolder, Rows
from parity_fill import fill_input
from torch import Tensor, nn

from mmweather.apis.adapters import from_official
from mmweather.models.losses.image import logistic_loss
from mmweather.models.ops.dark_channel import block_dark_channel
from mmweather.models.semi_supervised.terms import PerceptualTerm, StyleTerm
from mmweather.models.ssdie_net.state_dict_adapter import rename_patch_unet

GAINS = {'vgg19_features': 1.41421356}


def image(name: str, shape: tuple[int, ...]) -> Tensor:
    """The README's ``I(name, shape)``: values in [-1, 1)."""
    return torch.from_numpy(fill_input(name, shape)) * 2 - 1


def blocky(name: str, count: int = 1) -> Tensor:
    """The README's ``blk``: (count, 3, 256, 256) of 8x8 blocks."""
    return image(name, (count, 3, 32, 32)).repeat_interleave(8, -1).repeat_interleave(8, -2)


def gained_state(folder: GoldenFolder, stem: str) -> Arrays:
    """Filled weights with the README's gain on every tensor of two or more dimensions."""
    gain = np.float32(GAINS.get(stem, 1.3))
    return {key: value * gain if value.ndim > 1 else value for key, value in folder.state(stem).items()}


def network_of(folder: GoldenFolder, stem: str, **options: Any) -> nn.Module:
    """Our network with the golden weights, in evaluation mode."""
    return from_official(f'ssdie_net/{stem}', gained_state(folder, stem), **options).eval()


def statistics(x: Tensor) -> np.ndarray:
    """[mean, population std, min, max, sum of absolute values], float64."""
    wide = x.detach().double()
    return np.array([wide.mean(), wide.std(correction=0), wide.min(), wide.max(), wide.abs().sum()])


def sampled(x: Tensor, step: int) -> Tensor:
    return x.detach()[..., ::step, ::step]


def our_key(stem: str, key: str) -> str:
    """Our name of a published parameter or module."""
    if stem != 'ptc_gen':
        return key
    return {'dec': 'unet.final_up'}.get(key) or next(iter(rename_patch_unet({key: torch.empty(0)})))


def norms(module: nn.Module, keys: np.ndarray, stem: str = '') -> np.ndarray:
    parameters = dict(module.named_parameters())
    return np.array([torch.linalg.vector_norm(parameters[our_key(stem, str(key))].grad.double()).item()
                     for key in keys])


def batch_norm_rows(network: nn.Module, reference: Arrays, prefix: str, stem: str = '') -> Rows:
    for key in reference:
        if key.startswith(prefix):
            name, _, leaf = key.removeprefix(prefix).rpartition('/')
            module = network.get_submodule(our_key(stem, name))
            yield key, getattr(module, 'num_batches_tracked' if leaf == 'nbt' else leaf).clone(), None


class PerceptualStyle:
    """The shipped terms on images: perceptual and style loss, and their layers.

    Args:
        folder: has the layout of VGG-19, which is filled.
    """

    def __init__(self, folder: GoldenFolder) -> None:
        self.vgg = network_of(folder, 'vgg19_features')
        self.kinds = {'perceptual': PerceptualTerm(), 'style': StyleTerm()}

    def terms(self, pred: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Loss of each layer, ``{'perceptual': {layer: scalar}, 'style': {layer: scalar}}``, from VGG's features."""
        return {kind: {layer: term.compare(pred[layer], target[layer]) for layer in term.layers}
                for kind, term in self.kinds.items()}

    def __call__(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            wanted = self.vgg(target)
        perceptual, style = (torch.stack(list(layers.values())).sum()
                             for layers in self.terms(self.vgg(pred), wanted).values())
        return perceptual, style


def dark_channel_loss(classifier: nn.Module, img: Tensor) -> Tensor:
    """How far a classifier of dark channels is from taking (B, 3, H, W) in [-1, 1] for clean images."""
    return logistic_loss(classifier(block_dark_channel(img)), True)


def dark_channel_input() -> Tensor:
    """The image whose dark channel the golden files hold, (2, 3, 256, 256)."""
    coarse = image('ssdie.dc.input', (2, 3, 32, 32)).repeat_interleave(8, -1).repeat_interleave(8, -2)
    return coarse + 0.1 * (torch.from_numpy(fill_input('ssdie.dc.detail', (2, 3, 256, 256))) - 0.5)
