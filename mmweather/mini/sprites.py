"""Cars, people, trees and posts of the mini world, drawn flat at a known scale and pasted into a scene by distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..weather.noise import fractal, smoothstep

Colour = Sequence[float]


@dataclass
class Sprite:
    """A flat object that faces the camera.

    Attributes:
        rgb: float32 (h, w, 3), display values [0, 1].
        alpha: float32 (h, w), [0, 1].
        heat: float32 (h, w), apparent thermal brightness [0, 1].
        emission: float32 (h, w, 3), linear light given off at night.
        label: name in ``scene.LABELS``.
        width: metres.
        height: metres.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    heat: np.ndarray
    emission: np.ndarray
    label: str
    width: float
    height: float


class Board:
    """A drawing board in metres, origin at the bottom left, that fills all planes of a sprite at once."""

    def __init__(self, width: float, height: float, scale: float) -> None:
        self.width, self.height, self.scale = width, height, scale
        shape = (max(2, round(height * scale)), max(2, round(width * scale)))
        self.rgb = np.zeros((*shape, 3), np.float32)
        self.emission = np.zeros((*shape, 3), np.float32)
        self.alpha = np.zeros(shape, np.float32)
        self.heat = np.zeros(shape, np.float32)

    def fill(self, mask: np.ndarray, rgb: Colour, heat: float, emission: Colour | None = None) -> None:
        """Paint where ``mask`` (bool) is set."""
        self.rgb[mask] = rgb
        self.heat[mask] = heat
        self.alpha[mask] = 1
        self.emission[mask] = 0 if emission is None else emission

    def polygon(self, points: Sequence[Sequence[float]], rgb: Colour, heat: float,
                emission: Colour | None = None) -> None:
        """Paint a polygon given in metres."""
        mask = np.zeros(self.alpha.shape, np.uint8)
        pixels = np.array([(x * self.scale, (self.height - y) * self.scale) for x, y in points])
        cv2.fillPoly(mask, [np.round(pixels).astype(np.int32)], 1)
        self.fill(mask > 0, rgb, heat, emission)

    def box(self, x1: float, y1: float, x2: float, y2: float, rgb: Colour, heat: float,
            emission: Colour | None = None) -> None:
        """Paint an upright rectangle."""
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], rgb, heat, emission)

    def ellipse(self, x: float, y: float, a: float, b: float, rgb: Colour, heat: float,
                emission: Colour | None = None) -> None:
        """Paint an ellipse with half axes ``a``, ``b``."""
        turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        self.polygon(np.stack([x + a * np.cos(turn), y + b * np.sin(turn)], 1), rgb, heat, emission)

    def finish(self, label: str, rng: np.random.Generator, texture: float = 0.05) -> Sprite:
        """Shade from top to bottom, add surface and thermal texture, and hand the sprite out."""
        rows = np.linspace(1.08, 0.82, self.alpha.shape[0], dtype=np.float32)[:, None, None]
        surface = 1 + texture * fractal(self.alpha.shape, rng, 1.0)[..., None]
        warmth = self.heat * (1 + 0.08 * fractal(self.alpha.shape, rng, 1.2))
        return Sprite(np.clip(self.rgb * rows * surface, 0, 1), self.alpha, np.clip(warmth, 0, 1).astype(np.float32),
                      self.emission, label, self.width, self.height)


_PAINT = ((0.85, 0.86, 0.86), (0.62, 0.64, 0.66), (0.12, 0.13, 0.15), (0.45, 0.08, 0.08), (0.13, 0.2, 0.42),
          (0.3, 0.32, 0.3), (0.55, 0.5, 0.4), (0.07, 0.22, 0.18))


