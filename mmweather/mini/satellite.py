"""A small world from above: fields, woods, water, roads and towns as Sentinel-2 and Sentinel-1 see them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..weather.noise import fractal, smoothstep

SURFACES = ('crop', 'ripe', 'soil', 'meadow', 'wood', 'water', 'road', 'town')
"""Meaning of the labels."""
# Typical reflectance at the top of the atmosphere in the 13 bands, times 1000; B10 sees the ground hardly at all.
_SPECTRA = np.array([
    [125, 95, 88, 60, 100, 260, 320, 330, 345, 110, 2, 170, 85],
    [140, 120, 125, 140, 175, 215, 235, 240, 260, 90, 2, 270, 190],
    [145, 128, 128, 150, 170, 185, 200, 210, 225, 85, 2, 285, 235],
    [132, 102, 100, 85, 125, 225, 260, 270, 285, 100, 2, 210, 125],
    [118, 82, 65, 42, 68, 165, 205, 210, 220, 80, 2, 105, 48],
    [115, 84, 64, 42, 38, 30, 28, 25, 22, 12, 2, 10, 7],
    [150, 132, 128, 132, 140, 150, 158, 162, 170, 70, 2, 185, 165],
    [175, 165, 165, 172, 180, 195, 205, 215, 222, 95, 2, 230, 205],
], np.float32) / 1000
# Backscatter in dB, VV and VH, and how much it varies from field to field.
_RADAR = np.array([[-10.5, -16], [-11.5, -18.5], [-12.5, -20.5], [-11.5, -17.5], [-8.5, -14], [-20, -27], [-15.5, -23],
                   [-5.5, -12.5]], np.float32)
_LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1's ground range products; sets the speckle."""
# Side of a pixel in units of 10 m, per band.
_COARSENESS = (6, 1, 1, 1, 2, 2, 2, 1, 2, 6, 6, 2, 2)


@dataclass(frozen=True)
class Tile:
    """One clear tile.

    Attributes:
        optical: reflectance at the top of the atmosphere, float32 (H, W, 13), bands in the order B1 ... B8, B8A, B9,
            B10, B11, B12, all drawn at full resolution (:func:`as_sensed` coarsens them).
        radar: backscatter in dB, float32 (H, W, 2): VV, VH, with speckle.
        labels: uint8 (H, W), indices into :data:`SURFACES`.
    """

    optical: np.ndarray
    radar: np.ndarray
    labels: np.ndarray


