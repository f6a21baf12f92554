"""Sand and dust in the air, and the classical ways to see through them, on single pictures.

The scattering model with the constants of SSDIE-Net: each colour is a mix of the scene and the airlight, and the
airlight of sand is red to orange, that of haze grey.
"""

from __future__ import annotations

import colorsys
import functools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from ..utils.arrays import to_uint8

DEPTH_CODES = ('gray', 'jet', 'rgb24', 'distance')


class Uniform(Protocol):
    """``random.Random`` and ``numpy.random.Generator`` both fit."""

    def uniform(self, low: float, high: float, /) -> float:
        """A number between ``low`` and ``high``."""


@dataclass(frozen=True)
class DustAir:
    """Density and colour of dusty air.

    Args:
        beta: extinction per unit of depth.
        airlight: RGB in [0, 1].
        light: RGB in [0, 1], colour of the light that reaches the scene; white as published.
        nearest: depth of the nearest point; None where the caller of :func:`add_dust` decides.
    """

    beta: float
    airlight: tuple[float, float, float]
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    nearest: float | None = None


@dataclass(frozen=True)
class DustRanges:
    """Ranges from which :func:`draw_wide_air` draws uniformly, far wider than the published ones.

    Args:
        beta: extinction per unit of depth.
        nearest: depth of the nearest point.
        hue: of sand in degrees, from red (0) over orange (30) to yellow (60).
        saturation: of sand; above the hue of 45 degrees at most three quarters of the upper limit.
        value: brightness of the airlight.
        filtering: how much dust colours the light that reaches the scene: 0 leaves it white, 1 gives it the colour
            of the airlight.
        haze: probability of nearly grey haze in place of sand.
        haze_saturation: of that haze, of any hue.
    """

    beta: tuple[float, float] = (0.3, 2.2)
    nearest: tuple[float, float] = (0.0, 0.8)
    hue: tuple[float, float] = (10.0, 60.0)
    saturation: tuple[float, float] = (0.1, 1.0)
    value: tuple[float, float] = (0.4, 1.0)
    filtering: tuple[float, float] = (0.0, 1.0)
    haze: float = 0.2
    haze_saturation: tuple[float, float] = (0.0, 0.12)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            limits = (value, value) if name == 'haze' else tuple(value)
            highest = 360 if name == 'hue' else math.inf if name in ('beta', 'nearest') else 1
            if len(limits) != 2 or not 0 <= limits[0] <= limits[1] <= highest:
                raise ValueError(f'{name}={value!r}: give a number, or two in order, between 0 and {highest}'
                                 if name == 'haze' else
                                 f'{name}={value!r}: give two numbers in order between 0 and {highest}')


def draw_dust_air(rng: Uniform, haze: float = 0.3) -> DustAir:
    """Draw air as SSDIE-Net does.

    Args:
        rng: a ``random.Random`` or a NumPy generator.
        haze: probability of grey haze in place of sand.

    Returns:
        beta in [0.4, 1]; for sand R in [0.7, 1], G in [0.3, 0.5], B in [0, 0.1]; for haze one grey in [0.7, 0.8].
    """
    beta, red, green, blue = (float(rng.uniform(*limits)) for limits in ((0.4, 1), (0.7, 1), (0.3, 0.5), (0, 0.1)))
    if rng.uniform(0, 1) >= 1 - haze:
        red = green = blue = float(rng.uniform(0.7, 0.8))
    return DustAir(beta, (red, green, blue))


def draw_wide_air(rng: Uniform, ranges: DustRanges = DustRanges()) -> DustAir:
    """Draw air as real photos of sand storms show it: red, orange, yellow or grey, thin or dense, also coloured light.

    Args:
        rng: a ``random.Random`` or a NumPy generator.
        ranges: limits of the draw.

    Returns:
        The air, with ``light`` and ``nearest``.
    """
    beta, nearest, value, filtering = (float(rng.uniform(*limits)) for limits in (
        ranges.beta, ranges.nearest, ranges.value, ranges.filtering))
    if rng.uniform(0, 1) < ranges.haze:
        hue, saturation = float(rng.uniform(0, 360)), float(rng.uniform(*ranges.haze_saturation))
    else:
        hue = float(rng.uniform(*ranges.hue))
        low, high = ranges.saturation
        saturation = float(rng.uniform(low, max(low, high if hue <= 45 else 0.75 * high)))
    tint = np.asarray(colorsys.hsv_to_rgb(hue / 360, saturation, 1.0))
    # Some light of every colour gets through.
    light = np.maximum(tint, 0.06)**filtering
    red, green, blue = (float(v) for v in value * tint)
    return DustAir(beta, (red, green, blue), (float(light[0]), float(light[1]), float(light[2])), nearest)