def car(rng: np.random.Generator, night: bool, rear: bool = True) -> Sprite:
    """A car from behind or from the front; warm tyres, exhaust or bonnet, cold windows."""
    w, h = rng.uniform(1.7, 1.95), rng.uniform(1.4, 1.85)
    board = Board(w, h, 70)
    paint = np.array(_PAINT[rng.integers(len(_PAINT))]) * rng.uniform(0.85, 1.15)
    dark = paint * 0.55
    body, engine = rng.uniform(0.3, 0.5), rng.uniform(0.65, 0.95)
    for x in (0.08 * w, 0.78 * w):
        board.box(x, 0, x + 0.14 * w, 0.3 * h, (0.05, 0.05, 0.05), 0.8)
    belt, roof = 0.55 * h, h - 0.02
    board.polygon([(0.02 * w, 0.16 * h), (0.98 * w, 0.16 * h), (w, 0.42 * h), (0.95 * w, belt + 0.03),
                   (0.05 * w, belt + 0.03), (0, 0.42 * h)], paint, body)
    board.polygon([(0.06 * w, belt), (0.94 * w, belt), (0.82 * w, roof), (0.18 * w, roof)], paint * 0.95, body * 0.9)
    glass = np.array([0.16, 0.2, 0.24]) * rng.uniform(0.8, 1.6)
    board.polygon([(0.12 * w, belt + 0.02), (0.88 * w, belt + 0.02), (0.79 * w, roof - 0.1), (0.21 * w, roof - 0.1)],
                  glass, 0.18)
    board.polygon([(0.3 * w, belt + 0.05), (0.5 * w, belt + 0.05), (0.42 * w, roof - 0.13), (0.26 * w, roof - 0.13)],
                  glass * 1.5, 0.2)
    board.box(0.03 * w, 0.14 * h, 0.97 * w, 0.27 * h, dark, 0.45)
    lamp_on = (3.0, 0.12, 0.08) if rear else (6.0, 5.6, 4.8)
    colour = (0.6, 0.06, 0.05) if rear else (0.9, 0.9, 0.85)
    for x in (0.04 * w, 0.8 * w):
        board.box(x, 0.38 * h, x + 0.16 * w, 0.49 * h, colour, 0.6, lamp_on if night else None)
    if rear:
        board.box(0.36 * w, 0.29 * h, 0.64 * w, 0.38 * h, (0.85, 0.85, 0.78), 0.4, (0.15, ) * 3 if night else None)
        board.box(0.68 * w, 0.1 * h, 0.78 * w, 0.16 * h, (0.2, 0.2, 0.2), 1.0)
    else:
        board.box(0.25 * w, 0.3 * h, 0.75 * w, 0.46 * h, dark * 0.5, engine)
        board.polygon([(0.08 * w, 0.5 * h), (0.92 * w, 0.5 * h), (0.88 * w, belt), (0.12 * w, belt)], paint * 1.1,
                      engine * 0.85)
    return board.finish('car', rng, 0.04)


