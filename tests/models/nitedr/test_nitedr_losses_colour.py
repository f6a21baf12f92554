"""Losses and colour of the second stage against formulas written out here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmweather.models.nitedr import colour
from mmweather.models.nitedr.losses import (
    LuminanceFusionLoss,
    RefinementLoss,
    high_frequency,
    information_measure,
    neighbour_difference,
    smoothness,
)

torch.manual_seed(0)


def test_full_range_pair_is_its_own_inverse():
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    assert torch.allclose(colour.ycrcb_to_rgb(colour.rgb_to_ycrcb(x)), x, atol=1e-12)


def test_published_pair_is_not():
    x = torch.rand(1, 3, 8, 8)
    assert (colour.published_ycrcb_to_rgb(colour.rgb_to_ycrcb(x)) - x).abs().max() > 0.05


def test_eight_bit_conversion_is_opencvs_on_every_corner():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture[0, :8] = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    ours = colour.eight_bit_ycrcb(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
    wanted = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    assert np.array_equal((ours[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8), wanted)


def test_grey_has_neutral_chroma():
    planes = colour.eight_bit_ycrcb(torch.rand(1, 1, 4, 4).expand(1, 3, 4, 4))
    assert torch.allclose(planes[:, 1:], torch.tensor(128 / 255))


def test_chroma_mix_is_weighted_by_magnitude():
    a, b = torch.tensor([[[[0.6]]]]), torch.tensor([[[[-0.2]]]])
    assert colour.mix_chroma(a, b).item() == pytest.approx((0.36 - 0.04) / 0.8, abs=1e-6)
    assert colour.mix_chroma(a * 0, b * 0).item() == 0


@pytest.mark.parametrize('rows, columns', [(1, 0), (0, 1), (2, -1), (1, -2), (2, 2)])
def test_neighbour_difference(rows, columns):
    x = torch.rand(1, 2, 5, 6)
    got = neighbour_difference(x, rows, columns)
    wanted = [[x[0, :, i + rows, j + columns] - x[0, :, i, j] for j in range(6) if 0 <= j + columns < 6]
              for i in range(5 - rows)]
    assert torch.equal(got[0], torch.stack([torch.stack(row) for row in wanted]).permute(2, 0, 1))


def test_smoothness_lets_edges_of_the_guide_through():
    image = torch.zeros(1, 3, 8, 8)
    image[..., 4:] = 1
    flat = torch.full_like(image, 0.5)
    assert smoothness(image, image) < 1e-6 < smoothness(flat, image)
    # The published weight is about one everywhere, so it does not.
    assert smoothness(image, image, published=True) == pytest.approx(
        smoothness(flat, image, published=True).item(), rel=0.03)


def test_smoothness_of_tiny_images_is_finite():
    for size in ((1, 1), (1, 5), (2, 1)):
        x = torch.rand(1, 3, *size)
        assert torch.isfinite(smoothness(x, x)) and torch.isfinite(smoothness(x, x, published=True))


def test_refinement_loss_weights():
    image, illumination = torch.rand(1, 3, 6, 6), torch.rand(1, 3, 6, 6)
    wanted = 1.5 * (image - illumination).square().mean() + smoothness(image, illumination)
    assert RefinementLoss()(image, illumination).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_high_frequency_of_a_constant_is_zero_inside():
    x = torch.full((1, 2, 5, 5), 3.0)
    assert high_frequency(x)[..., 1:-1, 1:-1].abs().max() < 1e-6
    assert information_measure([x[..., 1:-1, 1:-1] * 0]).item() == 0


def test_fusion_loss_is_zero_for_equal_images_and_counts_half_each():
    x, y = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    loss = LuminanceFusionLoss()
    assert sum(loss(x, x, x).values()).item() == pytest.approx(0, abs=1e-5)
    terms = loss(x, x, y)
    assert terms['loss_mse'].item() == pytest.approx(20 * 0.5 * (x - y).square().mean().item(), rel=1e-5)
    # The published range of 255 all but removes the SSIM term.
    assert LuminanceFusionLoss(data_range=255)(x, x, y)['loss_ssim'] < 0.02 < terms['loss_ssim']


def test_adaptive_weights_follow_the_detail(tmp_path):
    from mmweather.models.nitedr.vgg import PublishedVGG
    torch.save(PublishedVGG().state_dict(), tmp_path / 'vgg.pth')
    loss = LuminanceFusionLoss(vgg_checkpoint=str(tmp_path / 'vgg.pth'))
    weights = loss.source_weights(torch.rand(1, 1, 32, 32), torch.full((1, 1, 32, 32), 0.5))
    assert weights.sum().item() == pytest.approx(1) and weights[0, 0] > weights[0, 1]
    assert not any(parameter.requires_grad for parameter in loss.parameters())
