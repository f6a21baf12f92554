"""Tiles that share what was measured on the whole image: no seam with the weights that are shipped."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mmweather.apis.hub import get_model
from mmweather.apis.restore import contract_of, predict
from mmweather.models.ops.contract import InferenceContract
from mmweather.models.ops.tiling import run_tiled
from mmweather.models.ops.whole_image import Recorded, patchwork, recording, replaying, stand_in, whole_image
from mmweather.models.restorers.restorer import contract_of_network
from mmweather.models.ssdie_net.msff import MSFF
from mmweather.weather.dust import DustAir, add_dust

SHIPPED = ('nitedr', 'nitedr-fusion', 'aca-crnet', 'aca-crnet-rice2', 'ssdie-net')


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sky_and_ground(side: int, dusty: bool = False) -> torch.Tensor:
    """A smooth sky over textured ground, (1, 3, side, side) in [0, 1], 8-bit levels."""
    rng = np.random.default_rng(0)
    y, x = np.linspace(0, 1, side)[:, None], np.linspace(0, 1, side)[None]
    sky = np.stack([0.45 + 0.25 * y + 0.1 * x, 0.55 + 0.2 * y + 0.05 * x, 0.75 + 0.1 * y + 0 * x], -1)
    coarse = cv2.resize(rng.random((side // 4, side // 4, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    ground = np.clip(0.1 + (0.6 * coarse + 0.2 * rng.random((side, side, 3))) * (0.6, 0.55, 0.4), 0, 1)
    image = np.where((y < 0.55)[..., None], sky, ground)
    image = add_dust(image, np.repeat(1 - y, side, 1), DustAir(0.8, (0.85, 0.55, 0.2), nearest=0.3)) if dusty else (
        np.rint(image * 255))
    return torch.from_numpy(image).float().permute(2, 0, 1)[None] / 255


@pytest.mark.slow
@pytest.mark.parametrize('name', SHIPPED)
def test_no_seam_in_a_flat_sky(name):
    tile = 128
    model = get_model(name, 'shipped')
    contract = contract_of(model)
    image = sky_and_ground(2 * tile, dusty=name == 'ssdie-net')
    grey = image.mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    images = {key: image if key == 'img' else grey for key in contract.inputs}
    whole, tiled = predict(model, images, None), predict(model, images, tile)
    error = 255 * (tiled - whole)
    sky = error[..., :tile, :]
    assert (whole - image).abs().mean() * 255 > 2, 'the model changes nothing, so no seam can be seen'
    assert sky.diff(dim=-1).abs().max() < 1 and sky.diff(dim=-2).abs().max() < 1
    assert error.abs().mean() < 2
    assert contract.tiling in ('supported', 'shared')


class Gate(nn.Module):
    """Adds the mean of the image."""

    inference_contract = InferenceContract(tiling='shared', overlap=8, measured_side=64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + whole_image(self, lambda: x.mean((2, 3), keepdim=True))


def test_tiles_share_one_mean_and_whole_images_use_their_own():
    x = torch.zeros(2, 1, 64, 128)
    x[..., 64:] = 1
    x[1] *= 0.5
    net = Gate()
    expected = x + x.mean((2, 3), keepdim=True)
    assert torch.equal(run_tiled(net, (x, ), net.inference_contract), expected)
    torch.testing.assert_close(run_tiled(net, (x, ), net.inference_contract, tile=32), expected)


def test_each_call_of_a_layer_has_a_value_and_threads_do_not_mix():
    net, seen = Gate(), {}
    first, second = torch.full((1, 1, 4, 4), 1.0), torch.full((1, 1, 4, 4), 3.0)
    recorded = Recorded()
    with recording(recorded):
        net(first)
        net(second)

    def other() -> None:
        seen['other'] = float(net(torch.zeros(1, 1, 4, 4)).mean())

    with replaying(recorded):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert [float(net(torch.zeros(1, 1, 4, 4)).mean()) for _ in range(2)] == [1, 3]
    assert seen['other'] == 0
    assert float(net(second).mean()) == 6, 'nothing stays active after the context'


def test_a_network_of_another_toolbox_is_shared_too():
    class Foreign(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.pool(x)

    net = Foreign()
    contract = contract_of_network(net)
    assert contract.tiling == 'shared' and contract_of_network(nn.Conv2d(1, 1, 1)).tiling == 'supported'
    x = torch.cat((torch.full((1, 1, 64, 64), 0.2), torch.full((1, 1, 64, 64), 0.8)), -1)
    torch.testing.assert_close(run_tiled(net, (x, ), contract, tile=48), x * 0.5)
    assert not net.pool._forward_hooks


@pytest.mark.parametrize(('size', 'multiple'), [((50, 300), 4), ((400, 131), 8), ((1, 1), 1), ((257, 1000), 2)])
def test_the_patchwork_is_small_and_spread_over_the_image(size, multiple):
    rows = torch.arange(size[0], dtype=torch.float32)[:, None].expand(*size)
    columns = torch.arange(size[1], dtype=torch.float32)[None].expand(*size)
    work = patchwork(torch.stack((rows, columns))[None], 128, multiple)
    for axis, plane in ((0, work[0, 0, :, 0]), (1, work[0, 1, 0])):
        assert len(plane) == min(size[axis], 128)
        assert plane[0] == 0 and plane[-1] >= size[axis] - multiple
    small = stand_in(torch.rand(1, 3, *size), InferenceContract(multiple_of=multiple, measured='copy',
                                                                measured_side=64))
    assert max(small.shape[-2:]) <= 64 + multiple and all(side % multiple == 0 for side in small.shape[-2:])


def test_the_attention_grid_of_msff_changes_small_maps_not_and_blur_leaves_no_grid():
    torch.manual_seed(0)
    published, gridded, smooth = (MSFF(features=8, attention_grid=grid, smooth=blur).eval()
                                  for grid, blur in ((None, False), (16, False), (16, True)))
    for name, value in published.state_dict().items():
        if name.endswith('gamma'):
            value.fill_(1)
        if '_conv.weight' in name:
            value.mul_(30)  # attention that is not all but even
    gridded.load_state_dict(published.state_dict())
    smooth.load_state_dict(published.state_dict())
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(gridded(x), published(x))
        assert (gridded(torch.cat((x, x), -1)) - published(torch.cat((x, x), -1))).abs().max() > 1e-3
        flat = torch.full((1, 3, 96, 96), 0.3)
        inner = slice(40, 56)
        steps = [net(flat)[..., inner, inner].diff(dim=-1).abs().max() for net in (published, smooth)]
    assert steps[0] > 1e-4, 'the transposed convolutions leave no grid to remove'
    assert steps[1] < 1e-5


def test_large_attention_maps_are_not_stored(monkeypatch):
    from mmweather.models.ssdie_net import msff
    torch.manual_seed(0)
    attention = msff.CrossScaleAttention(16).eval()
    attention.gamma.data.fill_(1)
    x, y = torch.rand(1, 16, 20, 24), torch.rand(1, 16, 20, 24)
    with torch.inference_mode():
        stored = attention(x, y)
        monkeypatch.setattr(msff, '_STORED_MAPS', 0)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            fused = attention(x, y)
    torch.testing.assert_close(fused, stored)
    assert any('flash_attention' in event.key for event in profile.key_averages()), 'the map of all pairs is stored'


def test_the_remaining_cast_is_taken_off_the_whole_image_and_black_and_white_stay():
    torch.manual_seed(0)
    plain, neutral = MSFF(features=8, noise_std=0).eval(), MSFF(features=8, noise_std=0, neutral=1.0).eval()
    plain.final_decoder[-2].weight.data.mul_(30)  # colours that differ, as of a trained network
    neutral.load_state_dict(plain.state_dict())
    ramp = torch.linspace(-1, 1, 256)
    picture = torch.stack((ramp, (ramp + 1) ** 1.3 / 2**0.3 - 1, (ramp + 1) ** 1.7 / 2**0.7 - 1))[None, :, None]
    balanced = neutral._balance(picture.expand(1, 3, 8, 256))
    means = balanced.mean((2, 3))
    assert means.max() - means.min() < 0.4 * (picture.mean((2, 3)).max() - picture.mean((2, 3)).min())
    assert balanced[..., 0].max() < -0.98 and balanced[..., -1].min() > 0.999
    x = torch.rand(1, 3, 40, 320) * 0.5 - torch.tensor([0.0, 0.3, 0.6]).view(1, 3, 1, 1)
    x[..., 160:] += 0.5
    with torch.inference_mode():
        whole = run_tiled(neutral, (x, ), neutral.inference_contract)
        assert (whole - run_tiled(plain, (x, ), plain.inference_contract)).abs().max() > 0.01
        tiled = run_tiled(neutral, (x, ), neutral.inference_contract, tile=160, overlap=80)
    assert (tiled - whole).abs().max() < 2 / 255
    with torch.no_grad():
        assert torch.equal(neutral.train()(x), plain.train()(x)), 'training sees the network alone'