def _fields(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Parcels of land: number of the parcel in each pixel, and how near the pixel is to a border (0 on it)."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, math.pi)
    # Fields lie along one direction of the countryside and are longer than wide.
    u = (x * math.cos(angle) + y * math.sin(angle)) * rng.uniform(0.4, 0.7) + 3 * fractal(shape, rng, 2)
    v = y * math.cos(angle) - x * math.sin(angle) + 3 * fractal(shape, rng, 2)
    count = max(6, round(height * width / rng.uniform(700, 1800)))
    seeds = np.stack([rng.uniform(u.min(), u.max(), count), rng.uniform(v.min(), v.max(), count)]).astype(np.float32)
    first = np.full(shape, np.inf, np.float32)
    second, parcel = first.copy(), np.zeros(shape, np.int32)
    for number in range(count):
        # Corners of fields are square: the larger of the two distances, not the straight line.
        distance = np.maximum(np.abs(u - seeds[0, number]), np.abs(v - seeds[1, number]))
        nearer = distance < first
        second = np.where(nearer, first, np.minimum(second, distance))
        parcel[nearer] = number
        first = np.where(nearer, distance, first)
    return parcel, second - first


def _river(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Where a winding river flows, bool."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, math.pi)
    along = (x - width / 2) * math.cos(angle) + (y - height / 2) * math.sin(angle)
    across = (y - height / 2) * math.cos(angle) - (x - width / 2) * math.sin(angle)
    bend = sum(rng.uniform(4, 14) * np.sin(along / rng.uniform(14, 45) + rng.uniform(0, 6.3)) for _ in range(3))
    offset = rng.uniform(-0.3, 0.3) * min(shape)
    return np.abs(across - bend - offset) < rng.uniform(1.5, 5)


def _roads(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Roads as thin lines, bool."""
    height, width = shape
    canvas = np.zeros(shape, np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        angle, knots = rng.uniform(0, math.pi), np.linspace(-1.0, 1.0, 9)
        reach = max(shape)
        centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        way = np.array([math.cos(angle), math.sin(angle)])
        side = np.array([-way[1], way[0]])
        points = centre + knots[:, None] * reach * way + np.cumsum(rng.normal(0, 6, 9))[:, None] * side
        cv2.polylines(canvas, [np.round(points).astype(np.int32)], False, 1, int(rng.integers(1, 3)))
    return canvas > 0


def _town(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where houses stand (bool), and how bright their roofs are (factor about 1)."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = rng.uniform(0.15, 0.85, 2) * shape
    away = np.hypot(y - centre[0], x - centre[1]) + 10 * fractal(shape, rng, 1.5)
    inside = away < rng.uniform(0.08, 0.2) * min(shape)
    block = rng.integers(2, 5)
    cells = rng.uniform(0.6, 1.3, (height // block + 2, width // block + 2)).astype(np.float32)
    roofs = np.kron(cells, np.ones((block, block), np.float32))[:height, :width]
    return inside, roofs


def draw_tile(height: int, width: int, rng: np.random.Generator, region: int = 0) -> Tile:
    """Draw one clear tile.

    Args:
        height: of the tile in pixels of 10 m, at least 32.
        width: see above.
        rng: the source of randomness.
        region: tiles of one region share its colours, as the patches of one satellite scene do.

    Raises:
        ValueError: a side is below 32.
    """
    if min(height, width) < 32:
        raise ValueError(f'a tile is at least 32x32, got {height}x{width}')
    shape = (height, width)
    style = np.random.default_rng([region, 2])
    tint = style.normal(1, 0.06, (len(SURFACES), 13)).astype(np.float32) * style.uniform(0.85, 1.15)
    shares = style.dirichlet([2.5, 1.5, 2.0, 1.5])

    parcel, border = _fields(shape, rng)
    count = int(parcel.max()) + 1
    crops = rng.choice(4, count, p=shares)
    labels = crops[parcel].astype(np.uint8)
    level = rng.normal(1, 0.12, count).astype(np.float32)[parcel]
    echo = rng.normal(0, 1.2, (count, 2)).astype(np.float32)[parcel]
    rows = np.sin(rng.uniform(0.8, 1.6) * (np.arange(width) + rng.uniform(-1, 1) * np.arange(height)[:, None]))
    level = level * (1 + 0.02 * rows.astype(np.float32))

    def place(name: str, where: np.ndarray, brightness: np.ndarray | float = 1.0) -> None:
        labels[where] = SURFACES.index(name)
        level[where] = np.broadcast_to(brightness, shape)[where]
        echo[where] = 0

    place('meadow', border < 1.2)
    place('wood', fractal(shape, rng, 1.7) > style.uniform(0.4, 1.2), 1 + 0.1 * fractal(shape, rng, 0.6))
    if rng.random() < 0.6:
        place('water', _river(shape, rng))
    if rng.random() < 0.35:
        place('water', fractal(shape, rng, 2.2) > rng.uniform(1.3, 1.9))
    place('road', _roads(shape, rng))
    inside, roofs = _town(shape, rng)
    if rng.random() < 0.75:
        place('town', inside, roofs)

    # Land rises and falls a little: slopes toward the sun are brighter.
    relief = 1 + 0.03 * fractal(shape, rng, 1.6) + 0.03 * fractal(shape, rng, 0.7)
    optical = _SPECTRA[labels] * tint[labels] * (level * np.clip(relief, 0.7, 1.3))[..., None]
    # Haze of the clear day, blue above all.
    optical[..., :4] += np.float32(0.008) * smoothstep(-1, 2, fractal(shape, rng, 2))[..., None]
    radar = _RADAR[labels] + echo
    bright = labels == SURFACES.index('town')
    # Walls and ground form corners that throw the beam straight back.
    radar[bright] += rng.gamma(1.2, 2.5, (int(bright.sum()), 1)).astype(np.float32)
    speckle = rng.gamma(_LOOKS, 1 / _LOOKS, (*shape, 2))
    radar = radar + 10 * np.log10(np.maximum(speckle, 1e-3))
    return Tile(np.clip(optical, 1e-3, 1.2).astype(np.float32), radar.astype(np.float32), labels)


def as_sensed(optical: np.ndarray, rng: np.random.Generator, noise: float = 0.0008) -> np.ndarray:
    """Digital numbers as the satellite delivers them on the 10 m grid.

    Bands of 20 and 60 m are means over their pixels, repeated; each band has its own noise and is rounded to whole
    numbers.

    Args:
        optical: reflectance (H, W, 13).
        rng: the source of randomness.
        noise: standard deviation of the reflectance.

    Returns:
        uint16 (H, W, 13), reflectance times 10 000.
    """
    height, width = optical.shape[:2]
    out = np.empty(optical.shape, np.float32)
    for band, coarse in enumerate(_COARSENESS):
        size = (-(-width // coarse), -(-height // coarse))
        small = np.ascontiguousarray(optical[..., band])
        if coarse > 1:
            small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        small = small + rng.normal(0, noise, small.shape).astype(np.float32)
        if coarse > 1:
            small = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
        out[..., band] = small
    return np.round(np.clip(out, 0, 6.5535) * 10000).astype(np.uint16)
