"""TogetherNet as a detector: the published training step, sizes, companions, restoration, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

pytest.importorskip('mmdet', reason='the detector is built from mmdet')

from mmdet.structures import DetDataSample  # noqa: E402
from mmengine.optim import build_optim_wrapper  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from mmweather.apis.adapters import from_official  # noqa: E402
from mmweather.errors import ConfigError, DataError  # noqa: E402
from mmweather.models.togethernet.detector import ARCHITECTURES, TogetherNet  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402
from mmweather.utils.checkpoint import load_into  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / 'tests' / 'parity' / 'vectors' / 'togethernet'
PREPROCESSOR = dict(type='mmdet.DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True, pad_size_divisor=32)
NARROW = (0.33, 0.125)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmweather'):
        yield


def build(**options) -> TogetherNet:
    config = dict(type='mmweather.TogetherNet', arch=NARROW, num_classes=3, data_preprocessor=PREPROCESSOR)
    return MODELS.build({**config, **options})


@pytest.fixture(scope='module')
def narrow() -> TogetherNet:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmweather'):
        return build()


def sample(boxes=((5, 5, 40, 40), ), labels=(0, ), clear=None, **meta) -> DetDataSample:
    result = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1., 1.), **meta))
    result.gt_instances = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
                                       labels=torch.tensor(labels, dtype=torch.long))
    if clear is not None:
        result.clean_img = clear
    return result


# The published training step ---------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def step():
    """One step of the detector with the golden weights and inputs, by the published schedule's optimizer."""
    from parity_compare import GoldenFolder
    from parity_fill import fill_input
    from parity_togethernet_inputs import NETWORK, published_state
    from parity_togethernet_training import targets_of
    record = json.loads((GOLDEN / 'golden_train_step.json').read_text())
    model = Config.fromfile(ROOT / 'configs/_base_/models/togethernet_s.py').model
    model.update(data_preprocessor=None, backbone=dict(dtfe=dict(dropout=0.0)), published_frozen_attention=True)
    with DefaultScope.overwrite_default_scope('mmweather'):
        detector = MODELS.build(model).train()
        # What `mmweather convert` writes: the state dict of the network.
        network = from_official(NETWORK, published_state(GoldenFolder(GOLDEN)))
        load_into(detector, network.state_dict(), 'golden weights')
        wrapper = build_optim_wrapper(detector, Config.fromfile(ROOT / 'configs/_base_/schedules/togethernet_100e.py')
                                      .optim_wrapper)
    hazy, clear = ((torch.from_numpy(fill_input(f'togethernet/step_{name}', (4, 3, 128, 128))) - 0.45) / 0.225
                   for name in ('hazy', 'clean'))
    samples = []
    for target, image in zip(targets_of(record['targets']), clear, strict=True):
        samples.append(DetDataSample(metainfo=dict(img_shape=(128, 128)), gt_instances=target, clean_img=image))
    before = {name: value.detach().clone() for name, value in detector.named_parameters()}
    losses = detector(hazy, samples, mode='loss')
    total, _ = detector.parse_losses(losses)
    gradients = {}
    wrapper.optimizer.register_step_pre_hook(lambda *_: gradients.update(
        {name: p.grad.clone() for name, p in detector.named_parameters() if p.grad is not None}))
    wrapper.update_params(total)
    after = dict(detector.named_parameters())
    return record, losses, total, gradients, {name: after[name].detach() - before[name] for name in before}, detector


def test_losses_of_the_published_step(step):
    record, losses, total, *_ = step
    detection = sum(value for name, value in losses.items() if name != 'loss_restoration')
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_obj', 'loss_restoration'}
    assert detection.item() / 0.2 == pytest.approx(record['det'], rel=1e-5)
    assert losses['loss_restoration'].item() / 0.8 == pytest.approx(record['mse'], rel=1e-5)
    assert total.item() == pytest.approx(record['total'], rel=1e-5)


def test_gradients_and_changes_of_the_published_step(step):
    from parity_togethernet_training import published_values
    record, _, _, gradients, changes, detector = step
    gradients, changes = published_values(record, gradients), published_values(record, changes)
    assert set(changes) == set(record['params'])
    assert set(record['params']) - set(gradients) == {
        f'backbone.backbone.swt1.m.tr.0.ma.in_proj_{kind}' for kind in ('weight', 'bias')}
    for name, wanted in record['params'].items():
        if name.startswith('backbone.decoder.conv_') and name.endswith('.0.bias'):
            continue  # zero up to rounding, see the golden check
        if name in gradients:
            assert gradients[name].norm().item() == pytest.approx(wanted['grad_l2'], rel=3e-3), name
        # A decay where there should be none, or the other way round, changes the length of the step.
        assert changes[name].norm().item() == pytest.approx(wanted['delta_l2'], rel=3e-3, abs=1e-9), name
    buffers = published_values(record, dict(detector.named_buffers()))
    assert len(record['bn_running']) == len(record['bn_running_var']) == 80
    for name, wanted in record['bn_running'].items():
        assert buffers[name].double().sum().item() == pytest.approx(wanted['mean_sum'], rel=1e-4, abs=1e-3), name
    for name, wanted in record['bn_running_var'].items():
        assert buffers[name].double().sum().item() == pytest.approx(wanted, rel=1e-4), name


