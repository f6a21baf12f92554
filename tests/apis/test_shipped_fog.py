"""The fog detector that comes with the package, on drawn streets in fog."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('mmdet', reason='the detector is built from mmdet')

import mmweather  # noqa: E402
from mmweather.mini.sets.fog import foggy_street  # noqa: E402


def overlap(one, other) -> float:
    left, top = np.maximum(one[:2], other[:2])
    right, bottom = np.minimum(one[2:], other[2:])
    common = max(right - left, 0) * max(bottom - top, 0)
    return common / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - common)


def test_people_and_cars_of_drawn_streets_are_found_in_fog_and_drawn_on_the_given_picture():
    model = mmweather.Inferencer('togethernet')
    assert tuple(model.classes) == ('person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck')
    hits = dict(person=0, car=0)
    for index in range(2):
        _, foggy, boxes = foggy_street(0, 'test', index, (160, 224))
        outcome = model(foggy, score_thr=0.25, show_progress=False)[0]
        for found in outcome.detections:
            same = [box.box for box in boxes if box.name == found['name']]
            hits[found['name']] = hits.get(found['name'], 0) + any(overlap(found['box'], box) > 0.5 for box in same)
        assert outcome.restored.shape == foggy.shape
        assert outcome.restored.std() > 1.1 * foggy.std(), 'the restored picture has more contrast'
        far = np.asarray(outcome.picture)[-1, :4]
        assert np.array_equal(far, foggy[-1, :4]), 'boxes are drawn on what was given'
    assert hits['person'] >= 1 and hits['car'] >= 1


def test_info_and_list_say_what_to_expect_on_real_photos(capsys):
    from mmweather import cli
    assert cli.main(['info', 'togethernet']) == 0
    out = capsys.readouterr().out
    assert 'on real photos' in out and 'YOLOX' in out and 'Apache-2.0' in out
    assert cli.main(['list', 'togethernet-nano*', '--weights']) == 0
    assert 'on real photos: ' in capsys.readouterr().out
