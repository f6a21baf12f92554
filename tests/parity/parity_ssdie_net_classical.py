"""Golden vectors of the classical operators of SSDIE-Net."""

from __future__ import annotations

import random

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from parity_compare import Arrays, GoldenFolder, Rows
from parity_fill import fill_input
from parity_ssdie_net_inputs import dark_channel_input, image, sampled
from PIL import Image
from torch import Tensor

from mmweather.datasets.transforms.weak_view import WeakView
from mmweather.models.ops import filters
from mmweather.models.ops.dark_channel import block_dark_channel
from mmweather.models.ssdie_net.layers import LatentNoise
from mmweather.weather import dust


def _picture(name: str, height: int, width: int, size: int) -> np.ndarray:
    """The README's ``U``: uint8 (height, width, 3) RGB of square blocks."""
    coarse = fill_input(name, (height // size, width // size, 3))
    return (coarse.repeat(size, 0).repeat(size, 1) * 255).astype(np.uint8)


def least_in_windows(picture: np.ndarray) -> np.ndarray:
    """Least luma in 16x16 windows, uint8 (H, W); the published code has it beside the dark channel that it uses."""
    return cv2.erode(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.ones((16, 16), np.uint8))


def channel_gains(img: Tensor) -> Tensor:
    """The published ``color_correction`` of (B, 3, H, W), which nothing calls."""
    return img.clamp(0, 1) * img.new_tensor((0.9, 1.05, 1.1)).view(1, -1, 1, 1)


def scale_contrast(img: Tensor) -> Tensor:
    """The published ``adjust_contrast`` of (B, C, H, W), which nothing calls: distance to the mean times 0.8."""
    img = img.clamp(0, 1)
    mean = img.mean((2, 3), keepdim=True)
    return (img - mean) * 0.8 + mean


def _to_network(picture: np.ndarray, grey: bool = False) -> Tensor:
    """A picture resized to 256x256 by Pillow, without its aspect ratio, to (3 or 1, 256, 256) in [-1, 1]."""
    resized = Image.fromarray(picture).resize((256, 256), Image.Resampling.BILINEAR)
    return _signed(np.array(resized.convert('L') if grey else resized))


def _signed(picture: np.ndarray) -> Tensor:
    """uint8 (H, W[, C]) to (C, H, W) in [-1, 1]."""
    return torch.from_numpy(picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1).astype(np.float32)) / 127.5 - 1


def _dark_channels() -> Rows:
    x = dark_channel_input().requires_grad_()
    dark = block_dark_channel(x)
    yield 'dc16', block_dark_channel(x, expand=False).detach(), 0.0
    yield 'dc8', block_dark_channel(x, 8, expand=False).detach(), 0.0
    pooled = -F.max_pool2d(-x.amin(1, keepdim=True), 16)
    yield 'dc16_equals_pool', torch.equal(pooled, dark[..., ::16, ::16]), 0.0
    dark.backward(torch.from_numpy(fill_input('ssdie.dc.cotangent', (2, 1, 256, 256))))
    assert x.grad is not None
    yield 'dc16_grad_nonzero', x.grad.count_nonzero(), 0.0
    yield 'dc16_grad_norm', torch.linalg.vector_norm(x.grad.double()), 1e-6
    yield 'dc16_grad_sum', x.grad.double().sum(), 1e-6
    flat = torch.zeros(1, 3, 256, 256, requires_grad=True)
    block_dark_channel(flat).sum().backward()
    assert flat.grad is not None
    yield 'dc16_tie_grad_unique', flat.grad.unique(), 1e-6
    yield 'erode_dc_png', least_in_windows(_picture('ssdie.erode', 64, 80, 4)), 0.0


def _dust() -> Rows:
    clean, depth = _picture('ssdie.clean', 256, 256, 8), _picture('ssdie.depth', 256, 256, 8)
    yield 'erode_dc_clean_sample', least_in_windows(clean)[::8, ::8], 0.0
    yield 'split_J_sample', clean[::8, ::8], 0.0
    decoded = dust.decode_depth(depth, 'rgb24')
    yield 'split_depth_sample', decoded[::8, ::8], 1e-12
    yield 'split_depth_stats', np.array([decoded.mean(), decoded.std(), decoded.min(), decoded.max()]), 1e-9
    yield 'split_depth_dtype', str(decoded.dtype), None
    scene, far = fill_input('ssdie.sim.J', (64, 64, 3)).astype(np.float64), fill_input('ssdie.sim.depth', (64, 64))
    for kind, seed in (('sand', 0), ('haze', 2)):
        air, sand = dust.draw_dust_air(random.Random(seed)), dust.draw_dust_air(random.Random(seed), haze=0)
        grey = air != sand
        params = [air.beta, *sand.airlight, not grey, air.airlight[0] if grey else np.nan]
        yield f'sim_{kind}_seed', seed, 0.0
        yield f'sim_{kind}_params', np.array(params, np.float64), 1e-12
        yield f'sim_{kind}_out', dust.add_dust(scene, far, air, truncate=True), 0.0


def _pictures() -> Rows:
    # Retinex is truncated, so rounding moves it by one level.
    picture = _picture('ssdie.retinex', 96, 128, 4)
    label = dust.retinex(picture)[..., ::-1]
    yield 'retinex_bgr', label[::2, ::2], 1 / 250
    yield 'retinex_stats', np.array([label.mean(), label.std(), label.min(), label.max()]), 1 / 250
    yield 'retinex_sigma5_bgr', dust.retinex(picture, 5)[::4, ::4, ::-1], 1 / 250
    yield 'retinex_label_sample', sampled(_to_network(np.ascontiguousarray(label)), 8), 2 / 255
    yield 'tfsm_sample', sampled(_to_network(_picture('ssdie.tfsm', 90, 140, 2)), 4), 1e-6
    yield 'tfsm_dc_sample', sampled(_to_network(_picture('ssdie.tfsm', 90, 140, 2), grey=True), 4), 1e-6
    with torch.random.fork_rng(devices=[]):
        view = WeakView()
        views = []
        for seed in range(3):
            torch.manual_seed(seed)
            views.append(sampled(_signed(view(_picture('ssdie.weak', 256, 256, 16))), 8))
        yield 'weak_aug_seeds012', torch.stack(views), 1e-6
        torch.manual_seed(7)
        wide = _signed(view(_picture('ssdie.weak_rect', 200, 300, 10)))
        yield 'weak_aug_rect_seed7', sampled(wide, 8), 1e-6
        yield 'weak_aug_rect_shape', wide.shape, 0.0
        torch.manual_seed(0)
        noisy = image('ssdie.noise', (1, 3, 16, 16))
        noisy = noisy + 0.1 * LatentNoise(0.1).sample(noisy)
    yield 'noise_manual_seed0_out', noisy, 1e-6
    yield 'noise_range', torch.stack((noisy.min(), noisy.max())), 1e-6


def _filters() -> Rows:
    colours = torch.from_numpy(fill_input('ssdie.cc', (2, 3, 64, 64))) * 1.4 - 0.2
    yield 'color_correction', sampled(channel_gains(colours), 4), None
    yield 'adjust_contrast', sampled(scale_contrast(colours), 4), None
    guide, plane = (torch.from_numpy(fill_input(f'ssdie.gf.{name}', (1, 1, 64, 64))) for name in 'Ip')
    yield 'box_filter_r4', sampled(filters.box_mean(plane, 4, published=True), 2), None
    smooth = filters.guided_filter(guide, plane, 4, 1e-2, published=True)
    yield 'guided_filter_r4_eps1e-2', sampled(smooth, 2), None
    # Without eps the slope is a quotient of rounding errors where the guide is flat.
    yield 'guided_filter_default', sampled(filters.guided_filter(guide, plane, published=True), 4), 1e-3


def check_classical(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Dark channels, dust and depth, Retinex and preparation of pictures, filters."""
    yield from (*_dark_channels(), *_dust(), *_pictures(), *_filters())
    # Which libraries recorded the vectors; there is nothing to compute.
    yield 'versions', reference['versions'], None
