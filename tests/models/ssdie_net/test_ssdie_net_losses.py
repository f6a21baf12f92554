"""Losses of SSDIE-Net and the dark channel against formulas written out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmweather.models.losses.image import discriminator_loss, logistic_loss
from mmweather.models.ops import filters
from mmweather.models.ops.dark_channel import block_dark_channel
from mmweather.models.ssdie_net.vgg import RELUS, VGG19Features


def signed(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize('size', [(32, 48), (17, 5), (1, 1), (16, 33)])
def test_dark_channel_by_hand(size):
    x = signed(2, 3, *size)
    out = block_dark_channel(x)
    few = block_dark_channel(x, expand=False)
    assert out.shape == (2, 1, *size) and few.shape == (2, 1, -(-size[0] // 16), -(-size[1] // 16))
    for top in range(0, size[0], 16):
        for left in range(0, size[1], 16):
            least = x[1, :, top:top + 16, left:left + 16].min()
            assert (out[1, 0, top:top + 16, left:left + 16] == least).all()
            assert few[1, 0, top // 16, left // 16] == least


def test_dark_channel_shares_the_gradient_of_ties():
    x = torch.ones(1, 3, 20, 20, requires_grad=True)
    block_dark_channel(x, 10, expand=False).sum().backward()
    assert torch.allclose(x.grad, torch.full_like(x, 1 / 300))


def test_vgg_features_are_the_layers_of_torchvision():
    network = VGG19Features(['relu2_1', 'relu1_2'])
    x = signed(1, 3, 16, 18)
    found = network(x)
    assert list(found) == ['relu1_2', 'relu2_1'] and len(network.features) == RELUS['relu2_1'] + 1
    y = ((x + 1) / 2 - network.mean) / network.std
    convs = [m for m in network.features if isinstance(m, torch.nn.Conv2d)]
    y = convs[1](convs[0](y).relu()).relu()
    assert torch.allclose(found['relu1_2'], y, atol=1e-5)
    assert torch.allclose(found['relu2_1'], convs[2](F.max_pool2d(y, 2)).relu(), atol=1e-5)
    assert not any(p.requires_grad for p in network.parameters()) and not network.train().training
    with pytest.raises(ValueError, match='relu9_9'):
        VGG19Features(['relu9_9'])


def test_vgg_weights_of_a_file(tmp_path):
    source = VGG19Features(['relu2_2'])
    state = {**source.state_dict(), 'classifier.0.weight': torch.zeros(2, 2)}
    torch.save(state, tmp_path / 'vgg19.pth')
    loaded = VGG19Features(['relu1_1'], str(tmp_path / 'vgg19.pth'))
    assert torch.equal(loaded.features[0].weight, source.features[0].weight)


def test_logistic_losses():
    logits = 5 * signed(2, 1, 3, 4)
    p = logits.double().sigmoid()
    assert logistic_loss(logits, True).item() == pytest.approx(-p.log().mean().item(), rel=1e-5)
    assert logistic_loss(logits, False).item() == pytest.approx(-(1 - p).log().mean().item(), rel=1e-5)
    assert torch.isfinite(discriminator_loss(torch.tensor(-1e4), torch.tensor(1e4)))
    assert discriminator_loss(torch.tensor(0.), torch.tensor(0.)).item() == pytest.approx(np.log(2))


def test_box_mean_counts_pixels_inside_unless_published():
    x = torch.ones(1, 1, 5, 4)
    assert torch.equal(filters.box_mean(x, 2), x)
    assert filters.box_mean(x, 1, published=True)[0, 0, 0, 0].item() == pytest.approx(4 / 9)


def test_guided_filter_keeps_what_its_guide_explains():
    guide = signed(1, 1, 12, 9)
    assert torch.allclose(filters.guided_filter(guide, 3 * guide + 1, 2), 3 * guide + 1, atol=1e-3)
    flat = filters.guided_filter(torch.zeros_like(guide), guide, 2, 1e-2)
    assert torch.allclose(flat, filters.box_mean(filters.box_mean(guide, 2), 2), atol=1e-6)


def test_grey_world():
    cast = torch.rand(1, 3, 6, 6) * torch.tensor([0.6, 0.3, 0.1]).view(1, 3, 1, 1)
    means = filters.grey_world(cast).mean((0, 2, 3))
    assert means.max() - means.min() < 1e-3
    assert torch.equal(filters.grey_world(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2))
