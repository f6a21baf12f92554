"""Networks and published weights of SSDIE-Net against formulas written out here."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmweather import from_official, published_forward
from mmweather.errors import CheckpointError
from mmweather.models.ssdie_net.discriminator import SandDustDiscriminator
from mmweather.models.ssdie_net.layers import LatentNoise
from mmweather.models.ssdie_net.msff import MSFF, CrossScaleAttention
from mmweather.models.ssdie_net.state_dict_adapter import rename_patch_unet
from mmweather.models.ssdie_net.unet import PatchUNet, SandDustUNet, from_patches, to_patches
from mmweather.registry import MODELS


def signed(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize('config, parameters', [
    (dict(type='mmweather.SandDustUNet'), 54_414_531),
    (dict(type='mmweather.MSFF'), 1_005_714),
    (dict(type='mmweather.PatchUNet'), 30_066_502),
    (dict(type='mmweather.SandDustDiscriminator'), 2_765_633),
    (dict(type='mmweather.SandDustDiscriminator', in_channels=1), 2_763_585),
], ids=lambda x: x['type'] if isinstance(x, dict) else None)
def test_default_sizes_are_the_published_ones(config, parameters):
    with torch.device('meta'):
        assert count(MODELS.build(config)) == parameters


@pytest.mark.parametrize('stored', [0, 2**25])
@pytest.mark.parametrize('sizes', [((3, 5), (3, 5)), ((1, 1), (1, 1)), ((4, 3), (2, 7))])
def test_attention_is_the_explicit_product(sizes, stored, monkeypatch):
    monkeypatch.setattr('mmweather.models.ssdie_net.msff._STORED_MAPS', stored)
    torch.manual_seed(0)
    block = CrossScaleAttention(16)
    block.gamma.data.fill_(0.7)
    x, y = signed(2, 16, *sizes[0]), 2 * signed(2, 16, *sizes[1])
    query, key, value = (conv(t).flatten(2) for conv, t in (
        (block.query_conv, x), (block.key_conv, y), (block.value_conv, y)))
    weights = torch.einsum('bci,bcj->bij', query, key).softmax(-1)
    wanted = 0.7 * torch.einsum('bij,bcj->bci', weights, value).view_as(x) + x
    assert torch.allclose(block(x, y), wanted, atol=1e-5)


def test_attention_starts_as_identity_and_gamma_learns():
    block = CrossScaleAttention(16)
    x = signed(1, 16, 4, 4)
    out = block(x, x)
    assert torch.equal(out, x)
    (out * signed(1, 16, 4, 4)).sum().backward()
    assert block.gamma.grad.abs().item() > 0
    assert block.value_conv.weight.grad.abs().max() == 0


@pytest.mark.parametrize('size', [(8, 8), (12, 20), (36, 8)])
def test_msff_keeps_multiples_of_four(size):
    network = MSFF(features=8).eval()
    with torch.no_grad():
        out = network(signed(2, 3, *size))
    assert out.shape == (2, 3, *size) and out.abs().max() <= 1
    assert network.inference_contract.multiple_of == 4 and network.inference_contract.minimum == 8


@pytest.mark.parametrize('downs, size', [(3, (8, 24)), (5, (32, 64)), (8, (256, 256))])
def test_unet_contract_is_true(downs, size):
    network = SandDustUNet(features=4, num_downs=downs).eval()
    contract = network.inference_contract
    assert contract.multiple_of == contract.minimum == 2**downs
    with torch.no_grad():
        assert network(signed(1, 3, *size)).shape == (1, 3, *size)
    assert SandDustUNet.inference_contract.multiple_of == 256


def test_unet_is_its_layers():
    torch.manual_seed(0)
    network = SandDustUNet(features=4, num_downs=3).eval()
    x = signed(1, 3, 16, 8)

    def reflected(x, layer):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), 'reflect'), layer.weight, layer.bias, 2)

    d1 = F.leaky_relu(reflected(x, network.initial_down[0]), 0.2)
    d2 = F.leaky_relu(network.down1.conv[1](reflected(d1, network.down1.conv[0])), 0.2)
    z = network.bottleneck[0](d2).relu()
    u1 = network.up1.conv[1](network.up1.conv[0](z)).relu()
    u2 = network.up2.conv[1](network.up2.conv[0](torch.cat((u1, d2), 1))).relu()
    wanted = network.final_up[0](torch.cat((u2, d1), 1)).tanh()
    assert torch.allclose(network(x), wanted, atol=1e-6)


def test_patches_there_and_back_row_by_row():
    x = signed(2, 3, 8, 12)
    patches = to_patches(x, 4)
    assert patches.shape == (2, 6, 3, 4, 4)
    assert torch.equal(patches[1, 4], x[1, :, 4:, 4:8])
    assert torch.equal(from_patches(patches, 8, 12), x)


def test_patch_unet_training_normalises_image_by_image():
    torch.manual_seed(0)
    network = PatchUNet(features=4, num_downs=3, dropout=0, noise_std=0).train()
    x = torch.cat((signed(1, 3, 16, 24), 0.1 * signed(1, 3, 16, 24)))
    out = network(x)
    assert network.unet.down1.conv[1].num_batches_tracked == 2
    assert torch.allclose(out[1:], network(x[1:]), atol=1e-6)
    single = network.eval()(x)
    assert torch.allclose(single[1:], network(x[1:]), atol=1e-6)


@pytest.mark.parametrize('build', [lambda **k: SandDustUNet(features=4, num_downs=3, **k),
                                   lambda **k: MSFF(features=8, **k),
                                   lambda **k: PatchUNet(features=4, num_downs=3, **k)])
def test_noise_at_test_time_only_where_asked_for(build):
    x = signed(1, 3, 16, 16)
    quiet, noisy = build().eval(), build(published_noise=True, noise_std=0.5).eval()
    with torch.no_grad():
        for block in (m for m in noisy.modules() if isinstance(m, CrossScaleAttention)):
            block.gamma.fill_(1)
        assert torch.equal(quiet(x), quiet(x))
        assert not torch.equal(noisy(x), noisy(x))


def test_one_draw_for_all_maps():
    noise = LatentNoise(0.5).train()
    a, b = signed(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    first, second = noise(a, b)
    assert torch.allclose(first - a, second, atol=1e-6) and second.std() > 0.1
    assert noise.eval()(a)[0] is a


@pytest.mark.parametrize('size, logits', [((256, 256), (30, 30)), ((64, 64), (6, 6)), ((24, 40), (1, 3))])
def test_discriminator_map(size, logits):
    network = SandDustDiscriminator(3, (4, 8, 8, 8)).eval()
    with torch.no_grad():
        assert network(signed(1, 3, *size)).shape == (1, 1, *logits)


@pytest.mark.parametrize('name, network', [
    ('unet', SandDustUNet(features=4, num_downs=4)), ('msff', MSFF(features=8)),
    ('disc', SandDustDiscriminator(3, (4, 8, 16))), ('dark', SandDustDiscriminator(1, (4, 8, 8, 8))),
])
def test_options_come_from_the_shapes(name, network):
    network.eval()
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    x = signed(1, 1 if name == 'dark' else 3, 32, 48)
    with torch.no_grad():
        wanted = network(x)
    found, = published_forward(f'ssdie_net/{name}', {'state_dict': state, 'optimizer': {}}, x.numpy())
    assert torch.allclose(torch.from_numpy(found), wanted, atol=1e-6)


def test_patch_generator_keys_are_renamed():
    network = PatchUNet(features=4, num_downs=3).eval()
    published = {}
    for key, value in network.state_dict().items():
        part = 'dec.' if key.startswith(('unet.up', 'unet.final_up')) else 'enc.'
        published[key.replace('unet.', part).replace('refine.', 'Stack_images.model.')] = value
    assert set(rename_patch_unet(published)) == set(network.state_dict())
    x = signed(1, 3, 16, 8)
    assert torch.equal(from_official('ssdie_net/ptc_gen', published).eval()(x), network(x))


@pytest.mark.parametrize('name', ['unet', 'msff', 'ptc_gen', 'disc', 'vgg19_features'])
def test_another_networks_weights_are_refused(name):
    with pytest.raises(CheckpointError, match='has no key') as caught:
        from_official(f'ssdie_net/{name}', {'conv.weight': torch.zeros(1)})
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('build', [lambda: SandDustUNet(num_downs=2), lambda: SandDustDiscriminator(3, (4, ))])
def test_too_few_levels(build):
    with pytest.raises(ValueError, match='num_downs=2|features='):
        build()
