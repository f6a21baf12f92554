"""HeatNet's networks against independent formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mmweather.apis.adapters import from_official
from mmweather.errors import CheckpointError
from mmweather.models.heatnet.critic import DomainCritic
from mmweather.models.heatnet.pspnet import (
    Bottleneck,
    HeatNetPSPNet,
    PyramidPooling,
    UpBlock,
    doubled_conv,
)

SMALL = dict(width=4, num_classes=5, blocks=(1, 2, 2, 1))


def test_pyramid_equals_convolving_after_the_upsampling():
    torch.manual_seed(0)
    module = PyramidPooling(6, 5)
    x = torch.randn(2, 6, 7, 11)
    maps = [F.interpolate(stage(x), (7, 11), mode='bilinear') for stage in module.stages]
    wanted = F.relu(module.bottleneck(torch.cat((*maps, x), 1)))
    torch.testing.assert_close(module(x), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('size', [(5, 7), (1, 4), (1, 1)])
def test_the_taps_on_the_small_map_are_the_convolution_of_the_doubled_one(size):
    """Values and gradients, at the rims as well: bilinear doubling repeats the rim, the convolution pads with zeros."""
    torch.manual_seed(0)
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    conv = torch.nn.Conv2d(6, 4, 3, padding=1, dtype=torch.float64)
    found = doubled_conv(x, conv.weight, conv.bias)
    wanted = conv(F.interpolate(x, scale_factor=2, mode='bilinear'))
    torch.testing.assert_close(found, wanted)
    pull = torch.randn_like(wanted)
    for a, b in zip(*(torch.autograd.grad(y, (x, *conv.parameters()), pull) for y in (found, wanted)), strict=True):
        torch.testing.assert_close(a, b)


def test_wide_up_blocks_take_the_taps_and_give_the_same(monkeypatch):
    torch.manual_seed(0)
    block, x = UpBlock(UpBlock.WIDE, 3), torch.randn(2, UpBlock.WIDE, 4, 5)
    block.eval()
    with torch.no_grad():
        found = block(x)
        monkeypatch.setattr(UpBlock, 'WIDE', UpBlock.WIDE + 1)
        monkeypatch.setattr('mmweather.models.heatnet.pspnet.doubled_conv', None)  # would fail if it were called
        torch.testing.assert_close(found, block(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(('height', 'width'), [(33, 50), (64, 40), (1, 9)])
def test_sizes_and_critic_inputs(height, width):
    network = HeatNetPSPNet(**SMALL).eval()
    with torch.no_grad():
        logits, inputs = network(torch.rand(1, 3, height, width), torch.rand(1, 1, height, width))
    h, w = math.ceil(height / 8), math.ceil(width / 8)
    assert logits.shape == (1, 5, 8 * h, 8 * w)
    assert inputs[0] is logits
    assert [x.shape[1] for x in inputs] == [5, 128, 64, 64, 32, 8]
    assert inputs[3].shape[2:] == (h, w)
    assert inputs[4].shape[2:] == (math.ceil(height / 4), math.ceil(width / 4))


def test_late_fusion_keeps_the_concatenation_as_identity():
    network = HeatNetPSPNet(**SMALL)
    assert network.feats.layer3[0].downsample is None
    assert HeatNetPSPNet(4, 0, **SMALL).feats.layer3[0].downsample is not None
    dilations = [block.conv2.dilation for block in network.feats.layer3 if isinstance(block, Bottleneck)]
    assert dilations == [(1, 1), (2, 2)]


def test_streams_must_match_images():
    with pytest.raises(ValueError, match='zip'):
        HeatNetPSPNet(**SMALL)(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize('size', [(32, 32), (63, 100)])
def test_critic_output_is_32_times_its_scores(size):
    critic = DomainCritic(3, width=2)
    x = torch.randn(2, 3, *size)
    assert critic.score(x).shape == (2, 1, size[0] // 32, size[1] // 32)
    assert critic(x).shape == (2, 1, 32 * (size[0] // 32), 32 * (size[1] // 32))


def test_published_weights_give_widths_streams_and_classes():
    source = HeatNetPSPNet(decoder=(9, 8, 7, 6), **SMALL)
    state = {f'module.{key}': value for key, value in source.state_dict().items()}
    network = from_official('heatnet/teacher_vistas_pspnet', state)
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in source.state_dict().items()}
    with pytest.raises(CheckpointError, match=r'feats\.conv1\.weight'):
        from_official('heatnet/conf_pspnet_late_c1', {'x': torch.zeros(1)})
