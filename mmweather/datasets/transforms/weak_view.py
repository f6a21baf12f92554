"""A slightly moved view of a picture, as semi-supervised methods show it to a network."""

from __future__ import annotations

import numpy as np
from PIL import Image

_LEAST = 16


class WeakView:
    """Shift, perspective, small rotation, zoom, centre crop and flip, drawn from torch's global generator.

    The steps and their order are those of SSDIE-Net, done by torchvision: shift of up to a tenth of each side,
    perspective of strength 0.2 with probability one half, rotation of up to 5 degrees (both filled with black),
    resize to ``int(size * zoom)`` squared without the aspect ratio, centre crop to ``size``, horizontal flip with
    probability one half.

    Args:
        size: side of the view in pixels.
        zoom: how much larger the picture is before the crop, which hides most of the black border.
    """

    def __init__(self, size: int = 256, zoom: float = 1.4) -> None:
        from torchvision import transforms
        self.steps = transforms.Compose([
            transforms.RandomAffine(0, translate=(0.1, 0.1)),
            transforms.RandomPerspective(0.2, 0.5),
            transforms.RandomRotation(5),
            transforms.Resize((int(size * zoom), int(size * zoom))),
            transforms.CenterCrop(size),
            transforms.RandomHorizontalFlip(),
        ])

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) of any size to uint8 (size, size, 3)."""
        image = Image.fromarray(picture)
        if min(image.size) < _LEAST:
            # Whole pixels make the corners of a perspective coincide in a tiny picture.
            image = image.resize((max(_LEAST, image.width), max(_LEAST, image.height)))
        return np.array(self.steps(image))
