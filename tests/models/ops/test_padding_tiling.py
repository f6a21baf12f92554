"""Any size in, the same size out; tiles that do not show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mmweather.errors import ConfigError, DataError
from mmweather.models.nitedr.cleannet import CleanNet
from mmweather.models.ops.contract import InferenceContract
from mmweather.models.ops.padding import crop_to, pad_to_multiple
from mmweather.models.ops.tiling import blending_windows, choose_tile, even_tile, run_tiled, tile_starts

SIZES = [(1, 1), (1, 9), (9, 1), (7, 13), (8, 8), (53, 71)]
LOCAL = InferenceContract(multiple_of=1, tiling='supported', overlap=16)


@pytest.fixture(scope='module', autouse=True)
def two_threads_at_most():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def tiny():
    """A small CleanNet whose residual is as large as rain is, about a tenth of the range."""
    torch.manual_seed(0)
    network = CleanNet(dim=16, num_blocks=(1, 1, 1, 1)).eval().requires_grad_(False)
    x = scene(64, 64)
    residual = (network(x) - x).std()
    network.output.weight.mul_(0.1 / residual)
    return network


def scene(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Smooth colours with edges and a little noise, (1, 3, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, max(height // 16, 2), max(width // 16, 2), generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode='bilinear', align_corners=True)
    blocks = nn.functional.interpolate(coarse.flip(-1), (height, width), mode='nearest')
    return (0.6 * smooth + 0.3 * blocks + 0.1 * torch.rand(1, 3, height, width, generator=generator)).clamp(0, 1)


# Padding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(('multiple', 'minimum'), [(1, 1), (8, 8), (16, 40), (32, 1)])
def test_padding_fits_and_keeps_the_image(size, multiple, minimum):
    image = torch.rand(2, 3, *size)
    padded = pad_to_multiple(image, multiple, minimum)
    height, width = padded.shape[-2:]
    assert height % multiple == 0 and width % multiple == 0 and min(height, width) >= minimum
    assert height < max(size[0], minimum) + multiple and width < max(size[1], minimum) + multiple
    assert torch.equal(crop_to(padded, *size), image)
    assert set(padded.unique().tolist()) <= set(image.unique().tolist())


def test_padding_mirrors_without_the_edge_at_the_bottom_and_right():
    image = torch.arange(30.).reshape(1, 1, 5, 6)
    expected = np.pad(image[0, 0].numpy(), ((0, 3), (0, 2)), mode='reflect')
    assert np.array_equal(pad_to_multiple(image, 8, 8)[0, 0].numpy(), expected)


@pytest.mark.parametrize('size', [(2, 3), (3, 2), (1, 5), (5, 1), (1, 1)])
def test_short_sides_are_mirrored_again_and_again(size):
    image = torch.rand(1, 2, *size)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (0, 24 - size[0]), (0, 24 - size[1])), mode='reflect')
    assert np.array_equal(pad_to_multiple(image, 24).numpy(), expected)


@pytest.mark.parametrize('size', SIZES)
def test_cleannet_takes_any_size(tiny, size):
    x = scene(*size)
    result = run_tiled(tiny, (x, ), tiny.inference_contract)
    assert result.shape == x.shape and torch.isfinite(result).all()
    assert (result - x).abs().max() > 1e-4  # not just the residual's identity


# Tiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('size', 'tile', 'overlap', 'step'),
                         [(100, 32, 8, 1), (104, 32, 8, 8), (96, 32, 16, 16), (33, 32, 16, 1), (1000, 64, 0, 8),
                          (72, 64, 32, 8), (2160, 512, 64, 8)])
def test_tiles_cover_overlap_and_stay_inside(size, tile, overlap, step):
    starts = tile_starts(size, tile, overlap, step)
    assert starts[0] == 0 and starts[-1] + tile == size
    assert all(start % step == 0 for start in starts)
    steps = np.diff(starts)
    assert (steps > 0).all() and (tile - steps >= overlap).all()
    for trim in (0, overlap // 4, overlap // 2):
        total = torch.zeros(size)
        for start, weight in blending_windows(size, starts, tile, trim):
            assert weight.shape == (tile, ) and (weight >= 0).all()
            total[start:start + tile] += weight
        torch.testing.assert_close(total, torch.ones(size))


@pytest.mark.parametrize(('size', 'longest', 'overlap', 'step'),
                         [(2160, 512, 64, 8), (3840, 768, 64, 8), (100, 64, 6, 1)])
def test_even_tiles_are_shorter_and_no_more(size, longest, overlap, step):
    even = even_tile(size, longest, overlap, step)
    assert even <= longest and even % step == 0
    assert len(tile_starts(size, even, overlap, step)) == len(tile_starts(size, longest, overlap, step))
    assert even_tile(longest, longest, overlap, step) == longest


class Counting(nn.Module):
    """Sees each call; two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, img: torch.Tensor, ir: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(img.shape))
        assert img.shape[-2:] == ir.shape[-2:]
        return 0.25 * img + 0.75 * ir


def local_network(radius: int) -> nn.Sequential:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, padding=1), *(nn.Conv2d(8, 8, 3, padding=1) for _ in range(radius - 2)),
              nn.Conv2d(8, 3, 3, padding=1)]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh()))).requires_grad_(False)


