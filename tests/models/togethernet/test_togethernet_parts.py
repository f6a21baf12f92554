"""TogetherNet's own blocks against formulas written out here; no toolbox needed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mmweather.models.togethernet.decoder import RestorationDecoder, enlarge_and_convolve
from mmweather.models.togethernet.dtfe import DynamicTransformerEnhancement
from mmweather.models.togethernet.layers import ModulatedDeformConv, TransformerBlock, TransformerLayer
from mmweather.models.togethernet.sampling import deform_by_matrices
from mmweather.models.togethernet.self_calibrated import SelfCalibratedBottleneck


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def sample(image: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """Bilinear value of (C, H, W) with zeros outside."""
    top, left = math.floor(y), math.floor(x)
    total = torch.zeros(len(image), dtype=image.dtype)
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * image[:, row, column]
    return total


def test_deformable_convolution_place_by_place():
    module = ModulatedDeformConv(3, 2).double()
    torch.nn.init.normal_(module.conv_offset.weight, std=0.7)
    x = torch.randn(1, 3, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        raw, out = module.conv_offset(x)[0], module(x)[0]
        assert raw[:18].abs().max() > 4  # some taps lie outside
        for row, column in ((0, 0), (4, 6), (2, 3), (4, 0)):
            wanted = torch.zeros(2, dtype=torch.float64)
            for tap in range(9):
                dy, dx = raw[2 * tap, row, column].item(), raw[2 * tap + 1, row, column].item()
                value = sample(x[0], row + tap // 3 - 1 + dy, column + tap % 3 - 1 + dx)
                wanted += module.conv.weight[:, :, tap // 3, tap % 3] @ value * raw[18 + tap, row, column].sigmoid()
            assert torch.allclose(out[:, row, column], wanted)


def test_gradients_through_the_predictor_are_a_tenth():
    module = ModulatedDeformConv(4, 4).double()
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    gradients = {}
    for factor in (0.0, 0.1, 1.0):
        module.predictor_gradient = factor
        parameters = (x, module.conv.weight, module.conv_offset.weight, module.conv_offset.bias)
        gradients[factor] = torch.autograd.grad(module(x).square().sum(), parameters)
    none, tenth, full = gradients[0.0], gradients[0.1], gradients[1.0]
    assert torch.allclose(tenth[1], full[1])
    for i in (2, 3):
        assert full[i].abs().max() > 0 and torch.allclose(tenth[i], 0.1 * full[i])
    # The input is reached directly, in full, and through the predictor, by a tenth.
    assert torch.allclose(tenth[0], none[0] + 0.1 * (full[0] - none[0])) and not torch.allclose(full[0], none[0])


def test_zero_offsets_make_half_a_convolution():
    module = ModulatedDeformConv(4, 3, zero_offsets=True)
    x = torch.randn(1, 4, 5, 9)
    assert torch.allclose(module(x), 0.5 * F.conv2d(x, module.conv.weight, padding=1), atol=1e-6)


@pytest.mark.parametrize('size, spread', [((5, 7), 1.0), ((12, 12), 3.0), ((1, 1), 1.0), ((3, 9), 20.0), ((4, 4), 0.0)])
def test_the_two_ways_of_sampling_agree(size, spread):
    from torchvision.ops import deform_conv2d
    x, weight = torch.randn(2, 4, *size, dtype=torch.float64), torch.randn(3, 4, 3, 3, dtype=torch.float64)
    # Places on whole pixels and outside the map included.
    offset, mask = spread * torch.randn(2, 18, *size, dtype=torch.float64), torch.rand(2, 9, *size, dtype=torch.float64)
    inputs = [value.requires_grad_() for value in (x, offset, weight, mask)]
    wanted, out = deform_conv2d(*inputs[:3], padding=1, mask=mask), deform_by_matrices(*inputs)
    assert torch.allclose(out, wanted, atol=1e-12)
    direction = torch.randn_like(out)
    for a, b in zip(torch.autograd.grad(out, inputs, direction), torch.autograd.grad(wanted, inputs, direction),
                    strict=True):
        assert torch.allclose(a, b, atol=1e-11)


@pytest.mark.parametrize('size', [(2, 2), (8, 3), (40, 33), (65, 31)])
def test_enlarging_after_the_convolution_is_the_same(size):
    x, weight = torch.randn(2, 5, *size, dtype=torch.float64), torch.randn(3, 5, 7, 7, dtype=torch.float64)
    bias = torch.randn(3, dtype=torch.float64)
    inputs = [value.requires_grad_() for value in (x, weight, bias)]
    large = F.interpolate(x, scale_factor=4, mode='bilinear', align_corners=True)
    wanted = F.conv2d(F.pad(large, (3, 3, 3, 3), mode='reflect'), weight, bias)
    out = enlarge_and_convolve(*inputs)
    assert torch.allclose(out, wanted, atol=1e-10)
    direction = torch.randn_like(out)
    for a, b in zip(torch.autograd.grad(out, inputs, direction), torch.autograd.grad(wanted, inputs, direction),
                    strict=True):
        assert torch.allclose(a, b, atol=1e-8)


def test_positions_that_are_not_numbers_give_nan_and_no_crash():
    module = ModulatedDeformConv(4, 4)
    with torch.no_grad():
        module.conv_offset.bias[3] = float('nan')
    out = module(torch.randn(1, 4, 16, 16))
    assert out.isnan().all()
    with torch.no_grad():
        module.conv_offset.bias[3] = 1e30
        assert torch.isfinite(module(torch.randn(1, 4, 16, 16))).all()


def test_deformable_convolution_under_autocast():
    module = ModulatedDeformConv(4, 4)
    x = torch.randn(1, 4, 6, 6)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = module(x)
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), module(x), atol=0.05)


def test_transformer_layer_projects_twice():
    layer = TransformerLayer(24, 4).eval()
    x = torch.randn(2, 11, 24)
    with torch.no_grad():
        torch.nn.init.normal_(layer.ma.in_proj_bias)
        h = layer.layernorm1(x).transpose(0, 1)
        a = layer.ma(layer.q(h), layer.k(h), layer.v(h))[0].transpose(0, 1) + x
        wanted = layer.fc2(F.relu(layer.fc1(layer.layernorm2(a)))) + a
        assert torch.allclose(layer(x), wanted, atol=1e-5)


def test_dropout_is_on_in_training_only():
    layer = TransformerLayer(16, 4, dropout=0.5)
    x = torch.randn(1, 5, 16)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_transformer_block_treats_samples_apart_and_keeps_positions():
    block = TransformerBlock(16).eval()
    x = torch.randn(2, 16, 3, 5)
    with torch.no_grad():
        both = block(x)
        assert torch.allclose(both[1:], block(x[1:]), atol=1e-6)
        # Nothing knows where a token lies: mirrored in, mirrored out.
        assert torch.allclose(block(x.flip(3)), both.flip(3), atol=1e-5)


@pytest.mark.parametrize('size', [(1, 1), (3, 2), (5, 4)])
def test_enhancement_reaches_everywhere(size):
    module = DynamicTransformerEnhancement(32).eval()
    x = torch.randn(1, 32, *size, requires_grad=True)
    out = module(x)
    assert out.shape == x.shape
    gradient, = torch.autograd.grad(out[0, :, 0, 0].sum(), x)
    assert (gradient.abs().sum(1) > 0).all()


def test_enhancement_names_the_mistake():
    with pytest.raises(ValueError, match='channels=20'):
        DynamicTransformerEnhancement(20, num_heads=4)


@pytest.mark.parametrize('size', [(10, 13), (4, 4), (3, 9), (1, 1)])
def test_self_calibrated_bottleneck(size):
    block = SelfCalibratedBottleneck(12)
    x = torch.randn(2, 12, *size)

    def act(v):
        return torch.where(v > 0, v, 0.2 * v)

    def conv(module, v):
        return F.conv2d(v, module.weight, module.bias, padding=module.weight.shape[-1] // 2)

    with torch.no_grad():
        z = act(conv(block.conv1_b, x))
        side = [min(4, n) for n in size]
        cells = [n // s for n, s in zip(size, side, strict=True)]
        cut = z[..., :cells[0] * side[0], :cells[1] * side[1]]
        means = cut.reshape(2, 6, cells[0], side[0], cells[1], side[1]).mean((3, 5))
        coarse = conv(block.scconv.k2[1], means)
        index = [torch.arange(n) * c // n for n, c in zip(size, cells, strict=True)]
        gate = torch.sigmoid(z + coarse[:, :, index[0]][..., index[1]])
        b = act(conv(block.scconv.k4[0], conv(block.scconv.k3[0], z) * gate))
        a = act(conv(block.k1[0], act(conv(block.conv1_a, x))))
        wanted = act(conv(block.conv3, torch.cat((a, b), 1)) + x)
        assert torch.allclose(block(x), wanted, atol=1e-5)


def test_bottleneck_leaves_its_input_alone():
    x = torch.randn(1, 8, 5, 5)
    kept = x.clone()
    SelfCalibratedBottleneck(8)(x)
    assert torch.equal(x, kept)
    with pytest.raises(ValueError, match='channels=7'):
        SelfCalibratedBottleneck(7)


@pytest.mark.parametrize('coarse', [(1, 1), (2, 3)])
@pytest.mark.parametrize('tanh', [True, False])
def test_decoder(coarse, tanh):
    decoder = RestorationDecoder((8, 20, 36), out_channels=4, tanh=tanh).eval()
    features = [torch.randn(2, c, coarse[0] * s, coarse[1] * s) for c, s in ((8, 4), (20, 2), (36, 1))]
    with torch.no_grad():
        out = decoder(features)
        assert out.shape == (2, 4, 32 * coarse[0], 32 * coarse[1])
        decoder.conv_4[1].bias += 50
        assert (decoder(features).max() > 1) != tanh
    # Every scale counts.
    for i in range(3):
        changed = [f + (j == i) for j, f in enumerate(features)]
        assert not torch.allclose(decoder(changed), decoder(features)) or tanh
