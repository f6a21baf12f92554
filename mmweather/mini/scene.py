"""The mini world's street: one drawn scene with everything that the weather models need to know about it.

A pinhole camera stands on a gently curving road.  Ground and house fronts are ray cast, so textures, windows and
markings obey perspective; cars, people, trees and posts are flat sprites at their distance.  Each surface carries
colour, light of its own, a thermal brightness with a texture of its own, a class and a distance.  Shading happens in
linear light, once for day and once for night.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from ..weather.night import halo, point_lights, sensor_noise, to_display
from ..weather.noise import fractal, sample_periodic, smoothstep
from .facades import Facade
from .sprites import SPRITES, Sprite, car

LABELS = ('road', 'sidewalk', 'building', 'curb', 'pole', 'vegetation', 'terrain', 'sky', 'person', 'car')
"""Names of the values in :attr:`Scene.labels`."""
BOX_CLASSES = ('person', 'car')
"""Names of the classes in :attr:`Scene.boxes`."""
FAR = 1000.0
"""Depth of the sky, metres."""
_EYE = 1.45
_KERB = 0.14


@dataclass
class Scene:
    """What is known about one picture.

    Attributes:
        visible: float32 (H, W, 3), RGB, [0, 1].
        depth: float32 (H, W), metres along the optical axis; sky is :data:`FAR`.
        thermal: float32 (H, W), [0, 1], warm is bright.
        labels: uint8 (H, W), index into :data:`LABELS`.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels of the visible part.
        box_labels: int64 (N,), index into :data:`BOX_CLASSES`.
        night: whether the sun is down.
    """

    visible: np.ndarray
    depth: np.ndarray
    thermal: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    box_labels: np.ndarray
    night: bool


@dataclass
class _Street:
    """The planes that are painted, at the size that is drawn (twice the size asked for)."""

    height: int
    width: int
    focal: float
    horizon: float
    bend: float
    centre: float
    road: float
    albedo: np.ndarray = field(init=False)
    emission: np.ndarray = field(init=False)
    depth: np.ndarray = field(init=False)
    heat: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)
    objects: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.height, self.width)
        self.albedo = np.zeros((*shape, 3), np.float32)
        self.emission = np.zeros((*shape, 3), np.float32)
        self.depth = np.full(shape, FAR, np.float32)
        self.heat = np.zeros(shape, np.float32)
        self.labels = np.full(shape, LABELS.index('sky'), np.uint8)
        self.objects = np.zeros(shape, np.int32)
        rows, cols = np.mgrid[:self.height, :self.width].astype(np.float32)
        self.right = (cols + 0.5 - self.width / 2) / self.focal
        self.down = (rows + 0.5 - self.horizon) / self.focal

    def road_x(self, z: np.ndarray | float) -> np.ndarray | float:
        """Where the middle of the road is at distance ``z``, metres to the right."""
        return self.centre + self.bend * z * z

    def put(self, where: np.ndarray, z: np.ndarray, albedo: np.ndarray, heat: np.ndarray, label: str,
            emission: np.ndarray | None = None, view: tuple[slice, slice] = (slice(None), slice(None))) -> None:
        """Paint a surface where it is nearer than what is there; the arrays cover ``view`` only."""
        where = where & (z < self.depth[view])
        self.albedo[view][where] = np.broadcast_to(albedo, (*where.shape, 3))[where]
        self.emission[view][where] = 0 if emission is None else emission[where]
        self.depth[view][where] = z[where]
        self.heat[view][where] = np.broadcast_to(heat, where.shape)[where]
        self.labels[view][where] = LABELS.index(label)


def _sky(street: _Street, rng: np.random.Generator, night: bool) -> None:
    up = np.clip(-street.down / 0.5, 0, 1)
    clouds = fractal((256, 256), rng, 1.7)
    cover = sample_periodic(clouds, 256 * street.right * 0.7, 256 * np.sqrt(up + 0.02) * 0.9)
    cover = smoothstep(rng.uniform(-1, 0.6), 1.6, cover)
    blue = np.array([0.5, 0.66, 0.86]) * rng.uniform(0.85, 1.05)
    pale = np.array([0.86, 0.87, 0.87])
    colour = pale + (blue - pale) * (0.25 + 0.75 * up[..., None])
    colour = colour * (1 - 0.75 * cover[..., None]) + 0.75 * cover[..., None] * np.array([0.93, 0.93, 0.94])
    if night:
        glow = np.array([0.2, 0.16, 0.11]) * rng.uniform(0.6, 1.5)
        colour = glow * (1 - 0.6 * up[..., None]) * (0.75 + 0.4 * cover[..., None]) + np.array([0.015, 0.02, 0.04])
    street.albedo[:] = 0
    street.emission[:] = np.clip(colour, 0, 1)**2.2
    street.heat[:] = 0.05 + 0.12 * (1 - up) + 0.12 * cover


def _ground(street: _Street, rng: np.random.Generator) -> None:
    below = street.down > 1e-4
    z = np.where(below, _EYE / np.maximum(street.down, 1e-4), FAR).astype(np.float32)
    z = np.minimum(z, 400)
    x = street.right * z
    side = x - street.road_x(np.minimum(z, 90))
    off = np.abs(side)
    coarse, fine, stains = (fractal((512, 512), rng, slope) for slope in (1.1, 0.5, 1.6))
    fade = 1 / (1 + z / 25)
    grain = 0.05 * sample_periodic(fine, x * 40, z * 40) * fade + 0.06 * sample_periodic(coarse, x * 12, z * 6)
    tracks = 0.05 * np.cos(side * 2 * np.pi / 1.75)
    patch = sample_periodic(stains, x * 9, z * 4)
    asphalt = np.array([0.36, 0.36, 0.37]) * rng.uniform(0.75, 1.25)
    tone = 1 + grain + tracks + 0.12 * patch - 0.25 * smoothstep(1.2, 1.5, patch)
    seam = np.abs(patch - 0.7) < 0.025
    albedo = asphalt * np.where(seam, tone * 0.72, tone)[..., None]
    heat = 0.36 + 0.06 * sample_periodic(stains, x * 5 + 99, z * 3) + 0.05 * np.cos(side * 2 * np.pi / 1.75 + 1)
    label = 'road'
    # Markings, worn by the coarse texture.
    worn = sample_periodic(coarse, x * 30, z * 15) < 1.1
    half = street.road
    dash = rng.uniform(0, 8)
    line = ((np.abs(off) < 0.07) & (np.mod(z + dash, 8) < 3.5)) | (np.abs(off - (half - 0.35)) < 0.06)
    if rng.random() < 0.4:
        start = rng.uniform(9, 22)
        line |= (z > start) & (z < start + 3) & (off < half - 0.5) & (np.mod(side, 1.0) < 0.5)
    paint = np.array([0.84, 0.83, 0.79]) if rng.random() < 0.7 else np.array([0.82, 0.7, 0.3])
    albedo = np.where((line & worn)[..., None], paint * (0.95 + grain[..., None]), albedo)
    street.put(below, z, albedo, heat + 0.05 * line, label)
    # Kerb, pavement with slabs, and what lies beyond.
    walk = half + rng.uniform(2.0, 3.5)
    slab = (np.mod(side, 0.9) < 0.05) | (np.mod(z, 0.9) < 0.06 + z * 0.004)
    stone = np.array([0.56, 0.54, 0.51]) * rng.uniform(0.8, 1.15)
    stone = stone * (1 + grain * 0.8 + 0.08 * patch - 0.14 * slab * fade)[..., None]
    street.put(below & (off > half), z - 1e-3, stone, 0.48 + 0.05 * patch, 'sidewalk')
    street.put(below & (np.abs(off - half) < 0.16), z - 2e-3, np.array([0.68, 0.67, 0.64]) + 0.5 * grain[..., None],
               np.float32(0.62), 'curb')
    grass = np.array([0.27, 0.33, 0.14]) * rng.uniform(0.7, 1.2)
    if rng.random() < 0.35:
        grass = np.array([0.45, 0.4, 0.31]) * rng.uniform(0.8, 1.1)
    tuft = 0.3 * sample_periodic(fine, x * 25, z * 9) * np.sqrt(fade) + 0.18 * patch
    street.put(below & (off > walk), z - 3e-3, grass * np.clip(1 + tuft, 0.2, 2)[..., None], 0.4 + 0.06 * tuft,
               'terrain')


def _distant(street: _Street, rng: np.random.Generator) -> None:
    """Hills and tree tops behind everything."""
    for z, tall, base in ((380.0, 0.11, (0.5, 0.55, 0.6)), (170.0, 0.065, (0.27, 0.32, 0.22))):
        ridge = np.abs(cv2.resize(fractal((1, 64), rng, 1.3), (street.width, 1), interpolation=cv2.INTER_CUBIC)) + 0.35
        ridge = ridge + 0.12 * cv2.resize(fractal((1, 512), rng, 0.5), (street.width, 1))
        where = (-street.down < tall * ridge * 0.6) & (-street.down > -0.02)
        leaves = cv2.resize(fractal((256, 256), rng, 0.8), (street.width, street.height))
        street.put(where, np.full(street.depth.shape, z, np.float32),
                   np.array(base) * np.clip(1 + 0.22 * leaves[..., None], 0.3, 1.7),
                   0.3 + 0.05 * leaves, 'vegetation')


def _put_wall(street: _Street, front: Facade, inside: np.ndarray, at: np.ndarray, along: np.ndarray, up: np.ndarray,
              facing: float) -> None:
    """Paint one wall, computing its texture only in the rectangle that it covers."""
    inside = inside & (at < street.depth)
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return
    view = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    colour, heat, glow = front.paint(along[view], up[view], facing)
    street.put(inside[view], at[view], colour, heat, 'building', glow, view)


def _houses(street: _Street, rng: np.random.Generator, night: bool) -> None:
    lit_side = rng.choice([-1, 1])
    for side in (-1, 1):
        z = rng.uniform(4, 14)
        while z < 110:
            depth, gap = rng.uniform(9, 22), rng.choice([0.0, 0.0, 4.0, 14.0])
            if rng.random() < 0.82:
                front = Facade(rng, night)
                x = street.road_x(z + depth / 2) + side * (street.road + rng.uniform(4, 8))
                facing = 1.0 if side == lit_side else 0.66
                # The wall along the road.
                hit = street.right * side > 1e-3
                at = np.where(hit, x / np.where(hit, street.right, 1), FAR).astype(np.float32)
                up = _EYE - street.down * at
                inside = hit & (at > z) & (at < z + depth) & (up > 0) & (up < front.height)
                _put_wall(street, front, inside, at, at - z, up, facing)
                # The wall that looks at the camera.
                across, up = (street.right * z - x) * side, _EYE - street.down * z
                inside = (across > 0) & (across < 14) & (up > 0) & (up < front.height)
                _put_wall(street, front, inside, np.full_like(at, z), across + 40, up, 0.84)
            z += depth + gap


def _paste(street: _Street, sprite: Sprite, x: float, z: float, lift: float, number: int) -> None:
    """Draw a sprite at ``x`` metres right, ``z`` metres ahead, standing ``lift`` above the road."""
    scale = street.focal / z
    foot = street.horizon + (_EYE - lift) * scale
    w, h = max(1, round(sprite.width * scale)), max(1, round(sprite.height * scale))
    left, top = round(street.width / 2 + x * scale - w / 2), round(foot - h)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + w, street.width), min(top + h, street.height)
    if x1 >= x2 or y1 >= y2 or w > 6 * street.width or h > 6 * street.height:
        return
    mode = cv2.INTER_AREA if h < sprite.alpha.shape[0] else cv2.INTER_LINEAR
    planes = np.dstack(
        [sprite.rgb * sprite.alpha[..., None], sprite.emission, sprite.heat * sprite.alpha, sprite.alpha])
    planes = np.dstack([cv2.resize(planes[..., i:i + 4], (w, h), interpolation=mode) for i in (0, 4)])
    planes = planes[y1 - top:y2 - top, x1 - left:x2 - left]
    view = (slice(y1, y2), slice(x1, x2))
    seen = street.depth[view] > z
    alpha = planes[..., 7] * seen
    cover, over = alpha[..., None], seen[..., None]
    street.albedo[view] = street.albedo[view] * (1 - cover) + planes[..., 0:3] * over
    street.emission[view] = street.emission[view] * (1 - cover) + planes[..., 3:6] * over
    street.heat[view] = street.heat[view] * (1 - alpha) + planes[..., 6] * seen
    solid = alpha > 0.3
    street.depth[view][solid] = z
    street.labels[view][solid] = LABELS.index(sprite.label)
    street.objects[view][solid] = number


def _things(street: _Street, rng: np.random.Generator) -> list[tuple[str, float, float, float]]:
    """Kind, x, z and height of the foot of everything that stands on the street, far ones first."""
    half, things = street.road, []

    def beside(z: float, offset: float) -> float:
        return float(street.road_x(min(z, 90))) + offset

    for _ in range(rng.integers(4, 10)):
        lane = rng.choice([-1, 1])
        z = float(rng.uniform(7, 60))
        things.append(('car', beside(z, lane * (half / 2 if rng.random() < 0.5 else half - 1.2)), z, 0.0))
    for _ in range(rng.integers(3, 9)):
        z = float(rng.uniform(6, 30))
        crossing = rng.random() < 0.25
        offset = rng.uniform(-half, half) if crossing else rng.choice([-1, 1]) * (half + rng.uniform(0.4, 2))
        things.append(('person', beside(z, offset), z, 0.0 if crossing else _KERB))
    for _ in range(rng.integers(4, 12)):
        z = float(rng.uniform(9, 90))
        things.append(('tree', beside(z, rng.choice([-1, 1]) * (half + rng.uniform(2.2, 7))), z, _KERB))
    for _ in range(rng.integers(2, 6)):
        z = float(rng.uniform(6, 45))
        things.append(('hedge', beside(z, rng.choice([-1, 1]) * (half + rng.uniform(3.5, 6))), z, _KERB))
    for _ in range(rng.integers(1, 4)):
        z = float(rng.uniform(7, 28))
        things.append(('sign', beside(z, rng.choice([-1, 1]) * (half + 0.5)), z, _KERB))
    spacing, side = rng.uniform(14, 24), rng.choice([-1, 1])
    for z in np.arange(rng.uniform(7, 14), 90, spacing):
        things.append(('lamp', beside(z, side * (half + 0.6)), float(z), _KERB))
    # No two solid things in one place.
    kept: list[tuple[str, float, float, float]] = []
    for thing in things:
        room = 5.0 if thing[0] == 'car' else 0.6
        alike = [other for other in kept if other[0] == thing[0]]
        if all(abs(thing[1] - other[1]) > 2 or abs(thing[2] - other[2]) > room for other in alike):
            kept.append(thing)
    return sorted(kept, key=lambda thing: -thing[2])


def _shade(street: _Street, rng: np.random.Generator, night: bool, lamps: list) -> np.ndarray:
    """Linear light that reaches the camera."""
    z = street.depth
    albedo = np.clip(street.albedo, 0.01, 0.97)**2.2
    shadows = sample_periodic(fractal((256, 256), rng, 1.3), street.right * z * 7, z * 5)
    ground = np.isin(street.labels, [LABELS.index(name) for name in ('road', 'sidewalk', 'curb', 'terrain')])
    if night:
        ambient = np.array([0.03, 0.032, 0.04]) * rng.uniform(0.5, 1.4)
        place = np.stack([street.right * z, _EYE - street.down * z, z], -1)
        light = albedo * (ambient + point_lights(place, lamps)) + street.emission
        beta = rng.uniform(0.001, 0.004)
        air = np.array([0.02, 0.017, 0.015])
        scatter = np.where(street.labels[..., None] == LABELS.index('sky'), 0, street.emission)
    else:
        sun = rng.uniform(0.35, 1.0)
        dark = 1 - 0.55 * sun * smoothstep(rng.uniform(-0.3, 0.3), 0.8, shadows) * ground
        light = albedo * (rng.uniform(1.2, 1.7) * dark)[..., None] * np.array([1.0, 0.985, 0.95]) + street.emission
        beta = rng.uniform(0.0015, 0.006)
        air = np.array([0.72, 0.75, 0.78])
        scatter = np.zeros_like(light)
    clear = np.exp(-beta * np.minimum(z, 400))[..., None]
    sky = (street.labels == LABELS.index('sky'))[..., None]
    light = np.where(sky, light, light * clear + air * (1 - clear))
    return (light + halo(scatter.astype(np.float32))).astype(np.float32)


def _boxes(objects: np.ndarray, kinds: dict[int, str], smallest: int) -> tuple[np.ndarray, np.ndarray]:
    boxes, labels = [], []
    for number, kind in kinds.items():
        if kind not in BOX_CLASSES:
            continue
        rows, cols = np.nonzero(objects == number)
        if len(rows) < smallest:
            continue
        boxes.append((cols.min(), rows.min(), cols.max() + 1, rows.max() + 1))
        labels.append(BOX_CLASSES.index(kind))
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64)


def draw_scene(height: int, width: int, rng: np.random.Generator, night: bool = False) -> Scene:
    """Draw one street.

    Args:
        height: of the pictures, at least 32.
        width: of the pictures, at least 32.
        rng: the source of randomness; equal generators give equal scenes.
        night: sun down, lamps and windows lit.

    Returns:
        The scene; see :class:`Scene` for shapes and units.

    Raises:
        ValueError: the size is too small.
    """
    if min(height, width) < 32:
        raise ValueError(f'a scene needs at least 32x32 pixels, got {width}x{height}')
    street = _Street(2 * height, 2 * width, focal=2 * width * rng.uniform(0.75, 1.15),
                     horizon=2 * height * rng.uniform(0.4, 0.52), bend=rng.uniform(-0.0016, 0.0016),
                     centre=rng.uniform(-2, 2), road=rng.uniform(3.6, 5.5))
    _sky(street, rng, night)
    _distant(street, rng)
    _ground(street, rng)
    _houses(street, rng, night)
    kinds: dict[int, str] = {}
    lamps = []
    for number, (kind, x, z, lift) in enumerate(_things(street, rng), start=1):
        if kind == 'car':
            rear = bool(x > street.road_x(min(z, 90)))  # traffic keeps to the right
            sprite = car(rng, night, rear)
            contact = (np.abs(street.right * street.depth - x) < sprite.width * 0.56) & (
                np.abs(street.depth - z - 1.0) < 1.6) & (street.labels == 0)
            street.albedo[contact] *= 0.45
            street.heat[contact] += 0.12
            if night:
                # Headlights shine towards the camera on the road before them; tail lights redden it behind.
                lamps.append(((x, 0.5, z - 1.5), (0.9, 0.1, 0.06) if rear else (3.0, 2.8, 2.4)))
        else:
            sprite = SPRITES[kind](rng, night)
        if kind == 'lamp' and night:
            colour = np.array([1.0, 0.7, 0.34]) if sprite.emission[..., 2].max() < 3 else np.array([0.95, 0.98, 1.0])
            lamps.append(((x + 0.9, lift + sprite.height - 0.4, z), colour * rng.uniform(12, 24)))
        kinds[number] = kind
        _paste(street, sprite, x, z, lift, number)
    light = _shade(street, rng, night, lamps)
    size = (width, height)
    small = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
    gain = 1.0 if not night else np.clip(0.2 / (np.quantile(small.mean(-1), 0.8) + 1e-3), 0.8, 3.5)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    vignette = 1 - 0.25 * (((x / width - 0.5)**2 + (y / height - 0.5)**2) / 0.5)
    visible = to_display(small * (gain * vignette)[..., None])
    tint = np.array([1, 1, 1]) + rng.normal(0, 0.02, 3)
    visible = cv2.GaussianBlur(np.clip(visible * tint, 0, 1).astype(np.float32), (0, 0), 0.45)
    visible = sensor_noise(visible, rng, 0.006, 0.007) if night else sensor_noise(visible, rng, 0.003, 0.002)
    heat = cv2.resize(street.heat, size, interpolation=cv2.INTER_AREA)
    heat = cv2.GaussianBlur(heat, (0, 0), 0.9)
    low, high = np.quantile(heat, [0.01, 0.995])
    heat = (heat - low) / max(high - low, 1e-3) * 0.92 + 0.03
    heat += 0.012 * rng.standard_normal(heat.shape) + 0.008 * rng.standard_normal((1, width))
    labels, objects, depth = (plane[::2, ::2].copy() for plane in (street.labels, street.objects, street.depth))
    boxes, box_labels = _boxes(objects, kinds, smallest=max(12, height * width // 4000))
    return Scene(visible, depth, np.clip(heat, 0, 1).astype(np.float32), labels, boxes, box_labels, night)
