"""IoU by day, by night and of both against numbers counted by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mmweather.errors import ConfigError
from mmweather.evaluation.segmentation import DomainIoUMetric


def metric(**options):
    result = DomainIoUMetric(**options)
    result.dataset_meta = {'classes': ('a', 'b', 'c')}
    return result


def sample(predicted, label, domain=None):
    found = {'pred_sem_seg': {'data': torch.tensor([predicted])}, 'gt_sem_seg': {'data': torch.tensor([label])},
             'img_path': 'x.png'}
    return {**found, 'domain': domain} if domain else found


DAY = sample([[0, 0, 1, 1, 2]], [[0, 1, 1, 1, 255]], 'day')  # a 1/2, b 2/3, c absent (its prediction is ignored)
NIGHT = sample([[0, 1, 2, 2]], [[1, 1, 0, 2]], 'night')  # a 0/2, b 1/2, c 1/2


def test_each_domain_both_and_pooled():
    judge = metric()
    judge.process({}, [DAY, NIGHT])
    scores = judge.evaluate(2)
    assert scores['mIoU_day'] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    assert scores['mIoU_night'] == pytest.approx(100 / 3)
    # Per class: a (1/2 + 0)/2, b (2/3 + 1/2)/2, c by night alone.
    assert scores['mIoU'] == pytest.approx(100 * (1 / 4 + 7 / 12 + 1 / 2) / 3)
    assert scores['mIoU_pooled'] == pytest.approx(100 * (1 / 4 + 3 / 5 + 1 / 2) / 3)


def test_background_costs_but_has_no_score():
    judge = metric(scored=2)
    judge.process({}, [NIGHT])
    scores = judge.evaluate(1)
    assert scores['mIoU_night'] == scores['mIoU'] == pytest.approx(25)
    assert math.isnan(scores['mIoU_day'])
    only = metric(scored=(1, ))
    only.process({}, [DAY])
    assert only.evaluate(1)['mIoU'] == pytest.approx(100 * 2 / 3)


def test_predictions_of_other_classes_are_translated():
    judge = metric(prediction_map=(1, 0, 2, 0))
    judge.process({}, [sample([[3, 0, 2]], [[0, 1, 2]])])
    assert judge.evaluate(1)['mIoU_day'] == 100


def test_mistakes():
    judge = metric(scored=4)
    judge.process({}, [DAY])
    with pytest.raises(ConfigError, match='some of the 3 classes, got 4'):
        judge.evaluate(1)
    with pytest.raises(ConfigError, match="'x.png' is of domain 'dusk'"):
        metric().process({}, [sample([[0]], [[0]], 'dusk')])


def test_pictures_of_the_predictions(tmp_path):
    judge = metric(output_dir=str(tmp_path))
    judge.process({}, [DAY])
    assert (tmp_path / 'x.png').is_file() and len(judge.results) == 1
