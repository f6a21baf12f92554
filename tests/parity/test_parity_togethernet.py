"""TogetherNet's records that are not arrays, and the published boxes against mmdet's."""

from __future__ import annotations

import numpy as np
import parity_togethernet_boxes as published
import pytest
import torch

pytest.importorskip('mmdet', reason='the detector is built from mmdet')

from mmdet.evaluation import eval_map  # noqa: E402
from parity_compare import COMMITTED, GoldenFolder  # noqa: E402
from parity_togethernet_training import published_values  # noqa: E402

from mmweather.models.togethernet.state_dict_adapter import convert, rename  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402

FOLDER = GoldenFolder(COMMITTED / 'togethernet')


def test_names_are_those_of_mmdet():
    names = FOLDER.json('keymap_official_to_mmdet_yolox')
    assert len(names) == 462
    assert {key: rename(key) for key in names} == names


def test_published_average_precision_is_mmdets():
    data = FOLDER.json('golden_eval')
    classes = data['classes']
    found, annotations = [], []
    for image in data['images']:
        found.append([np.array([[*box, score] for name, score, *box in image['det'] if name == wanted],
                               np.float32).reshape(-1, 5) for wanted in classes])

        def part(difficult, image=image):
            rows = [(box, classes.index(name)) for name, *box, hard in image['gt'] if hard == difficult]
            return (np.array([box for box, _ in rows], np.float32).reshape(-1, 4),
                    np.array([label for _, label in rows], int))

        (boxes, labels), (ignored, ignored_labels) = part(False), part(True)
        annotations.append(dict(bboxes=boxes, labels=labels, bboxes_ignore=ignored, labels_ignore=ignored_labels))
    mean, _ = eval_map(found, annotations, iou_thr=data['iou'], dataset='voc07', logger='silent', nproc=1,
                       use_legacy_coordinate=True, eval_mode='area')
    assert 100 * mean == pytest.approx(data['map_percent'], abs=0.01)


def test_rows_of_the_joined_predictor_come_back_in_the_published_order():
    names = [f'backbone.backbone.deconv.{part}.weight' for part in ('p_conv', 'm_conv')]
    record = {'params': dict.fromkeys(names), 'bn_running': {}, 'bn_running_var': {}}
    state = {names[0]: torch.rand(18, 2, 3, 3), names[1]: torch.rand(9, 2, 3, 3)}
    back = published_values(record, convert(state))
    assert all(torch.equal(back[name], state[name]) for name in names)


def test_decoding_one_place():
    maps = [torch.randn(2, 8, 6, 10), torch.randn(2, 8, 3, 5)]
    decoded = published.decode(maps, (8, 16))
    assert decoded.shape == (2, 75, 8)
    x, y, w, h, obj, *_ = maps[1][1, :, 2, 3].tolist()
    wanted = [(3 + x) * 16 / 80, (2 + y) * 16 / 48, np.exp(w) * 16 / 80, np.exp(h) * 16 / 48, 1 / (1 + np.exp(-obj))]
    assert decoded[1, 60 + 2 * 5 + 3, :5].tolist() == pytest.approx(wanted, rel=1e-5)


def test_detections_are_those_of_mmdets_head():
    torch.manual_seed(0)
    maps = [3 * torch.randn(1, 8, 64 // s, 96 // s) for s in published.STRIDES]
    for x in maps:
        x[:, 2:4].clamp_(-1, 1)
    detector = MODELS.build(dict(type='mmweather.TogetherNet', arch=(0.33, 0.125), num_classes=3))
    found, = detector.bbox_head.predict_by_feat([x[:, 5:] for x in maps], [x[:, :4] for x in maps],
                                                [x[:, 4:5] for x in maps], [dict(scale_factor=(1, 1))])
    ours = published.detections(published.decode(maps)[0], 0.001, 0.65, (64, 96), (64, 96), False)
    assert len(ours) == len(found.scores) > 10
    assert np.allclose(ours[:, 4] * ours[:, 5], found.scores, atol=1e-6)
    assert np.allclose(ours[:, [1, 0, 3, 2]], found.bboxes, atol=1e-3)
    assert np.array_equal(ours[:, 6], found.labels)


def test_no_detection_at_all():
    decoded = published.decode([torch.full((1, 7, 2, 2), -20.0)], (8, ))
    assert published.detections(decoded[0], 0.5, 0.65, (16, 16), (10, 30)).shape == (0, 7)


def test_undo_letterbox_inverts_an_exact_fit():
    # 40x80 in 160x160: enlarged by two, 40 rows above and below.
    boxes = np.array([[0.5, 0.5, 1.0, 0.5], [0.25, 0.375, 0.1, 0.05]])
    back = published.undo_letterbox(boxes, (160, 160), (40, 80))
    assert np.allclose(back, [[0, 0, 40, 80], [8, 16, 12, 24]])
    assert np.allclose(published.undo_letterbox(boxes, (160, 160), (40, 80), False)[0], [10, 0, 30, 80])
