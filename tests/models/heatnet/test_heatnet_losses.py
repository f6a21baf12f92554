"""HeatNet's losses against formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from mmweather.errors import ConfigError
from mmweather.models.adaptation.adversarial import confusion_loss, critic_loss
from mmweather.models.heatnet.losses import certainty, segmentation_loss, uncertainty_loss, uncertainty_target


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
    assert confusion_loss(day * 2, night * 2, weights=(1, 3)).item() == pytest.approx(4 * (0.75**2 + 0.5**2))


def test_certainty_weights_pixels_of_the_night_and_as_published_the_mean_of_both():
    day, night = [torch.zeros(1, 1, 1, 2)], [torch.tensor([[[[1., 3.]]]])]
    certain = torch.tensor([[[0., 0.75]]])
    # Errors by night: 0 and 4, the second with weight a quarter; by day: 0.
    assert confusion_loss(day, night, certainty_map=certain).item() == pytest.approx((0 + 4 * 0.25) / 2)
    assert confusion_loss(day, night, certainty_map=certain, published=True).item() == pytest.approx(0.625 * 2)
    whole = [torch.tensor([[3.]])]  # one score an image
    assert confusion_loss(whole, whole, certainty_map=certain).item() == pytest.approx(9 + 4 * 0.625)


def test_an_unknown_adversarial_loss_is_named():
    with pytest.raises(ConfigError, match="'MSE' or 'BCE', got 'L1'"):
        critic_loss([torch.zeros(1, 1)], [torch.zeros(1, 1)], 'L1')


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