def person(rng: np.random.Generator, night: bool) -> Sprite:
    """Someone standing or walking, with or without an umbrella; bright in the infrared."""
    del night
    h = rng.uniform(1.55, 1.9)
    umbrella = rng.random() < 0.3
    board = Board(1.1 if umbrella else 0.75, h + (0.3 if umbrella else 0.02), 110)
    mid = board.width / 2
    coat = rng.uniform(0.05, 0.75, 3) * rng.uniform(0.5, 1)
    coat = 0.6 * coat + 0.4 * coat.mean()
    trousers = rng.uniform(0.05, 0.35, 3)
    skin = np.array([0.78, 0.58, 0.46]) * rng.uniform(0.55, 1.1)
    warm = rng.uniform(0.78, 0.95)
    stride = rng.uniform(0.02, 0.2)
    for side in (-1, 1):
        foot = mid + side * stride
        board.polygon([(mid + side * 0.02 - 0.08, 0.5 * h), (mid + side * 0.02 + 0.08, 0.5 * h), (foot + 0.06, 0.02),
                       (foot - 0.06, 0.02)], trousers, warm * 0.88)
        board.box(foot - 0.07, 0, foot + 0.09, 0.06, (0.08, 0.07, 0.07), 0.5)
        board.polygon([(mid + side * 0.17, 0.8 * h), (mid + side * 0.24, 0.78 * h),
                       (mid + side * (0.22 + stride / 2), 0.46 * h), (mid + side * (0.16 + stride / 2), 0.46 * h)],
                      coat * 0.8, warm * 0.85)
    board.polygon([(mid - 0.2, 0.82 * h), (mid + 0.2, 0.82 * h), (mid + 0.17, 0.44 * h), (mid - 0.17, 0.44 * h)],
                  coat, warm * 0.9)
    board.ellipse(mid, 0.92 * h, 0.09, 0.115, skin, min(1.0, warm * 1.1))
    board.ellipse(mid, 0.955 * h, 0.095, 0.075, np.array([0.12, 0.09, 0.06]) * rng.uniform(0.5, 3), warm * 0.95)
    if umbrella:
        cloth = rng.uniform(0.05, 0.7, 3)
        turn = np.linspace(0, np.pi, 16)
        top = board.height - 0.02
        board.polygon(np.stack([mid + 0.52 * np.cos(turn), top - 0.3 + 0.28 * np.sin(turn)], 1), cloth, 0.25)
        board.box(mid - 0.01, 0.6 * h, mid + 0.01, top - 0.3, (0.2, 0.2, 0.2), 0.3)
    return board.finish('person', rng, 0.12)


def tree(rng: np.random.Generator, night: bool) -> Sprite:
    """A leafy tree: trunk, branches, and a crown of overlapping clumps lit from above."""
    del night
    h = rng.uniform(5, 11)
    w = h * rng.uniform(0.6, 0.95)
    board = Board(w, h, 26)
    mid, bark = w / 2, np.array([0.24, 0.19, 0.15]) * rng.uniform(0.7, 1.4)
    foot = 0.022 * h
    fork = rng.uniform(0.25, 0.4) * h
    board.polygon([(mid - foot, 0), (mid + foot, 0), (mid + 0.5 * foot, fork * 1.6), (mid - 0.5 * foot, fork * 1.6)],
                  bark, 0.42)
    for lean in rng.uniform(-0.35, 0.35, 4):
        tip = mid + lean * w
        board.polygon([(mid - 0.4 * foot, fork), (mid + 0.4 * foot, fork), (tip + 0.05, 0.75 * h),
                       (tip - 0.05, 0.75 * h)], bark, 0.4)
    rows, cols = board.alpha.shape
    y, x = np.mgrid[:rows, :cols].astype(np.float32) / board.scale
    y = h - y
    crown = np.zeros((rows, cols), np.float32)
    light = np.zeros((rows, cols), np.float32)
    for _ in range(16):
        cx, cy = mid + rng.normal(0, 0.17) * w, rng.uniform(fork + 0.12 * h, 0.88 * h)
        radius = rng.uniform(0.1, 0.19) * h
        bump = 1 - ((x - cx)**2 + ((y - cy) / 0.85)**2) / radius**2
        nearer = bump > crown
        light = np.where(nearer, 0.5 + 0.5 * (y - cy + 0.3 * (cx - x)) / radius, light)
        crown = np.maximum(crown, bump)
    leaves = fractal((rows, cols), rng, 0.75)
    cover = smoothstep(0.1, 0.35, crown + 0.28 * leaves)
    tone = np.array([[0.2, 0.3, 0.1], [0.3, 0.34, 0.13], [0.16, 0.25, 0.13], [0.42, 0.33, 0.14]])[rng.integers(4)]
    tone = tone * rng.uniform(0.7, 1.2)
    shade = np.clip(0.62 + 0.45 * light + 0.22 * fractal((rows, cols), rng, 0.6), 0.12, 1.6)[..., None]
    alpha = cover[..., None]
    board.rgb = board.rgb * (1 - alpha) + np.clip(tone * shade, 0, 1).astype(np.float32) * alpha
    warmth = 0.4 + 0.1 * fractal((rows, cols), rng, 0.9) + 0.08 * light
    board.heat = board.heat * (1 - cover) + np.clip(warmth, 0, 1) * cover
    board.alpha = np.maximum(board.alpha, cover)
    return board.finish('vegetation', rng, 0.03)


