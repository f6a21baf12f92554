"""House fronts of the mini world, as functions of metres along and up the wall."""

from __future__ import annotations

import numpy as np

from ..weather.noise import fractal, sample_periodic, smoothstep


class Facade:
    """The outside of one house: wall, rows of windows, ground floor, cornice."""

    def __init__(self, rng: np.random.Generator, night: bool) -> None:
        self.height = rng.uniform(5, 17)
        self.wall = np.array([[0.72, 0.66, 0.56], [0.6, 0.36, 0.28], [0.66, 0.66, 0.66], [0.8, 0.76, 0.66],
                              [0.5, 0.46, 0.42], [0.62, 0.6, 0.5]])[rng.integers(6)] * rng.uniform(0.7, 1.1)
        self.bricks = rng.random() < 0.45
        self.bay, self.storey = rng.uniform(2.0, 3.4), rng.uniform(2.8, 3.5)
        self.open = rng.uniform(0.4, 0.7), rng.uniform(0.42, 0.62)
        self.dirt = fractal((256, 256), rng, 1.2)
        self.warm = fractal((256, 256), rng, 1.4)
        self.glass = rng.uniform(0.35, 1.0, (32, 32)).astype(np.float32)
        self.lit = (rng.random((32, 32)) < (0.3 if night else 0.0)) * rng.uniform(0.15, 0.8, (32, 32))
        self.heat = rng.uniform(0.42, 0.7)
        self.shop = rng.uniform(0.1, 0.6, 3)
        self.night = night

    def paint(self, along: np.ndarray, up: np.ndarray, facing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colour, heat and light at ``along`` and ``up`` metres of the wall."""
        dirt = sample_periodic(self.dirt, along * 14, up * 14)
        colour = self.wall * np.clip(1 + 0.09 * dirt - 0.1 * smoothstep(2, 0, up), 0, 2)[..., None]
        if self.bricks:
            joint = (np.mod(up, 0.3) < 0.06) | (np.mod(along + 0.3 * np.mod(np.floor(up / 0.3), 2), 0.6) < 0.06)
            colour = colour * np.where(joint, 1.12, 0.95)[..., None]
        bay, storey = np.floor(along / self.bay), np.floor(up / self.storey)
        u, v = along / self.bay - bay, up / self.storey - storey
        cell = np.mod(storey, 32).astype(int), np.mod(bay, 32).astype(int)
        low = storey < 1
        wide = np.where(low, 0.82, self.open[0])
        tall = np.where(low, 0.7, self.open[1])
        dx, dy = np.abs(u - 0.5) / (wide / 2), np.abs(v - 0.5) / (tall / 2)
        below_roof = up < self.height - 0.5
        frame = (dx < 1.15) & (dy < 1.15) & below_roof
        pane = (dx < 1) & (dy < 1) & below_roof & (np.abs(u - 0.5) > 0.025)
        sky = np.array([0.5, 0.6, 0.72])
        reflex = self.glass[cell] * (0.35 + 0.5 * v)
        colour = np.where(frame[..., None], np.clip(self.wall * 1.25, 0, 0.95), colour)
        colour = np.where(pane[..., None], reflex[..., None] * sky, colour)
        awning = low & (v > 0.84) & (v < 0.97)
        colour = np.where(awning[..., None], self.shop * (0.75 + 0.25 * (np.mod(along, 0.6) < 0.3))[..., None], colour)
        cornice = np.abs(up - self.height + 0.25) < 0.25
        colour = np.where(cornice[..., None], self.wall * 0.72, colour) * facing
        heat = self.heat * facing + 0.05 * sample_periodic(self.warm, along * 6, up * 6)
        heat = np.where(pane, 0.25 + 0.25 * self.glass[cell], heat + 0.12 * frame)
        glow = (pane * self.lit[cell] * (0.7 + 0.3 * (v > 0.5)))[..., None] * np.array([0.8, 0.56, 0.3])
        if self.night:
            glow = glow + (pane & low & (self.glass[cell] > 0.75))[..., None] * np.array([0.3, 0.26, 0.2])
        return colour, heat, glow
