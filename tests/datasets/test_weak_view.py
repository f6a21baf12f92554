"""The weakly moved view."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmweather.datasets.transforms.weak_view import WeakView


@pytest.mark.parametrize('size', [(1, 1), (2, 300), (20, 33), (70, 40)])
def test_weak_view_of_any_size(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    view = WeakView(32)
    torch.manual_seed(3)
    first, second = view(picture), view(picture)
    torch.manual_seed(3)
    assert np.array_equal(view(picture), first)
    assert first.shape == second.shape == (32, 32, 3) and first.dtype == np.uint8


def test_without_luck_it_is_a_zoomed_crop():
    view = WeakView(20, zoom=2.0)
    # The steps that move by chance taken out, what is left shows the middle quarter.
    view.steps.transforms = view.steps.transforms[3:5]
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:30, 15:45] = 255
    assert (view(picture)[2:-2, 2:-2] == 255).all() and view(picture)[0, 0].max() < 255
