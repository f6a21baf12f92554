"""Published state dicts become ours and published again without a loss, for every published network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from mmweather import cli, from_official
from mmweather.apis.adapters import published_networks, to_published
from mmweather.errors import CheckpointError
from mmweather.methods import own_methods
from mmweather.models.aca_crnet.network import ACACRNet
from mmweather.models.heatnet.resnext import HeatNetResNeXt
from mmweather.models.heatnet.state_dict_adapter import SegmentorWithCritics
from mmweather.models.nitedr.refinement import IlluminationRefiner
from mmweather.utils.checkpoint import load_checkpoint, unwrap_state_dict

ROOT = Path(__file__).resolve().parents[2]
# Where the layouts ({published key: shape}) are, in this order.
LAYOUTS = (ROOT / 'tests/parity/vectors', ROOT.parent / 'shared/golden')
NETWORKS = [name for name in published_networks() if name.split('/')[0] in own_methods()]
# HeatNet's ResNeXt holds these, and nothing uses them.
UNUSED = re.compile(r'(trgb_segnet\.)?(bn_out_2|up_borders_3|up_inst_2|fuse_border_2|fuse_regborder)\.')


def published_state(network: str) -> dict[str, torch.Tensor]:
    """A published state dict with different numbers under every key; shared tensors are equal, as they are saved."""
    method, name = network.split('/')
    file = next((file for root in LAYOUTS if (file := root / method / f'layout_{name}.json').is_file()), None)
    if file is None:
        pytest.skip(f'the layout of {network} is in none of {", ".join(map(str, LAYOUTS))}')
    state, numbers = {}, {}
    for key, shape in json.loads(file.read_text()).items():
        tensor = re.sub(r'^(balance|adjust)\.(conv|convs|blocks\.\d)\.', r'\1.shared.', key)
        start = numbers.setdefault(tensor, 17 * len(numbers))
        count = int(torch.tensor(shape).prod()) if shape else 1
        values = (torch.arange(count) % 8191 + start).reshape(shape)
        state[key] = values if key.endswith('num_batches_tracked') else values.float()
    return state


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert [key for key in wanted if not torch.equal(found[key], wanted[key])] == []


# These differ from others by size alone.
LARGE = ('nitedr/vgg16', 'heatnet/conf_pspnet_late_c1', 'heatnet/conf_pspnet_early_c6', 'heatnet/conf_pspnet_ir_c1',
         'heatnet/conf_pspnet_rgb_c1')


@pytest.mark.parametrize('network', [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())
                                     for name in NETWORKS])
def test_published_to_ours_to_published(network):
    if network.startswith('togethernet'):
        pytest.importorskip('mmdet')
    state = published_state(network)
    found = to_published(network, from_official(network, state).state_dict())
    if 'custom' in network:
        kept = {key for key in state if not UNUSED.match(key)} - {
            key for key in state if '.final_conv2.' in key and 'trgb_segnet.up_seg_2_cert.weight' not in state}
        assert len(kept) < len(state)
        state = {key: value for key, value in state.items() if key in kept}
    elif network == 'nitedr/refinement':
        assert sum('.blocks.' in key for key in found) == 49
    same(found, state)


SMALL = dict(num_classes=3, blocks=(1, 1, 2, 1), width=4, groups=2, pyramid=6)


@pytest.mark.parametrize(('network', 'ours'), [
    ('aca_crnet/rice_3to3', lambda: ACACRNet(width=8, num_blocks=4, attention_blocks=(1, 2))),
    ('nitedr/refinement', IlluminationRefiner),
    ('nitedr/finetune', lambda: IlluminationRefiner(adjust=False)),
    ('heatnet/conf_custom_late_c6', lambda: SegmentorWithCritics(HeatNetResNeXt(**SMALL), [])),
    ('heatnet/conf_custom_early_c6', lambda: SegmentorWithCritics(HeatNetResNeXt(4, 0, certainty=True, **SMALL), [])),
    ('heatnet/teacher_vistas_custom', lambda: HeatNetResNeXt(3, 0, **SMALL)),
])
def test_ours_to_published_to_ours(network, ours):
    """Needs no layouts: networks of a small width, whose options are read from the published shapes."""
    state = {key: torch.randn(value.shape) if value.is_floating_point() else value + 3
             for key, value in ours().state_dict().items()}
    published = to_published(network, state)
    assert published.keys() != state.keys()
    same(from_official(network, published).state_dict(), state)


def test_the_command_converts_both_ways(tmp_path, capsys):
    source = IlluminationRefiner(adjust=False).state_dict()
    published = tmp_path / 'published.pth'
    torch.save(to_published('nitedr/finetune', source), published)
    ours, back = tmp_path / 'ours.safetensors', tmp_path / 'back.pth'
    assert cli.main(['convert', 'nitedr/finetune', str(published), str(ours), '--prefix', 'refiner.']) == 0
    assert cli.main(['convert', 'nitedr/finetune', str(ours), str(back), '--prefix', 'refiner.',
                     '--to-published']) == 0
    same(unwrap_state_dict(load_checkpoint(back)), unwrap_state_dict(load_checkpoint(published)))
    assert f'wrote {back}: 18 tensors' in capsys.readouterr().out


@pytest.mark.parametrize(('words', 'message'), [
    (['nitedr/fusion_dense'], 'does not fit LuminanceFusion'),
    (['nitedr/finetune', '--prefix', 'generator.'], "no key begins with 'generator.'"),
])
def test_the_way_back_refuses_another_network(tmp_path, capsys, words, message):
    torch.save(IlluminationRefiner(adjust=False).state_dict(), tmp_path / 'ours.pth')
    network, *options = words
    with pytest.raises(SystemExit) as end:
        cli.main(['convert', network, str(tmp_path / 'ours.pth'), str(tmp_path / 'x.pth'), '--to-published', *options])
    error = capsys.readouterr().err
    assert end.value.code == 2 and message in error and error.count('\n') == 1
    assert not (tmp_path / 'x.pth').exists()


def test_a_resnext_with_some_of_the_unused_modules_is_still_incomplete():
    state = to_published('heatnet/teacher_vistas_custom', HeatNetResNeXt(3, 0, **SMALL).state_dict())
    with pytest.raises(CheckpointError, match='bn_out_2'):
        from_official('heatnet/teacher_vistas_custom', {**state, 'up_inst_2.weight': torch.zeros(1)})