def lamp_post(rng: np.random.Generator, night: bool) -> Sprite:
    """A street lamp with one arm towards the right; its head glows at night and is warm."""
    h, arm = rng.uniform(5.5, 7.5), rng.uniform(0.9, 1.5)
    board = Board(2 * arm + 0.3, h, 40)
    mid = board.width / 2
    steel = np.array([0.34, 0.35, 0.36]) * rng.uniform(0.6, 1.3)
    board.polygon([(mid - 0.09, 0), (mid + 0.09, 0), (mid + 0.06, h - 0.25), (mid - 0.06, h - 0.25)], steel, 0.3)
    board.box(mid - 0.05, h - 0.3, mid + arm, h - 0.2, steel, 0.3)
    glow = np.array([6.0, 4.0, 1.7]) if rng.random() < 0.6 else np.array([5.0, 5.2, 5.6])
    board.ellipse(mid + arm - 0.25, h - 0.24, 0.42, 0.14, (0.85, 0.85, 0.8), 1.0 if night else 0.5,
                  glow if night else None)
    return board.finish('pole', rng, 0.04)


def sign(rng: np.random.Generator, night: bool) -> Sprite:
    """A traffic sign on a post."""
    del night
    h = rng.uniform(2.2, 2.8)
    board = Board(0.8, h, 90)
    board.box(0.37, 0, 0.43, h - 0.2, (0.5, 0.5, 0.5), 0.3)
    kind = rng.integers(3)
    if kind == 0:
        board.ellipse(0.4, h - 0.36, 0.34, 0.34, (0.72, 0.08, 0.08), 0.3)
        board.ellipse(0.4, h - 0.36, 0.25, 0.25, (0.92, 0.92, 0.9), 0.35)
    elif kind == 1:
        board.polygon([(0.04, h - 0.36), (0.4, h - 0.72), (0.76, h - 0.36), (0.4, h)], (0.9, 0.7, 0.1), 0.3)
        board.box(0.34, h - 0.5, 0.46, h - 0.2, (0.1, 0.1, 0.1), 0.35)
    else:
        board.box(0.08, h - 0.7, 0.72, h - 0.02, (0.1, 0.25, 0.6), 0.3)
        board.box(0.2, h - 0.55, 0.6, h - 0.4, (0.92, 0.92, 0.92), 0.35)
    return board.finish('pole', rng, 0.03)


def hedge(rng: np.random.Generator, night: bool) -> Sprite:
    """A clipped hedge or a row of bushes."""
    del night
    w, h = rng.uniform(2.5, 6), rng.uniform(0.7, 1.5)
    board = Board(w, h, 50)
    rows, cols = board.alpha.shape
    leaves = fractal((rows, cols), rng, 0.7)
    top = h * (0.82 + 0.1 * cv2.resize(fractal((1, 16), rng, 1), (cols, 1), interpolation=cv2.INTER_CUBIC))
    y = h - np.arange(rows, dtype=np.float32)[:, None] / board.scale
    board.alpha = smoothstep(-0.1, 0.06, top - y + 0.07 * leaves).astype(np.float32)
    tone = np.array([0.17, 0.26, 0.1]) * rng.uniform(0.7, 1.4)
    shade = np.clip(0.5 + 0.6 * y / h + 0.25 * leaves, 0.1, 1.6)[..., None]
    board.rgb = np.clip(tone * shade, 0, 1).astype(np.float32)
    board.heat = np.clip(0.38 + 0.1 * fractal((rows, cols), rng, 0.9), 0, 1)
    return board.finish('vegetation', rng, 0.03)


SPRITES: dict[str, Callable[[np.random.Generator, bool], Sprite]] = {
    'person': person, 'tree': tree, 'lamp': lamp_post, 'sign': sign, 'hedge': hedge,
}
