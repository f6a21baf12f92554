"""Golden vectors of the losses of SSDIE-Net."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from parity_compare import Arrays, GoldenFolder, Relative, Rows
from parity_ssdie_net_inputs import (
    PerceptualStyle,
    dark_channel_input,
    dark_channel_loss,
    image,
    network_of,
    sampled,
    statistics,
)
from torch import Tensor

from mmweather.models.losses.image import discriminator_loss, gram, logistic_loss
from mmweather.models.ops.dark_channel import block_dark_channel
from mmweather.models.ssdie_net.vgg import RELUS


def total_variation(img: Tensor) -> Tensor:
    """Twice the sum of the mean squared vertical and the mean squared horizontal neighbour difference.

    (B, C, H, W) to a scalar. The published code defines it and does not use it.
    """
    vertical, horizontal = img.diff(dim=-2).square().mean(), img.diff(dim=-1).square().mean()
    return 2 * (vertical + horizontal)


def _loss_rows(name: str, value: Tensor, wanted: Tensor) -> Rows:
    grad, = torch.autograd.grad(value, wanted, retain_graph=True)
    yield name, value.detach(), 1e-5
    yield f'{name}/grad_b_norm', torch.linalg.vector_norm(grad.double()), 1e-5
    yield f'{name}/grad_b_sample', sampled(grad[0], 8), None


def check_losses(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Every loss with its gradient, layer by layer where it has layers."""
    a, b = (image(f'ssdie.loss.{name}', (2, 3, 64, 64)) for name in 'ab')
    b.requires_grad_()
    criterion = PerceptualStyle(folder)
    perceptual, style = criterion(b, a)
    l1 = F.l1_loss(b, a)
    for name, value in {
            'l1': l1, 'mse': F.mse_loss(b, a), 'bce_ones': logistic_loss(3 * b, True),
            'bce_zeros': logistic_loss(3 * b, False), 'disc_loss': discriminator_loss(3 * a, 3 * b),
            'tv': total_variation(b), 'tv_weight2': 2 * total_variation(b), 'perceptual': perceptual,
            'style': style, 'supervised': 100 * l1 + perceptual + style}.items():
        yield from _loss_rows(name, value, b)

    with torch.no_grad():
        features = criterion.vgg(a)
        terms = criterion.terms(criterion.vgg(b), features)
    for kind, layers in terms.items():
        for name, value in layers.items():
            yield f'{kind}/{name}', value, 1e-5
    for name in terms['style']:
        matrix = gram(features[name])
        yield f'gram_shape/{name}', matrix.shape, 0.0
        yield f'gram_mean/{name}', matrix.double().mean(), 1e-6
    for name, value in features.items():
        yield f'vgg/{name}/shape', value.shape, 0.0
        yield f'vgg/{name}/mean_std', statistics(value)[:2], 1e-5
    yield 'vgg_keys', np.array([f'vgg.{name}.{index - 1}.{leaf}' for name, index in RELUS.items()
                                for leaf in ('weight', 'bias')]), 0.0

    x = dark_channel_input().requires_grad_()
    dark = network_of(folder, 'dark')
    loss = dark_channel_loss(dark, x)
    loss.backward()
    assert x.grad is not None
    yield 'dcp_regression', loss.detach(), 1e-5
    with torch.no_grad():
        yield 'dcp_regression/logits', dark(block_dark_channel(x)), None
    yield 'dcp_regression/grad_x_norm', torch.linalg.vector_norm(x.grad.double()), 1e-5
    yield 'dcp_regression/grad_x_nonzero', x.grad.count_nonzero(), 0.0
    # An average times its size is the sum over blocks.
    sums = F.avg_pool2d(x.grad.sum(1, keepdim=True), 16) * 256
    yield 'dcp_regression/grad_block_sum', sums, Relative(1e-4, None)
