"""A detector in fog taught by itself on the clear picture; gates; the restoration that keeps detail."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip('mmdet', reason='the detector is built from mmdet')

from mmdet.structures import DetDataSample  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from mmweather.errors import CheckpointError, ConfigError, DataError  # noqa: E402
from mmweather.models.togethernet.distillation import distillation_losses, teach  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402

LIGHT = dict(
    type='mmweather.TogetherNet', arch=(0.33, 0.125), num_classes=2,
    backbone=dict(use_depthwise=True, dtfe=dict(gated=True, width=16)), neck=dict(use_depthwise=True, gated=True),
    bbox_head=dict(use_depthwise=True), restoration_head=dict(skip=True), frozen_norm=True,
    data_preprocessor=dict(type='mmweather.PairedDetPreprocessor', keys=('clean_img', 'raw_img'), mean=(0., 0., 0.),
                           std=(1., 1., 1.), bgr_to_rgb=False))


def build(**options):
    with DefaultScope.overwrite_default_scope('mmweather'):
        return MODELS.build({**LIGHT, **options})


@pytest.fixture(scope='module')
def start(tmp_path_factory):
    """A YOLOX with three classes and depthwise convolutions."""
    torch.manual_seed(0)
    norm = dict(type='BN', momentum=0.03, eps=0.001)
    light = dict(use_depthwise=True, norm_cfg=norm)
    with DefaultScope.overwrite_default_scope('mmdet'):
        yolox = MODELS.build(dict(
            type='mmdet.YOLOX', data_preprocessor=dict(type='mmdet.DetDataPreprocessor'),
            backbone=dict(type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.125, **light),
            neck=dict(type='mmdet.YOLOXPAFPN', in_channels=[32, 64, 128], out_channels=32, num_csp_blocks=1, **light),
            bbox_head=dict(type='mmdet.YOLOXHead', num_classes=3, in_channels=32, feat_channels=32, **light),
            test_cfg=dict(score_thr=0.01, nms=dict(iou_threshold=0.65))))
    # So that what comes out depends on what goes in.
    for name, module in yolox.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            gain = 0.1 if '.multi_level_conv_' in name else 1.4
            torch.nn.init.normal_(module.weight, 0, gain * module.weight[0].numel()**-0.5)
    path = tmp_path_factory.mktemp('start') / 'yolox.pth'
    torch.save(yolox.state_dict(), path)
    return yolox.eval(), str(path)


@pytest.fixture
def started(start):
    detector = build(start_from=start[1], start_classes=(2, 0), distil=dict())
    detector.init_weights()
    return detector


def samples(clear):
    found = []
    for image in clear:
        sample = DetDataSample(metainfo=dict(unlabelled_labels=(0, 1)))
        sample.gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        sample.clean_img = image
        found.append(sample)
    return found


def test_a_gated_start_is_the_yolox_with_the_chosen_classes(start, started):
    x = torch.randn(1, 3, 128, 160)
    with torch.no_grad():
        theirs = start[0].bbox_head(start[0].extract_feat(x))
        ours = started.eval()(x, mode='tensor')
    for k, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        for one, level in zip(mine, other, strict=True):
            torch.testing.assert_close(one, level[:, [2, 0]] if k == 0 else level)


def test_classes_that_the_start_lacks_are_told(start):
    with pytest.raises(CheckpointError, match=r'has 3 classes, so model.start_classes cannot name number 3'):
        build(start_from=start[1], start_classes=(0, 3)).init_weights()


def test_a_teacher_needs_a_start_and_is_no_part_of_the_model(started):
    with pytest.raises(ConfigError, match='needs model.start_from'):
        build(distil=dict())
    assert len(started.state_dict()) == len(build().state_dict())
    assert not any(p.requires_grad for p in started._teacher[0].parameters())


def test_frozen_norms_keep_their_statistics(started):
    before = copy.deepcopy(dict(started.backbone.named_buffers()))
    started.train()
    x = torch.randn(2, 3, 128, 128)
    started.loss(x, samples(x.clone()))
    assert all(torch.equal(value, before[name]) for name, value in started.backbone.named_buffers())
    assert started.restoration_head.conv_1[1].training, 'new parts learn theirs'


def test_a_student_that_sees_the_clear_picture_agrees_with_its_teacher(started):
    started.train()
    torch.manual_seed(1)
    clear = torch.randn(2, 3, 128, 160)
    started.distil['flip'] = False
    same = started.loss(clear, samples(clear))
    fog = started.loss(clear * 0.2 + 1, samples(clear))
    assert same['loss_distil_bbox'] < 1e-4 and same['loss_distil_obj'] < 1e-4
    assert fog['loss_distil_bbox'] > 1e-3 and fog['loss_distil_obj'] > 100 * same['loss_distil_obj']
    assert fog['loss_obj'] == 0, 'nothing is labelled'


def test_teaching_pulls_the_student_to_what_the_teacher_sees(started):
    started.train()
    torch.manual_seed(2)
    clear = torch.randn(2, 3, 128, 128)
    foggy = clear * 0.3 + 0.5
    optimizer = torch.optim.Adam(started.parameters(), 1e-3)
    values = []
    for _ in range(20):
        losses = started.loss(foggy, samples(clear))
        loss = sum(value for name, value in losses.items() if 'distil' in name)
        # The classes' part is the teacher's entropy above all, which stays.
        values.append(float(losses['loss_distil_bbox'] + losses['loss_distil_obj']))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert values[-1] < 0.95 * values[0]


def test_mirrored_lessons_are_put_back(started):
    teacher = started._teacher[0]
    images = torch.randn(1, 3, 128, 128)
    ours, mirrored = (teach(teacher._forward, x) for x in (images, images.flip(3)))
    for one, other in ((ours[0], mirrored[0]), (ours[2], mirrored[2])):
        back = torch.cat([part.view(1, side, side, -1).flip(2).flatten(1, 2)
                          for part, side in zip(other.split((256, 64, 16), 1), (16, 8, 4), strict=True)], 1)
        torch.testing.assert_close(one, back)


def test_losses_by_hand():
    maps = [[torch.zeros(1, 1, 1, 1)], [torch.zeros(1, 4, 1, 1)], [torch.zeros(1, 1, 1, 1)]]
    lesson = torch.full((1, 1, 1), 0.8), torch.tensor([[[0.5, 0., 0., 0.]]]), torch.full((1, 1, 1), 0.9)
    losses = distillation_losses(maps, lesson)
    ln2 = 0.693147
    assert losses['loss_distil_cls'] == pytest.approx(0.9 * ln2, abs=1e-5)
    assert losses['loss_distil_obj'] == pytest.approx(1.5 * 0.4 * ln2, abs=1e-5)
    # Two unit boxes half a side apart share a third of their union.
    assert losses['loss_distil_bbox'] == pytest.approx(3 * 0.72 * (1 - 1 / 9), abs=1e-4)


def test_the_restored_picture_begins_as_the_foggy_one_and_keeps_its_detail(started):
    started.eval()
    x, raw = torch.randn(1, 3, 96, 130), torch.rand(1, 3, 96, 130) * 255
    sample = DetDataSample(metainfo=dict(img_shape=(96, 130), ori_shape=(96, 130), scale_factor=(1., 1.)))
    sample.raw_img = raw[0]
    with torch.no_grad():
        restored = started.predict(x, [sample], restore=True)[0].restored_img
    # A transmission of 0.98 changes it a little.
    assert (restored.float() - raw[0].flip(0)).abs().max() < 6, 'BGR goes in, RGB comes out'
    sample.raw_img = raw[0, :, :50]
    with pytest.raises(DataError, match='raw_img of sample 0'), torch.no_grad():
        started.predict(x, [sample], restore=True)


def test_every_parameter_learns(started):
    torch.manual_seed(3)
    for name, parameter in started.named_parameters():
        if name.endswith('.gate'):
            torch.nn.init.normal_(parameter)
    for layer in (started.restoration_head.conv_4[1], started.restoration_head.whole):
        torch.nn.init.normal_(layer.weight, 0, 0.02)
    started.train()
    clear = torch.randn(2, 3, 128, 128)
    data = samples(clear)
    data[0].set_metainfo(dict(unlabelled_labels=()))
    data[0].gt_instances = InstanceData(bboxes=torch.tensor([[20., 20., 90., 100.]]), labels=torch.tensor([1]))
    sum(started.loss(clear * 0.5, data).values()).backward()
    idle = [name for name, p in started.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not idle
