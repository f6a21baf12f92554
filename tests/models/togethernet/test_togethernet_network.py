"""The whole network: every width, small inputs, losses without boxes, decoding, published names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet', reason='the network is built from mmdet')

from mmengine.structures import InstanceData  # noqa: E402

from mmweather.apis.adapters import from_official, published_networks  # noqa: E402
from mmweather.errors import CheckpointError  # noqa: E402
from mmweather.models.togethernet import postprocess
from mmweather.models.togethernet import state_dict_adapter as official  # noqa: E402
from mmweather.models.togethernet.losses import FocalObjectnessLoss, joint_loss  # noqa: E402
from mmweather.models.togethernet.network import TogetherNetwork, published_initialisation, split_maps  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope='module')
def tiny() -> TogetherNetwork:
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmweather.TogetherNetwork', num_classes=3, widen_factor=0.125)).eval()


@pytest.mark.parametrize('widen, deepen', [(0.375, 0.33), (0.5, 0.33), (0.75, 0.67), (1.0, 1.0), (1.25, 1.33)])
def test_every_width_of_yolox(widen, deepen):
    with torch.device('meta'):
        network = TogetherNetwork(7, widen, deepen).eval()
        maps, restored = network(torch.empty(2, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [(2, 12, 8, 12), (2, 12, 4, 6), (2, 12, 2, 3)]
    assert restored.shape == (2, 3, 64, 96)


@pytest.mark.parametrize('classes, wanted', [(1, 16009712), (5, 16011260), (20, 16017065), (80, 16040285)])
def test_number_of_parameters_is_published(classes, wanted):
    with torch.device('meta'):
        network = TogetherNetwork(classes, 0.5, 0.33)
    assert sum(p.numel() for p in network.parameters()) == wanted


@pytest.mark.parametrize('size', [(32, 32), (96, 64)])
def test_below_the_published_least_size_and_without_the_decoder(tiny, size):
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        maps, restored = tiny(x)
        only, nothing = tiny(x, restore=False)
    assert restored.shape == x.shape and restored.abs().max() < 1
    assert nothing is None
    assert all(torch.equal(a, b) for a, b in zip(maps, only, strict=True))


def test_restoration_trains_the_backbone_and_neither_neck_nor_head(tiny):
    _, restored = tiny(torch.randn(1, 3, 64, 64))
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
    maps, _ = tiny(torch.randn(3, 3, 64, 64), restore=False)
    targets = [instances([], []), instances([[-50, -60, -10, -20]], [0]), instances([[8, 8, 60, 50]], [2])]
    terms = tiny.detection_losses(maps, targets)
    assert set(terms) == {'loss_cls', 'loss_bbox', 'loss_obj'}
    assert all(torch.isfinite(value) and value > 0 for value in terms.values())
    empty = tiny.detection_losses([x[:1] for x in maps], targets[:1])
    assert empty['loss_cls'] == empty['loss_bbox'] == 0
    # Nothing is found, so every place is a negative and the divisor is one.
    p = torch.cat([x.detach()[:1, 4].flatten() for x in maps]).double().sigmoid()
    assert empty['loss_obj'].item() == pytest.approx(-0.25 * (p**2 * (1 - p + 1e-5).log()).sum().item(), rel=1e-5)


def test_losses_leave_the_maps_alone(tiny):
    maps, _ = tiny(torch.randn(1, 3, 64, 64), restore=False)
    kept = [x.clone() for x in maps]
    first = tiny.detection_losses(maps, [instances([[8, 8, 60, 50]], [2])])
    second = tiny.detection_losses(maps, [instances([[8, 8, 60, 50]], [2])])
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


def test_joint_loss_weights():
    restored, clear = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    wanted = 0.2 * 3 + 0.8 * ((restored - clear)**2).sum() / 120
    assert joint_loss(torch.tensor(3.0), restored, clear).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_decoding_one_place():
    maps = [torch.randn(2, 8, 6, 10), torch.randn(2, 8, 3, 5)]
    decoded = postprocess.decode(maps, (8, 16))
    assert decoded.shape == (2, 75, 8)
    x, y, w, h, obj, *_ = maps[1][1, :, 2, 3].tolist()
    wanted = [(3 + x) * 16 / 80, (2 + y) * 16 / 48, np.exp(w) * 16 / 80, np.exp(h) * 16 / 48, 1 / (1 + np.exp(-obj))]
    assert decoded[1, 60 + 2 * 5 + 3, :5].tolist() == pytest.approx(wanted, rel=1e-5)


def test_detections_are_those_of_mmdets_head(tiny):
    maps = [3 * torch.randn(1, 8, 64 // s, 96 // s) for s in (8, 16, 32)]
    boxes, objectness, classes = split_maps([x.clone() for x in maps])
    config = MODELS.build(dict(type='mmweather.TogetherNetwork', num_classes=3, widen_factor=0.125)).bbox_head.test_cfg
    for x in boxes:
        x[:, 2:].clamp_(-1, 1)
    maps = [torch.cat(parts, 1) for parts in zip(boxes, objectness, classes, strict=True)]
    from mmengine.config import ConfigDict
    # grid_priors defaults to CUDA only without a device; the head passes that of the maps.
    found, = tiny.bbox_head.predict_by_feat(classes, boxes, objectness, [dict(scale_factor=(1, 1))],
                                            ConfigDict(config))
    ours = postprocess.detections(postprocess.decode(maps)[0], 0.001, 0.65, (64, 96), (64, 96), False)
    assert len(ours) == len(found.scores) > 10
    assert np.allclose(ours[:, 4] * ours[:, 5], found.scores, atol=1e-6)
    assert np.allclose(ours[:, [1, 0, 3, 2]], found.bboxes, atol=1e-3)
    assert np.array_equal(ours[:, 6], found.labels)


def test_no_detection_at_all():
    decoded = postprocess.decode([torch.full((1, 7, 2, 2), -20.0)], (8, ))
    assert postprocess.detections(decoded[0], 0.5, 0.65, (16, 16), (10, 30)).shape == (0, 7)


def test_undo_letterbox_inverts_an_exact_fit():
    # 40x80 in 160x160: enlarged by two, 40 rows above and below.
    boxes = np.array([[0.5, 0.5, 1.0, 0.5], [0.25, 0.375, 0.1, 0.05]])
    back = postprocess.undo_letterbox(boxes, (160, 160), (40, 80))
    assert np.allclose(back, [[0, 0, 40, 80], [8, 16, 12, 24]])
    assert np.allclose(postprocess.undo_letterbox(boxes, (160, 160), (40, 80), False)[0], [10, 0, 30, 80])


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
    network = TogetherNetwork(3, 0.25, dtfe=dict(zero_offsets=True))
    published_initialisation(network)
    assert not network.backbone.dtfe.deform.conv_offset.weight.any()
    for weight in (network.backbone.dtfe.deform.conv.weight, network.restoration_head.conv_1[0].weight,
                   network.backbone.stage4[0].conv.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05) and abs(weight.mean().item()) < 1e-3
    norm = network.backbone.stage4[0].bn
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01) and not norm.bias.any()
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.3)
