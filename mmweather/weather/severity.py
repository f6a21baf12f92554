"""What the severities 1 to 5 of each weather mean, in physical units: the one home of these numbers.

:data:`SEVERITIES` is what :mod:`~mmweather.weather.apply`, the command ``mmweather synth``, the transforms and
``mmweather robustness`` read; docs/weather.md shows it as a table with sources.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .fog import beta_of_visibility


@dataclass(frozen=True)
class FogLevel:
    """Density of fog.

    Attributes:
        visibility: meteorological optical range in metres, where 5 % of the contrast is left.
    """

    visibility: float

    @property
    def extinction(self) -> float:
        """Extinction coefficient per metre (Koschmieder)."""
        return beta_of_visibility(self.visibility)


@dataclass(frozen=True)
class RainLevel:
    """Strength of rain.

    Attributes:
        rate: mm of water in an hour.
    """

    rate: float

    @property
    def extinction(self) -> float:
        """Extinction coefficient per metre of the drops too far to be seen one by one.

        1.076 R^0.67 dB per km, the attenuation of optical links by rain (Recommendation ITU-R P.1814).
        """
        return 1.076 * self.rate**0.67 / 4343

    @property
    def slope(self) -> float:
        """Slope of the drop-size distribution of Marshall and Palmer (1948) per mm: ``8000 exp(-slope D)``."""
        return 4.1 * self.rate**-0.21


@dataclass(frozen=True)
class NightLevel:
    """Light at night and what a camera makes of it.

    Attributes:
        illuminance: mean on the scene, in lux.
    """

    illuminance: float

    @property
    def electrons(self) -> float:
        """Mean photoelectrons that a white surface gives in a pixel of a small camera.

        4090 photons per square micrometre, second and lux (at 555 nm) on 9 square micrometres, with a quantum yield of
        0.5, 1/60 s and a lens of f/2 that passes 0.9: ``0.9 / (4 * 2^2)`` of the scene's light.
        """
        return 4090 * 9 * 0.5 / 60 * 0.9 / 16 * self.illuminance


@dataclass(frozen=True)
class DustLevel:
    """A dust storm.

    Attributes:
        visibility: meteorological optical range in metres.
        optical_depth: of the dust overhead, through which the sun shines; it colours the light.
    """

    visibility: float
    optical_depth: float

    @property
    def extinction(self) -> float:
        """Extinction coefficient per metre (Koschmieder)."""
        return beta_of_visibility(self.visibility)


@dataclass(frozen=True)
class CloudLevel:
    """A layer of cloud between satellite and ground.

    Attributes:
        cover: share of the picture that it covers.
        optical_depth: mean over the covered part (cloud optical thickness), in the visible.
    """

    cover: float
    optical_depth: float


Level = FogLevel | RainLevel | NightLevel | DustLevel | CloudLevel

SEVERITIES: dict[str, tuple[Level, ...]] = {
    'fog': tuple(FogLevel(metres) for metres in (600, 300, 150, 75, 37.5)),
    'rain': tuple(RainLevel(rate) for rate in (2.5, 10, 25, 50, 100)),
    'night': tuple(NightLevel(lux) for lux in (40, 20, 10, 5, 2)),
    'dust': (DustLevel(1000, 0.3), DustLevel(500, 0.6), DustLevel(250, 1.0), DustLevel(120, 1.6), DustLevel(60, 2.5)),
    'cloud': (CloudLevel(0.3, 1), CloudLevel(0.4, 2), CloudLevel(0.55, 4), CloudLevel(0.7, 8), CloudLevel(0.85, 16)),
}
"""Weather -> its five levels, severity 1 first."""
WEATHERS = tuple(SEVERITIES)


def level_of(weather: str, severity: int) -> Any:
    """The physical parameters of a severity.

    Args:
        weather: one of :data:`WEATHERS`.
        severity: 1 to 5.

    Raises:
        ValueError: another weather or severity.
    """
    if weather not in SEVERITIES:
        raise ValueError(f'weather must be one of {", ".join(WEATHERS)}, got {weather!r}')
    if isinstance(severity, bool) or severity not in range(1, 6):
        raise ValueError(f'severity must be a whole number from 1 to 5, got {severity!r}')
    return SEVERITIES[weather][int(severity) - 1]


def describe(weather: str, severity: int) -> dict[str, float]:
    """Parameters of a severity by name, derived ones included, as they are recorded beside pictures."""
    level = level_of(weather, severity)
    derived = {name: round(getattr(level, name), 6) for name, value in vars(type(level)).items()
               if isinstance(value, property)}
    return {**asdict(level), **derived}