def add_dust(image: np.ndarray, depth: np.ndarray, air: DustAir, nearest: float = 1.0,
             truncate: bool = False) -> np.ndarray:
    """Put dust between the camera and a scene: ``J * T + A * (1 - T)`` with ``T = exp(-beta * (depth + nearest))``.

    Args:
        image: (H, W, 3), RGB, uint8 or floating in [0, 1].
        depth: (H, W), [0, 1], 1 is far.
        air: density and colour.
        nearest: depth of the nearest point, unless ``air`` has one; 1 as published, so that even it loses a third of
            its light and more.
        truncate: cut fractions of grey levels off, as the published code does, in place of rounding.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: depth and image differ in size.
    """
    if depth.shape != image.shape[:2]:
        raise ValueError(f'depth is {depth.shape}, the image {image.shape[:2]}: bring them to one size')
    scene = image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)
    scene = scene * np.asarray(air.light) if air.light != (1.0, 1.0, 1.0) else scene
    nearest = nearest if air.nearest is None else air.nearest
    transmission = np.exp(-air.beta * (depth.astype(np.float64) + nearest))[..., None]
    dusty = (scene * transmission + np.asarray(air.airlight) * (1 - transmission)) * 255
    return np.clip(dusty, 0, 255).astype(np.uint8) if truncate else to_uint8(dusty, 255)


def decode_depth(picture: np.ndarray, code: str = 'jet') -> np.ndarray:
    """Depth from a picture of it, stretched to [0, 1] where 1 is far.

    The published pictures are drawn in the jet palette, red near; the published code reads them as packed 24-bit
    numbers.

    Args:
        picture: uint8 (H, W, 3) RGB, or (H, W) for ``'gray'``.
        code: ``'jet'`` takes the nearest colour of the palette, ``'gray'`` the mean of the channels (bright is near),
            ``'distance'`` the same where bright is far, ``'rgb24'`` the number 65536 R + 256 G + B (large is near),
            as published.

    Returns:
        float64 (H, W); all 0 where the picture is constant.

    Raises:
        ValueError: another code.
    """
    if code not in DEPTH_CODES:
        raise ValueError(f'code must be one of {", ".join(DEPTH_CODES)}, got {code!r}')
    if code in ('gray', 'distance'):
        closeness = picture.astype(np.float64)
        closeness = closeness.mean(-1) if closeness.ndim == 3 else closeness
        closeness = -closeness if code == 'distance' else closeness
    elif code == 'rgb24':
        closeness = picture.astype(np.float64) @ np.array([65536.0, 256.0, 1.0])
    else:
        closeness = _jet_position(picture)
    low, high = closeness.min(), closeness.max()
    return np.zeros_like(closeness) if high == low else 1 - (closeness - low) / (high - low)


def ramp_depth(height: int, width: int) -> np.ndarray:
    """A stand-in for depth: 1 (far) in the top row, falling evenly to 0 in the bottom row; float64 (H, W)."""
    return np.repeat(np.linspace(1, 0, height)[:, None], width, axis=1)


@functools.cache
def _jet_tree() -> Any:
    """OpenCV's jet palette (0 blue to 255 red), RGB, to be searched for the nearest colour."""
    from scipy.spatial import cKDTree
    palette = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_JET)[:, 0, ::-1]
    return cKDTree(palette.astype(np.float64))


def _jet_position(picture: np.ndarray) -> np.ndarray:
    """Index (0 blue to 255 red) of the nearest colour of OpenCV's jet palette, float64 (H, W)."""
    # Sorting numbers is several times quicker than sorting triples.
    codes = picture.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    colours, inverse = np.unique(codes, return_inverse=True)
    nearest = _jet_tree().query(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1))[1]
    return nearest[inverse.reshape(-1)].reshape(picture.shape[:2]).astype(np.float64)


def retinex(image: np.ndarray, sigma: float = 25.0) -> np.ndarray:
    """Single-scale Retinex (Jobson et al., 1997), each channel stretched to the full range.

    Args:
        image: uint8 (H, W, 3) or (H, W), any channel order.
        sigma: of the Gaussian, in pixels of this image: the effect depends on the resolution.

    Returns:
        uint8, the same shape; fractions of grey levels are cut off; a constant channel becomes 0.
    """
    light = image.astype(np.float32) / 255
    surround = cv2.GaussianBlur(light, (0, 0), sigma)
    ratio = np.log(light + 0.01) - np.log(surround + 0.01)
    low, high = ratio.min((0, 1)), ratio.max((0, 1))
    scale = np.where(high > low, 255 / np.maximum(high - low, 1e-12), 0)
    return ((ratio - low) * scale).clip(0, 255).astype(np.uint8)