def test_published_gradients_value_by_value(step):
    from parity_compare import GoldenFolder, Relative, compare
    from parity_togethernet_training import GRADIENTS, published_values
    record, _, _, gradients, *_ = step
    gradients = published_values(record, gradients)
    reference = GoldenFolder(GOLDEN).arrays('golden_train_step_grads.npz')
    for name, key in GRADIENTS.items():
        if name == 'in_proj':
            continue
        # Tolerances as in the parity check, which says where they come from.
        behind = name in ('stem', 'p_conv_w', 'p_conv_b', 'deform_w', 'sc1_k2')
        ours = gradients[key].flatten()[:4096]
        assert compare('', name, ours, reference[name], Relative(1e-2 if behind else 1e-3, None)).ok, name


def test_weights_decay_as_published():
    from mmweather.models.togethernet.state_dict_adapter import rename
    groups = {rename(name): facts['group'] for name, facts in
              json.loads((GOLDEN / 'golden_train_step.json').read_text())['params'].items()}
    with torch.device('meta'):
        detector = build(arch='s', num_classes=5, data_preprocessor=None)
    wrapper = build_optim_wrapper(detector, Config.fromfile(ROOT / 'configs/_base_/schedules/togethernet_100e.py')
                                  .optim_wrapper)
    names = {id(p): name for name, p in detector.named_parameters()}
    decays = {names[id(group['params'][0])]: group['weight_decay'] > 0 for group in wrapper.optimizer.param_groups}
    assert len(decays) == len(names)
    joined = {'backbone.dtfe.deform.conv_offset.weight': 'decay', 'backbone.dtfe.deform.conv_offset.bias': 'bias'}
    for name, decayed in decays.items():
        group = groups.get(name) or joined[name]
        # What the published optimizer never sees is treated by kind.
        wanted = name.endswith('weight') if group == 'none' else group == 'decay'
        assert decayed == wanted, (name, group)


# Shapes and checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_one_variable_sets_every_width(arch):
    with torch.device('meta'):
        detector = build(arch=arch, num_classes=7, data_preprocessor=None)
        scores, boxes, objectness = detector.eval()(torch.empty(1, 3, 128, 160), mode='tensor')
    assert [tuple(x.shape[1:]) for x in scores] == [(7, 16, 20), (7, 8, 10), (7, 4, 5)]
    assert boxes[2].shape[1] == 4 and objectness[2].shape[1] == 1


def test_parts_can_be_changed_and_replaced():
    detector = build(restoration_head=dict(tanh=False, loss_weight=0.5), bbox_head=dict(stacked_convs=1),
                     neck=dict(type='mmdet.YOLOXPAFPN', in_channels=[32, 64, 128], out_channels=32, num_csp_blocks=1))
    assert type(detector.neck).__name__ == 'YOLOXPAFPN'
    assert (detector.restoration_head.tanh, detector.restoration_head.loss_weight) == (False, 0.5)
    assert len(detector.bbox_head.multi_level_cls_convs[0]) == 1 and detector.bbox_head.num_classes == 3
    plain = build(restoration_head=False)
    losses = plain.loss(torch.randn(1, 3, 64, 64), [sample(clear=torch.randn(3, 64, 64))])
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_obj'}
    with pytest.raises(ConfigError, match="model.arch is 'tiney'; it must be one of tiny, s"):
        build(arch='tiney')


def test_zero_offsets_outlive_initialisation():
    detector = build(backbone=dict(dtfe=dict(zero_offsets=True)))
    detector.init_weights()
    assert not detector.backbone.dtfe.deform.conv_offset.weight.any()
    bias = detector.bbox_head.multi_level_conv_obj[0].bias
    assert bias.item() == pytest.approx(-np.log(99), rel=1e-4)


def test_published_initialisation_is_drawn():
    detector = build(published_init=True)
    detector.init_weights()
    assert detector.backbone.stage4[0].conv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert detector.restoration_head.conv_1[0].weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_frozen_attention_is_left_to_no_optimizer():
    frozen = [name for name, p in build(published_frozen_attention=True).named_parameters() if not p.requires_grad]
    assert [name.rpartition('.')[2] for name in frozen] == ['in_proj_weight', 'in_proj_bias']
    assert all(p.requires_grad for p in build().parameters())