@pytest.mark.parametrize('size', [(61, 90), (64, 96), (33, 129)])
@pytest.mark.parametrize('step', [1, 8])
def test_tiles_of_a_local_network_equal_the_whole(size, step):
    network = local_network(radius=5)
    contract = InferenceContract(multiple_of=step, tiling='supported', overlap=11)  # the receptive field
    x = scene(*size)
    whole = run_tiled(network, (x, ), contract)
    for tile in (32, 40):
        tiled = run_tiled(network, (x, ), contract, tile=tile)
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)
    short = run_tiled(network, (x, ), contract, tile=32, overlap=2)
    assert (short - whole).abs().max() > 1e-5, 'the test does not feel the borders of tiles'


def test_tiles_have_one_size_and_several_inputs_stay_together():
    network = Counting()
    img, ir = torch.rand(2, 3, 50, 77), torch.rand(2, 3, 50, 77)
    reports = []
    out = run_tiled(network, (img, ir), LOCAL, tile=32, overlap=8, progress=lambda *step: reports.append(step))
    torch.testing.assert_close(out, 0.25 * img + 0.75 * ir)
    assert set(network.sizes) == {(2, 3, 32, 32)}
    assert reports == [(i + 1, len(network.sizes)) for i in range(len(network.sizes))]


def test_tiles_in_half_precision_add_up_in_float():
    ones = torch.ones(1, 3, 70, 90, dtype=torch.bfloat16)
    contract = InferenceContract(tiling='approximate')
    out = run_tiled(lambda x: x, (ones, ), contract, tile=32, overlap=16)
    torch.testing.assert_close(out, torch.ones(1, 3, 70, 90), rtol=0, atol=1e-6)


def error_step(tiled: torch.Tensor, whole: torch.Tensor, columns: list[int]) -> float:
    """Mean jump of the error into the given columns, relative to the mean jump of the whole image there."""
    error = (tiled - whole)[..., columns] - (tiled - whole)[..., [c - 1 for c in columns]]
    step = whole[..., columns] - whole[..., [c - 1 for c in columns]]
    return float(error.abs().mean() / step.abs().mean())


def test_tiles_of_cleannet_show_no_seam(tiny):
    x = scene(128, 192)
    whole = run_tiled(tiny, (x, ), tiny.inference_contract)
    tiled = run_tiled(tiny, (x, ), tiny.inference_contract, tile=96, overlap=48)
    residual = (whole - x).std()
    assert 0.05 < residual < 0.2, 'the residual is not of the size of rain'
    # The network uses statistics of all that it sees, so tiles differ from the whole: by 17 % of what this untrained
    # network changes, on a scene whose parts differ much.
    assert 0 < (tiled - whole).abs().mean() < 0.25 * residual
    # But the difference jumps no more where tiles and ramps begin or end (0.22) than anywhere (0.26).
    starts = tile_starts(192, 96, 48, 8)
    places = sorted({p for s in starts for p in (s, s + 12, s + 95 - 12, s + 95) if 0 < p < 192})
    anywhere = error_step(tiled, whole, list(range(1, 192)))
    assert error_step(tiled, whole, places) < 1.1 * anywhere
    # Tiles put side by side do show (1.0), so the measure feels a seam.
    hard = torch.cat([run_tiled(tiny, (part, ), tiny.inference_contract) for part in x.split(96, dim=-1)], -1)
    assert error_step(hard, whole, [96]) > 3 * anywhere


# Choice ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('tile', [0, -8, 1.5, '256', 'big', True])
def test_impossible_tiles(tile):
    with pytest.raises(ConfigError, match='tile='):
        run_tiled(nn.Identity(), (torch.rand(1, 3, 40, 40), ), LOCAL, tile=tile)


@pytest.mark.parametrize('overlap', [-1, 17, 500])
def test_impossible_overlaps(overlap):
    with pytest.raises(ConfigError, match='overlap'):
        run_tiled(nn.Identity(), (torch.rand(1, 3, 40, 40), ), LOCAL, tile=32, overlap=overlap)


@pytest.mark.parametrize('tile', [1, 8, 9, 16])
def test_tiles_smaller_than_the_overlap_of_the_contract(tile):
    x = torch.rand(1, 3, 41, 30)
    contract = InferenceContract(multiple_of=8, minimum=8, overlap=64)
    torch.testing.assert_close(run_tiled(lambda image: image * 1, (x, ), contract, tile=tile), x)


def test_inputs_of_two_sizes():
    with pytest.raises(DataError, match='9x8, 8x8'):
        run_tiled(Counting(), (torch.rand(1, 3, 8, 9), torch.rand(1, 3, 8, 8)), LOCAL)


def test_auto_runs_small_images_whole_and_large_ones_in_tiles():
    assert choose_tile('auto', 460, 620, LOCAL) is None
    assert choose_tile('auto', 2160, 3840, LOCAL) is not None
    assert choose_tile('auto', 2160, 3840, InferenceContract(tiling='never')) is None
    assert choose_tile(None, 2160, 3840, LOCAL) is None
    assert choose_tile(64, 64, 64, LOCAL) is None and choose_tile(64, 65, 64, LOCAL) == 64
