"""ACA-CRNet's trunk, loss and published keys against formulas written out here."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmweather.apis.adapters import from_official, published_forward
from mmweather.errors import CheckpointError
from mmweather.models.aca_crnet.losses import CloudAdaptiveLoss
from mmweather.models.aca_crnet.network import ACACRNet
from mmweather.registry import MODELS


def small(**options) -> ACACRNet:
    torch.manual_seed(0)
    return ACACRNet(**{'width': 8, 'num_blocks': 4, **options})


def published_keys(network: ACACRNet, prefix: str = 'net.module.') -> dict[str, torch.Tensor]:
    """The state dict under the published names."""
    result = {}
    for key, value in network.state_dict().items():
        part, _, rest = key.partition('.')
        if part == 'blocks':
            number, _, rest = rest.partition('.')
            rest = f'{int(number) + 2}.net.{rest}'
        else:
            rest = f'{0 if part == "stem" else len(network.blocks) + 2}.{rest}'
        result[prefix + rest] = value
    return result


@pytest.mark.parametrize('down', [2, 4])
def test_forward_is_the_published_order_of_layers(down):
    network = small(in_channels=15, out_channels=13, down_factor=down).eval()
    x = torch.rand(2, 15, 12, 20)
    y = F.relu(network.stem(x))
    for i, block in enumerate(network.blocks):
        if i in (2, 3):
            z = F.relu(F.conv2d(y, block.conv1.weight, stride=2, padding=1))
            z = F.relu(F.conv2d(z, block.conv2.weight, stride=down // 2, padding=1))
            z = F.interpolate(block.att(z), scale_factor=down, mode='bilinear', align_corners=True)
        else:
            z = F.conv2d(F.relu(F.conv2d(y, block.conv1.weight, padding=1)), block.conv2.weight, padding=1)
        y = y + 0.1 * z
    wanted = network.refine(y) + x[:, 2:15]
    torch.testing.assert_close(network(x), wanted, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(network(x), wanted, rtol=1e-4, atol=1e-4)
    assert network.inference_contract.multiple_of == down
    assert ACACRNet.inference_contract.multiple_of == 2


def test_published_size():
    with torch.device('meta'):
        for channels, count in (((3, 3), 20_397_831), ((15, 13), 20_448_529)):
            network = ACACRNet(*channels)
            assert sum(p.numel() for p in network.parameters()) == count
            assert [i for i, b in enumerate(network.blocks) if hasattr(b, 'att')] == [8, 12]


def test_initial_weights_are_kaiming_uniform():
    network = small(width=64)
    weight = network.blocks[0].conv1.weight
    bound = (6 / (64 * 9))**0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    assert not network.stem.bias.any() and not network.blocks[2].att.query.bias.any()


def test_skip_can_come_from_the_first_bands():
    network = small(in_channels=15, out_channels=13, skip_from=0)
    torch.nn.init.zeros_(network.refine.weight)
    x = torch.rand(1, 15, 5, 7)
    torch.testing.assert_close(network(x), x[:, :13])


@pytest.mark.parametrize('prefix', ['net.module.', 'net.', 'module.', ''])
def test_published_state_dict_loads_and_shapes_tell_the_options(prefix):
    network = small(in_channels=5, out_channels=4, num_blocks=7).eval()
    state = published_keys(network, prefix)
    x = torch.rand(1, 5, 9, 11)
    loaded = from_official('aca_crnet/rice_3to3', state)
    assert len(loaded.blocks) == 7
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    assert published_forward('aca_crnet/sen12mscr_15to13', state, x)[0].shape == (1, 4, 9, 11)


def test_ablation_without_selection_loads():
    network = small(selection=False)
    assert not any('linear_weight' in key for key in network.state_dict())
    loaded = from_official('aca_crnet/rice_3to3', published_keys(network))
    assert loaded.blocks[2].att.selection is False


def test_wrong_state_dicts_are_one_line():
    state = published_keys(small())
    with pytest.raises(CheckpointError, match='1 of .* missing') as error:
        from_official('aca_crnet/rice_3to3', {k: v for k, v in state.items() if not k.endswith('3.net.conv2.weight')})
    assert '\n' not in str(error.value)
    with pytest.raises(CheckpointError, match='not an ACA-CRNet'):
        from_official('aca_crnet/rice_3to3', {'conv.weight': torch.zeros(3)})
    with pytest.raises(CheckpointError, match='attentive contextual'):
        from_official('aca_crnet/ac_attention_256', {'conv.weight': torch.zeros(3)})


@pytest.mark.parametrize('options', [{'down_factor': 3}, {'in_channels': 3, 'out_channels': 4}, {'skip_from': 1},
                                     {'attention_blocks': (4, )}], ids=str)
def test_wrong_arguments(options):
    with pytest.raises(ValueError):
        small(**options)


def test_loss():
    torch.manual_seed(1)
    p, t, x = (torch.randn(2, 3, 5, 4) for _ in range(3))
    m = (torch.rand(2, 1, 5, 4) > 0.5).float()
    clouded = m.bool().expand_as(p)
    wanted = torch.where(clouded, (p - t).abs(), (p - x).abs()).mean() + 2 * (p - t).abs().mean()
    torch.testing.assert_close(CloudAdaptiveLoss(target_weight=2)(p, t, x, m), wanted)
    published = CloudAdaptiveLoss(published=True, loss_weight=3)(p, t, None, m)
    torch.testing.assert_close(published, 3 * ((1 + m) * (p - t).abs()).mean())
    with pytest.raises(ValueError, match='cloudy'):
        CloudAdaptiveLoss()(p, t, None, m)


def test_names_are_registered():
    network = MODELS.build(dict(type='mmweather.ACACRNet', width=4, num_blocks=2, attention='full'))
    assert network.blocks[1].att.mode == 'full'
    assert isinstance(MODELS.build(dict(type='mmweather.CloudAdaptiveLoss')), CloudAdaptiveLoss)
