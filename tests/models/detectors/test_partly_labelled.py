"""The head for data sets that do not label all classes."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip('mmdet', reason='the head is one of mmdet')

from mmengine.config import ConfigDict  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from mmweather.models.togethernet.head import published_head  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402


@pytest.fixture(params=[dict(type='mmweather.FocalObjectnessLoss'),
                        dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='sum')])
def heads(request):
    """Ours and mmdet's."""
    config = ConfigDict(published_head(3, 8, 8, loss_obj=request.param))
    with DefaultScope.overwrite_default_scope('mmdet'):
        return [MODELS.build({**config, 'type': kind})
                for kind in ('mmweather.PartlyLabelledYOLOXHead', 'mmdet.YOLOXHead')]


def maps():
    torch.manual_seed(0)
    return [[torch.randn(2, channels, side, side, requires_grad=True) for side in (8, 4, 2)] for channels in (3, 4, 1)]


def truth():
    one = InstanceData(bboxes=torch.tensor([[10., 12., 40., 50.]]), labels=torch.tensor([2]))
    return [one, InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))]


def test_without_unlabelled_classes_it_is_the_head_of_mmdet(heads):
    ours, mmdets = (head.loss_by_feat(*maps(), truth(), [{}, {'unlabelled_labels': ()}]) for head in heads)
    assert ours.keys() == mmdets.keys() and all(torch.equal(ours[key], mmdets[key]) for key in ours)


def test_an_image_without_labels_has_no_background(heads):
    scores, boxes, objectness = maps()
    metas = [{'unlabelled_labels': ()}, {'unlabelled_labels': (0, 1, 2)}]
    sum(heads[0].loss_by_feat(scores, boxes, objectness, truth(), metas).values()).backward()
    for level in objectness:
        assert level.grad[0].abs().sum() > 0 and level.grad[1].abs().sum() == 0


def test_a_place_counts_by_the_probability_of_a_labelled_class(heads):
    ours, mmdets = heads
    metas = [{'unlabelled_labels': (0, )}, {'unlabelled_labels': (0, )}]
    (scores, _, mine), (_, _, theirs) = maps(), maps()
    ours.loss_by_feat(scores, maps()[1], mine, truth(), metas)['loss_obj'].backward()
    plain = mmdets.loss_by_feat(scores, maps()[1], theirs, truth(), [{}, {}])['loss_obj']
    plain.backward()
    positives = 0
    for level, one, other in zip(scores, mine, theirs, strict=True):
        weight = 1 - level[:, :1].sigmoid()
        # The sign tells the places with a box, which count in full.
        expected = torch.where(other.grad < 0, other.grad, other.grad * weight)
        positives += int((other.grad < 0).sum())
        torch.testing.assert_close(one.grad, expected)
        assert level.grad is None, 'a class is not pushed to hide a place'
    assert positives > 0 and isinstance(ours.loss_obj, type(mmdets.loss_obj)), 'the loss is put back'
