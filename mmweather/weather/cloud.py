"""Clouds and their shadows over land seen from a satellite, for any set of spectral bands.

A cloud is a layer of droplets or ice with an optical depth that varies like turbulence.  Light is followed by the
two-stream approximation (Bohren and Clothiaux, Fundamentals of Atmospheric Radiation, 2006, ch. 5; Liou, An
Introduction to Atmospheric Radiation, 2002, sec. 6.5): of what falls on the layer it reflects R and transmits T, which
follow from the optical depth, the asymmetry g of the scattering and the single-scattering albedo w, near 1 in the
visible and smaller where water absorbs.  The satellite looks straight down, the sun stands aslant, so the shadow of a
cloud lies beside it.

Images are reflectance at the top of the atmosphere, (H, W, bands); a reflectance of 1 is a digital number of 10 000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .noise import fractal

WAVELENGTHS = (443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1375, 1610, 2190)
"""Centres of the Sentinel-2 bands B1, B2, ..., B8, B8A, B9, B10, B11, B12 in nm."""
ASYMMETRY = 0.85
# 1 - w for droplets of 10 micrometres radius and for ice crystals of 30 micrometres, rounded from Mie tables.
_ABSORBED_WATER = (2e-6, 2e-6, 2e-6, 2e-6, 5e-6, 1e-5, 1e-5, 2e-5, 3e-5, 1e-4, 2e-3, 6e-3, 2.5e-2)
_ABSORBED_ICE = (2e-6, 2e-6, 2e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 8e-5, 3e-4, 2e-2, 5e-2, 6e-2)
# Vertical optical depth of the whole column of water vapour, per cm of precipitable water; none elsewhere.
_VAPOUR = (0, 0, 0, 0, 0.005, 0.01, 0, 0.01, 0, 0.45, 3.0, 0.005, 0.02)
# Share of the light on the ground that comes from the sky and not from the sun, which fills shadows.
_SKYLIGHT = (0.34, 0.28, 0.22, 0.17, 0.15, 0.14, 0.13, 0.12, 0.12, 0.12, 0.1, 0.07, 0.06)
_VAPOUR_HEIGHT = 2.0
RGB = (3, 2, 1)
"""Red, green and blue among the 13 bands."""
_SLOPE = 11 / 6


@dataclass(frozen=True)
class Cloud:
    """What a layer of cloud is like.

    Attributes:
        cover: share of the sky, (0, 1].
        optical_depth: mean over the covered part, in the visible; 1 is a veil, 10 a white cloud, 40 a storm.
        height: of the cloud above the ground in km; decides how far away the shadow falls, and above 6 km the cloud is
            ice.
        contrast: standard deviation of the logarithm of the optical depth within the cloud; 0.4 is even, 1.2 ragged.
        sun_zenith: degrees from the vertical, 0 to 75.
        sun_azimuth: degrees clockwise from the top of the image, where the light comes from.
        vapour: precipitable water in cm.
        pixel: side of a pixel in m.
    """

    cover: float = 0.5
    optical_depth: float = 15.0
    height: float = 1.5
    contrast: float = 0.8
    sun_zenith: float = 40.0
    sun_azimuth: float = 150.0
    vapour: float = 1.5
    pixel: float = 10.0

    def __post_init__(self) -> None:
        limits = {'cover': (1e-6, 1), 'optical_depth': (0, math.inf), 'height': (0, 20), 'contrast': (0, 5),
                  'sun_zenith': (0, 75), 'vapour': (0, 10), 'pixel': (1e-3, math.inf)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f'{name} must lie in {low}..{high}, got {getattr(self, name)}')

    @classmethod
    def draw(cls, rng: np.random.Generator, kind: str = 'mixed') -> Cloud:
        """A cloud as satellites see them.

        Args:
            rng: the source of randomness.
            kind: ``'thin'`` (haze and cirrus over the whole picture), ``'thick'`` (white clouds with dark shadows) or
                ``'mixed'`` (either, one time in four thin).

        Raises:
            ValueError: another kind.
        """
        if kind not in ('thin', 'thick', 'mixed'):
            raise ValueError(f"kind must be 'thin', 'thick' or 'mixed', got {kind!r}")
        sun = dict(sun_zenith=float(rng.uniform(22, 55)), sun_azimuth=float(rng.uniform(110, 200)),
                   vapour=float(rng.uniform(0.8, 3.0)))
        if kind == 'thin' or (kind == 'mixed' and rng.random() < 1 / 4):
            return cls(cover=float(rng.uniform(0.75, 1.0)), optical_depth=float(rng.uniform(0.5, 1.6)),
                       height=float(rng.uniform(5, 11)), contrast=float(rng.uniform(0.3, 0.7)), **sun)
        return cls(cover=float(rng.uniform(0.2, 0.5)), optical_depth=float(rng.uniform(4, 14)),
                   height=float(rng.uniform(0.4, 1.6)), contrast=float(rng.uniform(0.6, 1.1)), **sun)


def two_stream(depth: np.ndarray, absorbed: np.ndarray | float,
               asymmetry: float = ASYMMETRY) -> tuple[np.ndarray, np.ndarray]:
    """What a layer reflects and transmits of diffuse light.

    Args:
        depth: optical depth, at least 0.
        absorbed: 1 - w, the share that a droplet swallows of what it meets; broadcasts with ``depth``.
        asymmetry: mean cosine of the scattering angle.

    Returns:
        Reflectance and transmittance in [0, 1]; their sum is below 1 by what is absorbed.
    """
    # Below 1e-6 the difference to no absorption is rounding.
    lost = np.maximum(np.asarray(absorbed, np.float64), 1e-6)
    a, b = np.sqrt(lost), np.sqrt(1 - (1 - lost) * asymmetry)
    thick = (b - a) / (b + a)
    decay = np.exp(-math.sqrt(3) * a * b * np.asarray(depth, np.float64))
    below = 1 - (thick * decay)**2
    return thick * (1 - decay**2) / below, (1 - thick**2) * decay / below


def optical_depth(shape: tuple[int, int], rng: np.random.Generator, cloud: Cloud) -> np.ndarray:
    """Optical depth of a cloud in each pixel.

    Turbulence gives the logarithm of the water path a spectrum of 1 / f^(5/3) along a line, 1 / f^(11/3) over the
    plane; the part of the field above the quantile that leaves ``cover`` is cloud.

    Args:
        shape: (H, W).
        rng: the source of randomness.
        cloud: cover, mean depth and contrast.

    Returns:
        float32 (H, W), 0 in clear sky, continuous at the edge, mean ``cloud.optical_depth`` where it is not 0.
    """
    field = fractal(shape, rng, _SLOPE)
    above = np.maximum(field - np.quantile(field, 1 - cloud.cover), 0)
    depth = np.expm1(cloud.contrast * above) if cloud.contrast else above
    covered = depth > 0
    mean = depth[covered].mean() if covered.any() else 1.0
    return (depth * (cloud.optical_depth / mean)).astype(np.float32)


def shadow_offset(cloud: Cloud) -> tuple[int, int]:
    """How far down and to the right of a cloud its shadow lies, in pixels."""
    length = cloud.height * 1000 * math.tan(math.radians(cloud.sun_zenith)) / cloud.pixel
    azimuth = math.radians(cloud.sun_azimuth)
    # The light comes from up = cos, right = sin, and goes on to the other side.
    return round(length * math.cos(azimuth)), -round(length * math.sin(azimuth))


def add_cloud(clear: np.ndarray, depth: np.ndarray, cloud: Cloud,
              bands: tuple[int, ...] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Add a cloud to a clear image.

    The cloud's own light, lessened by the vapour above it (which hides low clouds from B10 and partly from B9), plus
    the ground's, lit through the cloud on the way of the sun, seen through the cloud overhead, and thrown back and
    forth between both.

    Args:
        clear: reflectance (H, W, bands).
        depth: optical depth (H, W) of :func:`optical_depth`.  Beyond the border it goes on at the opposite side, as the
            periodic fields do.
        cloud: height, sun and vapour.
        bands: which of the 13 Sentinel-2 bands ``clear`` has; None means all, in order.

    Returns:
        Reflectance (H, W, bands) float32, and labels (H, W) int8: 1 cloud, -1 shadow, 0 clear.

    Raises:
        ValueError: the shapes do not fit.
    """
    chosen = list(range(len(WAVELENGTHS)) if bands is None else bands)
    if clear.ndim != 3 or clear.shape[-1] != len(chosen) or depth.shape != clear.shape[:2]:
        raise ValueError(f'expected an image (H, W, {len(chosen)}) and a depth (H, W), got {clear.shape} and '
                         f'{depth.shape}')
    ice = cloud.height > 6
    absorbed = np.array(_ABSORBED_ICE if ice else _ABSORBED_WATER)[chosen]
    skylight = np.array(_SKYLIGHT, np.float32)[chosen]
    vapour = np.array(_VAPOUR)[chosen] * cloud.vapour * math.exp(-cloud.height / _VAPOUR_HEIGHT)
    # Down along the sun's ray and up to the satellite.
    seen = np.exp(-vapour * (1 + 1 / math.cos(math.radians(cloud.sun_zenith)))).astype(np.float32)
    # R and T change slowly with the depth: a table of 512 entries a band is exact to 1e-3.
    top = max(float(depth.max()), 1e-3)
    grid = np.linspace(0, 1, 512)**2 * top
    place = np.sqrt(depth / top)
    shift = shadow_offset(cloud)
    place_sun = np.roll(place, shift, (0, 1))
    steps = np.linspace(0, 1, 512)
    image = np.empty(clear.shape, np.float32)
    for i in range(len(chosen)):
        reflected, passed = two_stream(grid, absorbed[i])
        overhead = np.interp(place, steps, reflected).astype(np.float32)
        up = np.interp(place, steps, passed).astype(np.float32)
        down = skylight[i] + (1 - skylight[i]) * np.interp(place_sun, steps, passed).astype(np.float32)
        ground = clear[..., i]
        image[..., i] = seen[i] * overhead + up * down * ground / (1 - overhead * ground)
    visible = two_stream(grid, _ABSORBED_WATER[1])
    labels = -(np.interp(place_sun, steps, visible[1]) < 0.7).astype(np.int8)
    labels[np.interp(place, steps, visible[0]) > 0.06] = 1
    return image, labels
