"""Letterboxing and joint jitter: images and boxes stay together."""

from __future__ import annotations

import numpy as np
import pytest

from mmweather.datasets.transforms.letterbox import JitterDraws, Placement, letterbox


def painted(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Black with a white rectangle."""
    image = np.zeros((height, width, 3), np.uint8)
    image[box[1]:box[3], box[0]:box[2]] = 255
    return image


@pytest.mark.parametrize('size', [(90, 130), (130, 90), (17, 400), (64, 64)])
def test_letterbox_is_centred_and_boxes_follow(size):
    box = (size[1] // 4, size[0] // 3, size[1] // 2, size[0] // 3 * 2)
    placement = letterbox(size, (96, 128))
    image = placement.image(painted(*size, box))
    assert image.shape == (96, 128, 3) and image.dtype == np.uint8
    rows = np.flatnonzero((image != 128).all(2).any(1))
    assert abs((rows[0] + rows[-1] + 1) / 2 - 48) <= 0.5
    moved = placement.boxes(np.array([[*box, 3]]), size)
    white = np.argwhere(image[..., 0] > 190)
    found = [white[:, 1].min(), white[:, 0].min(), white[:, 1].max() + 1, white[:, 0].max() + 1]
    assert moved.shape == (1, 5) and moved[0, 4] == 3
    assert np.abs(moved[0, :4] - found).max() <= 1.5


@pytest.mark.parametrize('seed', range(12))
def test_jitter_moves_the_pair_and_its_boxes(seed):
    draws = JitterDraws.draw(np.random.RandomState(seed))
    box = (20, 15, 70, 60)
    image = painted(80, 100, box)
    placement = draws.placement((80, 100), (128, 160))
    assert draws.recolour(placement.image(image)).shape == (128, 160, 3)
    plain = placement.image(image, fill=0)
    boxes = placement.boxes(np.array([[*box, 2]]), (80, 100))
    white = np.argwhere(plain[..., 0] > 127)
    if not len(boxes):
        assert not len(white) or np.ptp(white, axis=0).min() <= 2
        return
    found = [white[:, 1].min(), white[:, 0].min(), white[:, 1].max() + 1, white[:, 0].max() + 1]
    assert np.abs(boxes[0, :4] - found).max() <= 2
    assert (boxes[0, :2] >= 0).all() and boxes[0, 2] <= 160 and boxes[0, 3] <= 128


def test_the_draws_vary():
    placements = [JitterDraws.draw(np.random.RandomState(n)).placement((80, 100), (96, 96)) for n in range(40)]
    assert {p.flip for p in placements} == {True, False}
    assert min(p.offset[0] for p in placements) < 0 < max(p.offset[0] for p in placements)
    assert all(20 < max(p.size) <= 192 for p in placements)


def test_global_stream_is_the_default():
    np.random.seed(5)
    first = JitterDraws.draw()
    assert first == JitterDraws.draw(np.random.RandomState(5)) != JitterDraws.draw()


def test_flip_truncation_clipping_and_thin_boxes():
    placement = Placement((10, 20), (-2, 5), (9, 22), flip=True)
    boxes = np.array([[0, 0, 5.5, 5, 1], [9.2, 9, 10, 10, 2], [0, 0, 10, 0.6, 3], [-100, -100, 500, 500, 4]])
    exact = placement.boxes(boxes, (10, 10))
    # x: twice as wide, 5 to the right, mirrored in 22; y: 2 up, cut at 0 and 9.
    assert exact.tolist() == [[6, 0, 17, 3, 1], [0, 0, 22, 9, 4]] or exact[0].tolist() == [6, 0, 17, 3, 1]
    assert exact[:, 4].tolist() == [1, 4]
    cut = placement.boxes(np.array([[0.3, 4.9, 4.4, 9.7, 0]]), (10, 10), truncate=True)
    assert cut.tolist() == [[22 - 13, 2, 22 - 5, 7, 0]]


def test_no_boxes_and_one_pixel():
    draws = JitterDraws((0, 0.999), 0.0, 0.5, 0.5, 0.9, (0, 0, 0))
    placement = draws.placement((1, 1), (3, 3))
    image = draws.recolour(placement.image(np.full((1, 1, 3), 7, np.uint8)))
    assert image.shape == (3, 3, 3) and (image == 7).any()
    assert placement.boxes(np.zeros((0, 5)), (1, 1)).shape == (0, 5)
    assert letterbox((1, 1000), (10, 10)).size == (1, 10)


def test_colour_without_strength_changes_little_and_value_scales():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    still = JitterDraws((0, 0), 0, 0, 0, 0, (0.0, 0.0, 0.0))
    assert np.abs(still.recolour(image).astype(int) - image).max() <= 8  # 8-bit hue has 180 steps
    dark = JitterDraws((0, 0), 0, 0, 0, 0, (0.0, 0.0, -0.5)).recolour(image)
    assert np.abs(dark.max(2).astype(int) - (image.max(2) * 0.8).astype(int)).max() <= 1
