"""Letterboxing and the published TogetherNet augmentation, for all images of a sample and its boxes together.

Boxes are (N, 5) arrays of x1, y1, x2, y2 in pixels and a class index.  Images are (H, W, 3) uint8 RGB of one size.
Pillow's bicubic filter is used, which averages when it shrinks; OpenCV's does not and gives other pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

FILL = 128


@dataclass(frozen=True)
class Placement:
    """Where a resized image lies on its canvas.

    Args:
        size: height and width of the resized image.
        offset: row and column of its upper left corner; negative where the image is cut.
        canvas: height and width of the canvas.
        flip: whether the finished canvas is mirrored left to right.
    """

    size: tuple[int, int]
    offset: tuple[int, int]
    canvas: tuple[int, int]
    flip: bool = False

    def image(self, image: np.ndarray, fill: int = FILL) -> np.ndarray:
        """Resize and place one image (H, W, 3) uint8; free places are ``fill``."""
        from PIL import Image
        resized = Image.fromarray(image).resize(self.size[::-1], Image.Resampling.BICUBIC)
        canvas = Image.new('RGB', self.canvas[::-1], (fill, ) * 3)
        canvas.paste(resized, self.offset[::-1])
        array = np.array(canvas)  # writable, unlike what asarray gives
        return np.ascontiguousarray(array[:, ::-1] if self.flip else array)

    def boxes(self, boxes: np.ndarray, image_size: tuple[int, int], truncate: bool = False) -> np.ndarray:
        """Move boxes (N, 5) of an image of ``image_size`` along, cut them at the canvas, drop what is too thin.

        Args:
            boxes: x1, y1, x2, y2, class.
            image_size: height and width of the image before.
            truncate: cut coordinates to integers before mirroring and clipping, as published.

        Returns:
            (K, 5) float64, wider and higher than one pixel each, in their order.
        """
        moved = np.array(boxes, float).reshape(-1, 5)
        height, width = self.canvas
        moved[:, 0:4:2] = moved[:, 0:4:2] * self.size[1] / image_size[1] + self.offset[1]
        moved[:, 1:4:2] = moved[:, 1:4:2] * self.size[0] / image_size[0] + self.offset[0]
        if truncate:
            moved[:, :4] = np.trunc(moved[:, :4])
        if self.flip:
            moved[:, 0:4:2] = width - moved[:, 2::-2]
        moved[:, 0:4:2] = moved[:, 0:4:2].clip(0, width)
        moved[:, 1:4:2] = moved[:, 1:4:2].clip(0, height)
        return moved[(moved[:, 2] - moved[:, 0] > 1) & (moved[:, 3] - moved[:, 1] > 1)]


def letterbox(image_size: tuple[int, int], canvas: tuple[int, int]) -> Placement:
    """As large as fits, proportions kept, centred; sizes and offsets are cut to integers as published."""
    scale = min(canvas[0] / image_size[0], canvas[1] / image_size[1])
    size = max(int(image_size[0] * scale), 1), max(int(image_size[1] * scale), 1)
    return Placement(size, ((canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2), canvas)


@dataclass(frozen=True)
class JitterDraws:
    """The random numbers of one augmentation, in the published order.

    Args:
        aspect: two numbers in [0, 1), for the numerator and the denominator of the change of proportions.
        scale: in [0, 1).
        column: in [0, 1), place along the width.
        row: in [0, 1), place along the height.
        flip: in [0, 1); below one half the image is mirrored.
        colour: three numbers in [-1, 1) for hue, saturation and value.
    """

    aspect: tuple[float, float]
    scale: float
    column: float
    row: float
    flip: float
    colour: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.RandomState | ModuleType = np.random) -> JitterDraws:
        """Take nine numbers from a stream, by default from NumPy's global state."""
        numerator, denominator, scale, column, row, flip = rng.random_sample(6)
        hue, saturation, value = rng.uniform(-1, 1, 3)
        return cls((numerator, denominator), scale, column, row, flip, (hue, saturation, value))

    def placement(self, image_size: tuple[int, int], canvas: tuple[int, int], jitter: float = 0.3,
                  scales: tuple[float, float] = (0.25, 2.0)) -> Placement:
        """Where an image of ``image_size`` (height, width) goes.

        Args:
            image_size: height and width of the image.
            canvas: height and width of the result.
            jitter: proportions change by a factor of ``(1 +- jitter) / (1 +- jitter)``.
            scales: least and greatest length of the longer side relative to the canvas.
        """
        numerator, denominator = (1 - jitter + 2 * jitter * u for u in self.aspect)
        aspect = image_size[1] / image_size[0] * numerator / denominator
        scale = scales[0] + (scales[1] - scales[0]) * self.scale
        if aspect < 1:
            height = int(scale * canvas[0])
            width = int(height * aspect)
        else:
            width = int(scale * canvas[1])
            height = int(width / aspect)
        height, width = max(height, 1), max(width, 1)
        offset = int(self.row * (canvas[0] - height)), int(self.column * (canvas[1] - width))
        return Placement((height, width), offset, canvas, self.flip < 0.5)

    def recolour(self, image: np.ndarray, strength: tuple[float, float, float] = (0.1, 0.7, 0.4)) -> np.ndarray:
        """Scale hue, saturation and value of (H, W, 3) uint8 RGB in OpenCV's 8-bit HSV by tables of 256 entries.

        Args:
            image: the picture.
            strength: greatest relative change of hue, saturation and value.
        """
        import cv2
        gain = 1 + np.array(self.colour) * strength
        levels = np.arange(256)[:, None] * gain
        levels[:, 0] %= 180
        table = levels.clip(0, 255).astype(np.uint8)
        hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), table[None])
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