# Losses and companions ---------------------------------------------------------------------------------------


def test_samples_without_a_clear_image_add_nothing_to_restoration(narrow):
    narrow.eval()  # batch norm would mix the samples
    x, clear = torch.randn(3, 3, 128, 128), torch.randn(3, 128, 128)
    mixed = narrow.loss(x, [sample(), sample(clear=clear), sample([], [])])['loss_restoration']
    alone = narrow.loss(x[1:2], [sample(clear=clear)])['loss_restoration']
    restored = narrow.restoration_head(narrow.backbone(x[1:2]))
    assert alone.item() == pytest.approx(0.8 * (restored[0] - clear).square().mean().item(), rel=1e-5)
    assert mixed.item() == pytest.approx(alone.item(), rel=1e-5)


def test_without_any_clear_image_the_decoder_rests_but_stays_in_the_graph(narrow, monkeypatch):
    def fail(*_):
        raise AssertionError('the decoder ran')

    monkeypatch.setattr(narrow.restoration_head, 'forward', fail)
    narrow.train()
    losses = narrow.loss(torch.randn(2, 3, 64, 64), [sample(), sample([], [])])
    assert losses['loss_restoration'].item() == 0
    narrow.zero_grad()
    sum(losses.values()).backward()
    # Data-parallel training stops where a parameter gets no gradient.
    assert [name for name, p in narrow.named_parameters() if p.grad is None] == []
    narrow.zero_grad()


def test_autocast_trains(narrow):
    narrow.train()
    samples = [sample(clear=torch.randn(3, 64, 64)), sample([], [])]
    x = torch.randn(2, 3, 64, 64)
    exact = narrow.loss(x, samples)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = narrow.loss(x, samples)
    assert all(value.dtype == torch.float32 for value in losses.values())
    # The other losses depend on the number of positives, which may differ.
    assert losses['loss_restoration'].item() == pytest.approx(exact['loss_restoration'].item(), rel=0.05)
    narrow.zero_grad()
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in narrow.parameters())
    narrow.zero_grad()


@pytest.mark.parametrize('size', [(1, 1), (33, 70), (128, 100)])
def test_any_size_trains_and_predicts(narrow, size):
    narrow.train()
    x = torch.randn(2, 3, *size)
    losses = narrow.loss(x, [sample(clear=torch.randn(3, *size)), sample([[-9, -9, -3, -3]], [2])])
    assert all(torch.isfinite(value) for value in losses.values())
    narrow.eval()
    with torch.no_grad():
        big, = (value for value in narrow.extract_feat(x)[:1])
        found = narrow.predict(x, [sample(), sample()])
    assert [side * 8 % 32 for side in big.shape[-2:]] == [0, 0] and min(big.shape[-2:]) >= 16
    assert len(found) == 2 and not hasattr(found[0], 'restored_img')


# Prediction --------------------------------------------------------------------------------------------------


def test_the_decoder_runs_only_when_asked(narrow, monkeypatch):
    narrow.eval()
    calls = []
    forward = narrow.restoration_head.forward
    monkeypatch.setattr(narrow.restoration_head, 'forward', lambda x: calls.append(1) or forward(x))
    x = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        plain = narrow.predict(x, [sample()])[0].pred_instances
        assert not calls
        asked = narrow.predict(x, [sample()], restore=True)[0]
        monkeypatch.setitem(narrow.test_cfg, 'restore', True)
        configured, = narrow.predict(x, [sample()])
    assert len(calls) == 2 and torch.equal(plain.scores, asked.pred_instances.scores)
    assert torch.equal(asked.restored_img, configured.restored_img)


def test_the_restored_picture_is_rgb_of_the_original_size(narrow, monkeypatch):
    narrow.eval()
    # A canvas whose content, 50 x 40 enlarged by 2, is red on the left and blue on the right, in a centred letterbox.
    canvas = torch.zeros(1, 3, 128, 160)
    canvas[:, 0, 14:114, 40:80] = 200
    canvas[:, 2, 14:114, 80:120] = 100
    normalised = (canvas - narrow.data_preprocessor.mean) / narrow.data_preprocessor.std
    monkeypatch.setattr(narrow.restoration_head, 'forward', lambda x: normalised)
    given = sample(pad_param=np.array([14, 14, 40, 40], np.float32))
    given.set_metainfo(dict(img_shape=(128, 160), ori_shape=(50, 40), scale_factor=(2., 2.)))
    with torch.no_grad():
        image = narrow.predict(torch.randn(1, 3, 128, 160), [given], restore=True)[0].restored_img
        whole = narrow.predict(torch.randn(1, 3, 128, 160), [given], rescale=False, restore=True)[0].restored_img
    assert image.dtype == torch.uint8 and image.shape == (3, 50, 40) and whole.shape == (3, 100, 80)
    assert image[:, 25, 5].tolist() == [200, 0, 0] and image[:, 25, 35].tolist() == [0, 0, 100]
    assert whole[:, 0, 0].tolist() == [200, 0, 0] and whole[:, 99, 79].tolist() == [0, 0, 100]


