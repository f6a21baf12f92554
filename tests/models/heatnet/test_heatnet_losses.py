"""HeatNet's losses against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from mmweather.models.heatnet.losses import (
    certainty,
    confusion_loss,
    critic_loss,
    segmentation_loss,
    uncertainty_loss,
    uncertainty_target,
)


def test_certainty_published_stays_small():
    logits = torch.zeros(1, 13, 1, 2)
    logits[0, 3, 0, 1] = 100.
    torch.testing.assert_close(certainty(logits)[0, 0], torch.tensor([1 / 13, 1.]))
    torch.testing.assert_close(certainty(logits, True)[0, 0], torch.tensor([1 / 13, math.e / (math.e + 12)]))


def test_weighted_cross_entropy_is_a_mean_over_all_pixels():
    logits = torch.zeros(1, 4, 1, 2)
    weight = torch.tensor([[[0.5, 0.]]])
    loss = segmentation_loss(logits, torch.zeros(1, 1, 2, dtype=torch.long), weight)
    assert loss.item() == pytest.approx(0.25 * math.log(4))


def test_critic_and_confusion_pull_opposite_ways():
    day, night = [torch.full((1, 1, 2, 3), 0.75)], [torch.full((1, 1, 2, 3), 0.5)]
    assert critic_loss(day, night).item() == pytest.approx(0.25**2 + 0.5**2)
    assert confusion_loss(day, night).item() == pytest.approx(0.75**2 + 0.5**2)
    assert confusion_loss(day, night, both_directions=False).item() == pytest.approx(0.25**2 + 0.5**2)
    scaled = confusion_loss(day, night, certainty_map=torch.full((1, 5, 7), 0.9))
    assert scaled.item() == pytest.approx(0.1 * (0.75**2 + 0.5**2))


def test_bce_of_a_zero_score():
    zero = [torch.zeros(1, 1, 2, 2)]
    assert critic_loss(zero, zero, 'BCE').item() == pytest.approx(2 * math.log(2))


def test_uncertainty_per_pixel_and_across_the_batch():
    logits = torch.zeros(2, 4, 1, 1)
    logits[1, 2] = 100.
    target = uncertainty_target(logits, torch.full((2, 1, 1), 2))
    torch.testing.assert_close(target.ravel(), torch.tensor([0.75, 0.]))
    head = target[:, None].clone()
    assert uncertainty_loss(head, target).item() == 0
    assert uncertainty_loss(head, target, published=True).item() == pytest.approx(10 * 0.75**2 / 2)
