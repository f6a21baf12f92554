"""Scaling of Sentinel-1 and -2, the cloud and shadow detector on painted scenes, and antialiased resizing."""

from __future__ import annotations

import numpy as np
import pytest

from mmweather.datasets.transforms.resizing import resize_mask, resize_picture
from mmweather.datasets.transforms.sentinel import (
    PUBLISHED_VH_FLOOR,
    cloud_score,
    cloud_shadow_mask,
    fill_missing,
    scale_optical,
    scale_radar,
    shadow_mask,
)
from mmweather.errors import DataError


def land(height: int = 40, width: int = 50) -> np.ndarray:
    """Vegetation without a cloud, digital numbers."""
    level = np.array([1200, 900, 800, 600, 900, 2200, 2700, 2800, 2900, 900, 20, 1800, 900])
    noise = np.random.default_rng(0).normal(1, 0.02, (height, width, 1))
    return (level * noise).astype(np.uint16)


def test_optical_scaling_clips():
    image = np.full((1, 2, 13), 20000, np.uint16)
    image[0, 1] = 500
    scaled = scale_optical(image)
    assert scaled.dtype == np.float32
    assert scaled[0, 0, 0] == 5 and scaled[0, 1, 0] == 0.25


def test_radar_floors():
    image = np.array([[[-25, -35], [-30, -32.5], [0, 3], [-12.5, -17.5]]], np.float32)
    published = scale_radar(image, PUBLISHED_VH_FLOOR)
    np.testing.assert_allclose(published[0], [[0, 0], [0, 2.5 / 35 * 2], [2, 2], [1, 1]], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scale_radar(image)[0, :, 1], [0, 0, 2, 15 / 32.5 * 2], rtol=1e-6, atol=1e-7)


def test_missing_pixels_take_the_mean_of_the_rest():
    image = np.array([[[1, 2], [np.nan, 6]]], np.float32)
    assert fill_missing(image)[0, 1].tolist() == [3, 6]
    assert np.isnan(image[0, 1, 0])
    with pytest.raises(DataError, match='NaN'):
        fill_missing(image * np.nan)


def test_detector_finds_a_cloud_and_its_shadow_and_nothing_else():
    scene = land()
    assert not cloud_shadow_mask(scene).any()
    scene[5:20, 5:20] = [5000, 5000, 5000, 5000, 5000, 5200, 5300, 5300, 5300, 2000, 400, 4000, 3500]
    scene[24:36, 24:40] = scene[24:36, 24:40] // 4
    labels = cloud_shadow_mask(scene)
    assert labels.dtype == np.int8
    assert (labels[8:17, 8:17] == 1).all()
    assert (labels[27:33, 27:37] == -1).all()
    assert not labels[:, 44:].any()
    score = cloud_score(scene)
    assert score[12, 12] == 1 and score.min() == pytest.approx(1e-5)
    assert shadow_mask(scene)[30, 30] and not shadow_mask(scene)[12, 12]


def test_snow_is_no_cloud():
    scene = np.full((20, 20, 13), 6000, np.uint16)
    assert (cloud_shadow_mask(scene) == 1).all()
    scene[..., 11] = 300
    assert not (cloud_shadow_mask(scene) == 1).any()


def test_statistics_belong_to_the_patch():
    scene = land()
    scene[:, :25] //= 3
    whole = cloud_shadow_mask(scene)
    assert (whole[5:-5, 5:20] == -1).all()
    assert not cloud_shadow_mask(scene[:, :25]).any()


def test_black_scene_is_defined():
    assert not (cloud_shadow_mask(np.zeros((9, 9, 13), np.uint16)) == 1).any()


@pytest.mark.parametrize('function', [scale_optical, cloud_score, shadow_mask, scale_radar], ids=lambda f: f.__name__)
@pytest.mark.parametrize('shape', [(4, 4, 3), (13, 4, 4), (4, 4), (0, 4, 13)])
def test_wrong_bands_are_named(function, shape):
    with pytest.raises(DataError, match='expected'):
        function(np.zeros(shape, np.float32))


def test_resizing_is_antialiased_and_the_published_mask_grows():
    checker = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    small = resize_picture(checker, 16, 16)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() < 20
    assert resize_picture(np.zeros((7, 9, 3), np.uint8), 5, 4).shape == (5, 4, 3)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:32, 16:32] = 255
    nearest, grown = resize_mask(mask, 32, 32), resize_mask(mask, 32, 32, published=True)
    assert nearest.sum() == 64 and set(np.unique(grown)) == {0, 1}
    assert grown.sum() > 64 and (grown >= nearest).all()
