"""The whole network: every width, small inputs, losses without boxes, decoding, published names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet', reason='the network is built from mmdet')

from mmengine.structures import InstanceData  # noqa: E402
from parity_togethernet_training import detection_losses  # noqa: E402

from mmweather.apis.adapters import from_official, published_networks  # noqa: E402
from mmweather.errors import CheckpointError  # noqa: E402
from mmweather.models.togethernet import state_dict_adapter as official  # noqa: E402
from mmweather.models.togethernet.detector import TogetherNet  # noqa: E402
from mmweather.models.togethernet.head import published_initialisation  # noqa: E402
from mmweather.models.togethernet.losses import FocalObjectnessLoss  # noqa: E402
from mmweather.models.togethernet.state_dict_adapter import published_outputs  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope='module')
def tiny() -> TogetherNet:
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmweather.TogetherNet', num_classes=3, arch=(0.33, 0.125))).eval()


@pytest.mark.parametrize('widen, deepen', [(0.375, 0.33), (0.5, 0.33), (0.75, 0.67), (1.0, 1.0), (1.25, 1.33)])
def test_every_width_of_yolox(widen, deepen):
    with torch.device('meta'):
        network = TogetherNet((deepen, widen), 7).eval()
        maps, restored = published_outputs(network, torch.empty(2, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [(2, 12, 8, 12), (2, 12, 4, 6), (2, 12, 2, 3)]
    assert restored.shape == (2, 3, 64, 96)


@pytest.mark.parametrize('classes, wanted', [(1, 16009712), (5, 16011260), (20, 16017065), (80, 16040285)])
def test_number_of_parameters_is_published(classes, wanted):
    with torch.device('meta'):
        network = TogetherNet('s', classes)
    assert sum(p.numel() for p in network.parameters()) == wanted


@pytest.mark.parametrize('size', [(32, 32), (96, 64)])
def test_below_the_published_least_size(tiny, size):
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        maps, restored = published_outputs(tiny, x)
    assert restored.shape == x.shape and restored.abs().max() < 1
    assert [tuple(m.shape[2:]) for m in maps] == [(size[0] // s, size[1] // s) for s in (8, 16, 32)]


def test_restoration_trains_the_backbone_and_neither_neck_nor_head(tiny):
    _, restored = published_outputs(tiny, torch.randn(1, 3, 64, 64))
    tiny.zero_grad()
    restored.square().mean().backward()
    reached = {name.split('.')[0] for name, p in tiny.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {'backbone', 'restoration_head'}
    assert tiny.backbone.dtfe.deform.conv_offset.weight.grad.any()
    tiny.zero_grad()


def instances(boxes: list, labels: list) -> InstanceData:
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
                        labels=torch.tensor(labels, dtype=torch.long))


def test_losses_without_boxes_and_with_boxes_outside(tiny):
    maps, _ = published_outputs(tiny, torch.randn(3, 3, 64, 64))
    targets = [instances([], []), instances([[-50, -60, -10, -20]], [0]), instances([[8, 8, 60, 50]], [2])]
    terms = detection_losses(tiny, maps, targets)
    assert set(terms) == {'loss_cls', 'loss_bbox', 'loss_obj'}
    assert all(torch.isfinite(value) and value > 0 for value in terms.values())
    empty = detection_losses(tiny, [x[:1] for x in maps], targets[:1])
    assert empty['loss_cls'] == empty['loss_bbox'] == 0
    # Nothing is found, so every place is a negative and the divisor is one.
    p = torch.cat([x.detach()[:1, 4].flatten() for x in maps]).double().sigmoid()
    assert empty['loss_obj'].item() == pytest.approx(-0.25 * (p**2 * (1 - p + 1e-5).log()).sum().item(), rel=1e-5)


def test_losses_leave_the_maps_alone(tiny):
    maps, _ = published_outputs(tiny, torch.randn(1, 3, 64, 64))
    kept = [x.clone() for x in maps]
    first = detection_losses(tiny, maps, [instances([[8, 8, 60, 50]], [2])])
    second = detection_losses(tiny, maps, [instances([[8, 8, 60, 50]], [2])])
    assert first == second and all(torch.equal(a, b) for a, b in zip(maps, kept, strict=True))


def test_focal_objectness():
    logits, target = torch.randn(9), (torch.arange(9) % 3 == 0).float()
    p = logits.double().sigmoid()
    wanted = torch.where(target > 0, -0.75 * (1 - p)**2 * (p + 1e-5).log(), -0.25 * p**2 * (1 - p + 1e-5).log())
    got = FocalObjectnessLoss(reduction='none')(logits[:, None], target[:, None])
    assert torch.allclose(got[:, 0].double(), wanted, atol=1e-6)
    assert FocalObjectnessLoss(loss_weight=2)(logits, target).item() == pytest.approx(2 * wanted.sum().item(), rel=1e-5)
    with pytest.raises(ValueError, match='reduction'):
        FocalObjectnessLoss(reduction='median')


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_focal_objectness_of_certain_mistakes_is_finite(dtype):
    logits = torch.tensor([-300.0, 300.0], dtype=dtype, requires_grad=True)
    loss = FocalObjectnessLoss()(logits, torch.tensor([1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(-np.log(1e-5), rel=1e-3) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize('key, wanted', [
    ('backbone.backbone.dark5.1.conv2.bn.weight', 'backbone.stage4.1.conv2.bn.weight'),
    ('backbone.backbone.dark5.2.conv2.bn.weight', 'backbone.stage4.2.short_conv.bn.weight'),
    ('backbone.backbone.dark3.1.m.2.conv1.conv.weight', 'backbone.stage2.1.blocks.2.conv1.conv.weight'),
    ('backbone.backbone.swt1.conv1.conv.weight', 'backbone.dtfe.csp.conv1.conv.weight'),
    ('backbone.C3_p3.m.0.conv2.bn.bias', 'neck.top_down_blocks.1.blocks.0.conv2.bn.bias'),
    ('backbone.bu_conv1.conv.weight', 'neck.downsamples.1.conv.weight'),
    ('backbone.sc3.scconv.k2.1.bias', 'neck.calibrated.2.scconv.k2.1.bias'),
    ('head.stems.1.bn.running_var', 'neck.out_convs.1.bn.running_var'),
    ('head.obj_preds.2.bias', 'bbox_head.multi_level_conv_obj.2.bias'),
])
def test_published_names(key, wanted):
    assert official.rename(key) == wanted


def test_predictors_are_joined_in_interleaved_order():
    p, m = torch.arange(18.0), 100 + torch.arange(9.0)
    state = official.convert({'backbone.backbone.deconv.m_conv.bias': m, 'backbone.backbone.deconv.p_conv.bias': p})
    joined = state.pop('backbone.dtfe.deform.conv_offset.bias')
    assert not state
    assert joined[:6].tolist() == [0, 9, 1, 10, 2, 11] and torch.equal(joined[18:], m)
    with pytest.raises(CheckpointError, match='broken'):
        official.convert({'deform.m_conv.bias': m[:4], 'deform.p_conv.bias': p})


def test_deformable_convolution_from_published_weights():
    assert {'togethernet/togethernet_s_nc5', 'togethernet/deform_small'} <= set(published_networks())
    state = {'deform.conv.weight': torch.randn(5, 4, 3, 3), 'deform.p_conv.weight': torch.zeros(18, 4, 3, 3),
             'deform.p_conv.bias': torch.arange(18.0) // 9, 'deform.m_conv.weight': torch.zeros(9, 4, 3, 3),
             'deform.m_conv.bias': torch.full((9, ), 30.0)}
    x = torch.randn(1, 4, 6, 7)
    # All rows stay, all columns move by one: the convolution of the map shifted to the left.
    shifted = torch.nn.functional.pad(x, (1, 2, 1, 1))[..., 1:]
    wanted = torch.nn.functional.conv2d(shifted, state['deform.conv.weight'])
    out = from_official('togethernet/deform_small', state)(x)
    assert torch.allclose(out, wanted, atol=1e-5)
    del state['deform.m_conv.bias']
    with pytest.raises(CheckpointError, match='bias'):
        from_official('togethernet/deform_small', state)


def test_a_strange_checkpoint_is_named():
    with pytest.raises(CheckpointError, match='not a TogetherNet checkpoint'):
        from_official('togethernet/togethernet_s_nc5', {'a.weight': torch.zeros(1)})


def test_published_initialisation(tiny):
    network = TogetherNet((0.33, 0.25), 3, backbone=dict(dtfe=dict(zero_offsets=True)))
    published_initialisation(network)
    assert not network.backbone.dtfe.deform.conv_offset.weight.any()
    for weight in (network.backbone.dtfe.deform.conv.weight, network.restoration_head.conv_1[0].weight,
                   network.backbone.stage4[0].conv.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05) and abs(weight.mean().item()) < 1e-3
    norm = network.backbone.stage4[0].bn
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01) and not norm.bias.any()
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.3)