def test_a_centred_letterbox_is_undone_in_the_boxes(narrow):
    narrow.eval()
    x = torch.randn(1, 3, 128, 160)
    plain, moved = sample(), sample(pad_param=np.array([14, 14, 40, 40], np.float32))
    for each in (plain, moved):
        each.set_metainfo(dict(img_shape=(128, 160), ori_shape=(50, 20), scale_factor=(4., 2.)))
    narrow.test_cfg['score_thr'], kept = 0.0, narrow.test_cfg['score_thr']
    with torch.no_grad():
        a, b = (narrow.predict(x, [each])[0].pred_instances.bboxes for each in (plain, moved))
    narrow.test_cfg['score_thr'] = kept
    assert len(a) and torch.allclose(a - b, torch.tensor([10., 7., 10., 7.]), atol=1e-3)


def test_detections_are_those_of_the_published_code():
    """Raw maps of the golden file through the detector's own head and settings."""
    from parity_fill import fill_input
    detector = build(num_classes=5)
    maps = []
    for s in (8, 16, 32):
        u = torch.from_numpy(fill_input(f'togethernet/pp_s{s}', (1, 10, 128 // s, 160 // s)))
        maps.append(torch.cat((2 * u[:, :2] - 0.5, 1.2 * u[:, 2:4] + 0.6, 8 * (u[:, 4:] - 0.5)), 1))
    with np.load(GOLDEN / 'golden_postproc.npz') as reference:
        wanted = reference['dets_eval_same']
    found, = detector.bbox_head.predict_by_feat([x[:, 5:] for x in maps], [x[:, :4] for x in maps],
                                                [x[:, 4:5] for x in maps], [{}])
    assert len(found) == len(wanted) == 417
    order, theirs = (-found.scores).argsort(stable=True), (-wanted[:, 4] * wanted[:, 5]).argsort(kind='stable')
    assert np.allclose(found.scores[order], (wanted[:, 4] * wanted[:, 5])[theirs], atol=1e-6)
    assert np.allclose(found.bboxes[order][:, [1, 0, 3, 2]], wanted[theirs, :4], atol=1e-3)
    assert np.array_equal(found.labels[order], wanted[theirs, 6])


# Mistakes ----------------------------------------------------------------------------------------------------


def test_mistakes_are_named_in_one_line(narrow):
    x = torch.randn(1, 3, 64, 64)
    with pytest.raises(ConfigError, match='a box has label 7, but model.num_classes is 3') as error:
        narrow.loss(x, [sample(labels=(7, ))])
    assert '\n' not in str(error.value)
    bad = x.clone()
    bad[0, 1, 2, 3] = float('nan')
    for run in (narrow.loss, narrow.predict):
        with pytest.raises(DataError, match='holds NaN or infinite values'):
            run(bad, [sample(img_path='a/foggy.png')])
    with pytest.raises(DataError, match=r'a/foggy\.png'):
        narrow.loss(bad, [sample(img_path='a/foggy.png')])
    with pytest.raises(DataError, match=r'clean_img of sample 0 is \(3, 64, 32\), the input \(3, 64, 64\)'):
        narrow.loss(x, [sample(clear=torch.zeros(3, 64, 32))])
    with pytest.raises(ConfigError, match='restoration_head is False'):
        build(restoration_head=False).predict(x, [sample()], restore=True)
    with pytest.raises(ConfigError, match="model.start_input is 'rgb'"):
        build(start_input='rgb')


def test_weights_that_became_nan_give_a_nan_loss_and_no_crash():
    detector = build()
    with torch.no_grad():
        detector.backbone.stage1[0].conv.weight.fill_(float('nan'))
    x = torch.randn(1, 3, 64, 64)
    losses = detector.loss(x, [sample(clear=x[0])])
    # The guard of the losses (NonFiniteLossHook) stops the training then.
    assert {name: bool(value.isnan()) for name, value in losses.items()} == dict.fromkeys(
        ('loss_cls', 'loss_bbox', 'loss_obj', 'loss_restoration'), True)
    assert len(detector.eval().predict(x, [sample()])[0].pred_instances) == 0
