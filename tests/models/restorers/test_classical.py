"""Classical restorers: what they do to pictures whose answer is known, in the restorer, and on any size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmweather.errors import ConfigError
from mmweather.models.ops.dark_channel import dark_channel
from mmweather.models.ops.filters import box_mean
from mmweather.models.restorers.classical import DarkChannelPrior, GreyWorld
from mmweather.registry import MODELS

SIZES = [(1, 1), (2, 3), (15, 40), (61, 33)]


def scene(height: int = 96, width: int = 128) -> torch.Tensor:
    """Saturated patches, each with a channel at 0, as the prior supposes."""
    torch.manual_seed(0)
    patches = torch.rand(1, 3, height // 8, width // 8)
    patches = patches * (torch.arange(3).view(1, 3, 1, 1) != torch.randint(3, patches[:, :1].shape))
    return F.interpolate(patches, (height, width), mode='nearest')


@pytest.mark.parametrize('size', SIZES)
def test_the_dark_channel_is_the_least_of_each_window(size):
    img = torch.rand(2, 3, *size)
    found = dark_channel(img, 5)
    assert found.shape == (2, 1, *size)
    for row in range(size[0]):
        for column in range(0, size[1], 7):
            window = img[1, :, max(0, row - 2):row + 3, max(0, column - 2):column + 3]
            assert found[1, 0, row, column] == window.min()


def test_the_dark_channel_of_one_pixel_windows_is_the_least_channel():
    img = torch.rand(1, 3, 4, 5)
    assert torch.equal(dark_channel(img, 1), img.amin(1, keepdim=True))


@pytest.mark.parametrize('published', [False, True])
@pytest.mark.parametrize('size', SIZES)
def test_the_box_mean_is_that_of_whole_windows(size, published):
    img = torch.rand(1, 2, *size, dtype=torch.float64)
    wanted = F.avg_pool2d(img, 7, 1, 3, count_include_pad=published)
    torch.testing.assert_close(box_mean(img, 3, published), wanted)


def test_grey_world_takes_a_tint_away_and_leaves_grey_alone():
    grey = torch.rand(1, 1, 9, 7).expand(-1, 3, -1, -1)
    torch.testing.assert_close(GreyWorld()(grey), grey)
    tinted = 0.5 * grey * torch.tensor([1.0, 0.7, 0.4]).view(1, 3, 1, 1)
    means = GreyWorld()(tinted).mean((0, 2, 3))
    torch.testing.assert_close(means, tinted.mean().expand(3))


def test_each_picture_of_a_batch_is_balanced_for_itself():
    batch = torch.rand(3, 3, 40, 30)
    for model in (GreyWorld(), DarkChannelPrior(radius=8)):
        alone = torch.cat([model(one[None]) for one in batch])
        torch.testing.assert_close(model(batch), alone)


def test_even_haze_is_found_and_taken_away():
    clean = scene()
    air, share = torch.tensor([0.8, 0.75, 0.7]).view(1, 3, 1, 1), 0.5
    hazy = clean * share + air * (1 - share)
    hazy[..., :32, :48] = air  # sky
    model = DarkChannelPrior(omega=1.0, radius=0)
    torch.testing.assert_close(model.air(hazy), air)
    below = (slice(None), slice(None), slice(48, None))
    torch.testing.assert_close(model.transmission(hazy, air)[below], torch.full((1, 1, 48, 128), share))
    torch.testing.assert_close(model(hazy)[below], clean[below], atol=1e-5, rtol=0)


def test_a_share_of_the_haze_stays_and_the_filter_follows_the_picture():
    hazy = scene() * 0.5 + 0.4
    full, part = (DarkChannelPrior(omega=omega, radius=0)(hazy) for omega in (1.0, 0.5))
    assert full.mean() < part.mean() < hazy.mean()
    assert (DarkChannelPrior(radius=8)(hazy) - DarkChannelPrior(radius=0)(hazy)).abs().max() > 1e-3


@pytest.mark.parametrize('picture', [torch.zeros(1, 3, 5, 5), torch.ones(1, 3, 40, 3),
                                     torch.tensor([0.9, 0.5, 0.0]).view(1, 3, 1, 1).expand(-1, -1, 70, 20)],
                         ids=['black', 'white', 'no-blue'])
def test_pictures_of_one_colour_stay_finite(picture):
    for model in (GreyWorld(), DarkChannelPrior()):
        found = model(picture)
        assert found.shape == picture.shape and torch.isfinite(found).all()
        assert found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize('mistake', [dict(window=4), dict(omega=0), dict(least=0), dict(radius=-1), dict(eps=0)])
def test_numbers_that_cannot_work_are_refused(mistake):
    with pytest.raises(ConfigError, match='DarkChannelPrior') as error:
        DarkChannelPrior(**mistake)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['GreyWorld', 'DarkChannelPrior'])
@pytest.mark.parametrize('size', SIZES)
def test_in_a_restorer_they_see_whole_pictures_of_any_size(name, size):
    model = MODELS.build(dict(type='mmweather.Restorer', generator=dict(type=f'mmweather.{name}'))).eval()
    assert not list(model.parameters()) and not model.state_dict()
    img = torch.rand(1, 3, *size)
    assert torch.equal(model.predict_images({'img': img}, tile=16), model.generator(img))
