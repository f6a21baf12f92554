"""Images as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from mmweather.utils.arrays import counts_to_grey, side_by_side, tensor_to_uint8, to_uint8

VALUES = np.array([-1, 0, 0.5 / 255, 1.5 / 255, 0.5, 1, 2])


@pytest.mark.parametrize('top', [1.0, 255.0])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_8_bits_are_clipped_and_rounded(top, dtype):
    image = (VALUES * top).astype(dtype)
    levels = to_uint8(image, top)
    assert levels.dtype == np.uint8
    # 255 * (k + 0.5) / 255 need not be a tie in float32.
    assert levels.tolist() in ([0, 0, 0, 2, 128, 255, 255], [0, 0, 0, 1, 128, 255, 255])


@pytest.mark.parametrize('top', [1.0, 255.0])
def test_tensors_round_as_arrays_do(top):
    torch = pytest.importorskip('torch')
    image = np.linspace(-0.1, 1.1, 2001, dtype=np.float32) * np.float32(top)
    tensor = torch.from_numpy(image.copy())
    assert np.array_equal(tensor_to_uint8(tensor, top).numpy(), to_uint8(image, top))
    assert np.array_equal(tensor.numpy(), image)


def test_counts_become_grey_over_their_range_or_a_given_one():
    counts = np.array([[20000, 21000, 22000]], np.float32)
    assert counts_to_grey(counts)[..., 0].tolist() == [[0, 128, 255]]
    assert counts_to_grey(counts, (21000, 26100)).tolist() == [[[0] * 3, [0] * 3, [50] * 3]]
    assert not counts_to_grey(np.full((2, 2), 7, np.float32)).any()


def test_images_stand_in_a_row_on_white():
    row = side_by_side([np.zeros((2, 3, 3), np.uint8), np.ones((1, 2, 3), np.uint8)], gap=1)
    assert row[..., 0].tolist() == [[0, 0, 0, 255, 1, 1], [0, 0, 0, 255, 255, 255]]
    assert side_by_side([row]).shape == row.shape
