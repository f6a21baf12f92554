"""Fog by the atmospheric scattering model, with measured depth or without.

Light from a surface reaches the camera weakened by ``t = exp(-beta * d)``, and the air adds light of its own in place
of what it took: ``I = J * t + A * (1 - t)`` (Koschmieder; Narasimhan and Nayar, IJCV 2002).  ``beta`` is the extinction
coefficient per unit of depth, ``A`` the airlight.  As in the published sets, the equation is applied to display values,
not to linear light.

With depth in metres, ``beta`` is per metre and follows from the visibility (:func:`beta_of_visibility`).  Without
depth, :func:`centre_depth` invents one: the middle of the picture is far, its corners are near.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .dust import DustAir, Uniform, add_dust

Range = tuple[float, float]
CONTRAST_LIMIT = 0.05
"""Share of contrast that is left at the distance called visibility (meteorological optical range)."""
CENTRE_BETA: Range = (0.07, 0.12)
"""Range of ``beta`` for :func:`centre_depth`, about that of VOC-FOG; its airlight is 0.5."""
CENTRE_AIRLIGHT: Range = (0.5, 0.5)
METRES_BETA: Range = (0.015, 0.05)
"""Range of ``beta`` for depth in metres: visibility of 60 to 200 m."""
METRES_AIRLIGHT: Range = (0.6, 0.9)


def beta_of_visibility(metres: float) -> float:
    """Extinction per metre of fog in which one sees so far: 100 m is 0.03."""
    if not metres > 0:
        raise ValueError(f'visibility must be positive, got {metres}')
    return -math.log(CONTRAST_LIMIT) / metres


@dataclass(frozen=True)
class Fog:
    """Density and brightness of fog.

    Args:
        beta: extinction per unit of depth.
        airlight: grey in [0, 1].
    """

    beta: float
    airlight: float

    @classmethod
    def draw(cls, rng: Uniform, beta: Range = CENTRE_BETA, airlight: Range = CENTRE_AIRLIGHT) -> Fog:
        """Draw both uniformly, ``beta`` first.

        Args:
            rng: a ``random.Random`` or a NumPy generator.
            beta: least and greatest extinction.
            airlight: least and greatest airlight.
        """
        return cls(float(rng.uniform(*beta)), float(rng.uniform(*airlight)))


def centre_depth(height: int, width: int) -> np.ndarray:
    """The depth that IA-YOLO and VOC-FOG take where none is known: ``sqrt(max(H, W)) - 0.04 * rho``.

    ``rho`` is the distance in pixels from (H // 2, W // 2).  The result has no unit; it grows with the number of
    pixels, so a ``beta`` of the published range suits pictures of about 500 pixels.  In pictures of more than about
    2,000 pixels the formula turns negative towards the corners and would raise their contrast: it is cut at zero.

    Returns:
        float64 (height, width).
    """
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows - height // 2, columns - width // 2)
    return np.maximum(math.sqrt(max(height, width)) - 0.04 * distance, 0)


def add_fog(image: np.ndarray, fog: Fog, depth: np.ndarray | None = None, truncate: bool = False) -> np.ndarray:
    """Put fog between the camera and a scene.

    Args:
        image: (H, W, 3), RGB or BGR, uint8 or floating in [0, 1].
        fog: density and brightness.
        depth: (H, W), not negative; None takes :func:`centre_depth`.
        truncate: cut fractions of grey levels off, as the published generator does, in place of rounding.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: depth and image differ in size.
    """
    if depth is None:
        depth = centre_depth(*image.shape[:2])
    # Grey dust with nothing before the nearest point.
    return add_dust(image, depth, DustAir(fog.beta, (fog.airlight, ) * 3), nearest=0.0, truncate=truncate)
