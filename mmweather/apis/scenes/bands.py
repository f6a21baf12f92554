"""Which bands of a raster a model gets, and whether they stand in its order."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import ConfigError, DataError
from ...utils.text import plural

SENTINEL_2 = ('B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B10', 'B11', 'B12')
"""The bands of Sentinel-2 Level-1C in the order in which models take them."""

_BAND = re.compile(r'(?:sentinel-?2\W*)?b(?:and)?[ _]?0*(\d{1,2}a?)(?![\da-z])', re.IGNORECASE)
_POLARISATION = re.compile(r'(?<![a-z])(vv|vh|hh|hv)(?![a-z])', re.IGNORECASE)


def band_name(description: str | None) -> str | None:
    """``'B08'``, ``'Band 8'`` and ``'b8, nir, 842 nm'`` as ``'B8'``; None for what names no Sentinel-2 band."""
    match = _BAND.match((description or '').strip())
    name = f'B{match[1].upper()}' if match else None
    return name if name in SENTINEL_2 else None


def choose_bands(where: str, bands: str | Sequence[int | str] | None, descriptions: Sequence[str | None],
                 colours: Sequence[str], wanted: int) -> list[int]:
    """The bands that a model gets, numbered from one, in its order.

    Args:
        where: the file, for messages.
        bands: numbers or names such as ``'4,3,2'`` or ``'B4,B3,B2'``; None takes all.
        descriptions: of the file's bands without alpha.
        colours: colour of each, such as ``'red'``.
        wanted: how many the model takes.

    Raises:
        ConfigError: ``bands`` is malformed or of another number.
        DataError: the file has no such bands, another number of bands, or has them in another order.
    """
    if bands is not None:
        items = [item.strip() for item in bands.split(',')] if isinstance(bands, str) else list(bands)
        chosen = [_find(where, item, descriptions) for item in items]
        if len(chosen) != wanted or len(set(chosen)) != wanted:
            raise ConfigError(f"bands={','.join(map(str, items))}: {len(set(chosen))} different bands given, the model "
                              f'takes {wanted}')
        return chosen
    if len(descriptions) != wanted:
        remedy = f'choose {wanted} with --bands, such as --bands 4,3,2' if len(descriptions) > wanted == 3 else \
            'give a model for these bands, or choose with --bands' if len(descriptions) > wanted else \
            'stack all bands into one file' + (' (Level-1C; Level-2A lacks B10)' if wanted == 13 else '')
        raise DataError(f"'{where}' has {plural(len(descriptions), 'band')}, the model takes {wanted}; {remedy}")
    if wanted == len(SENTINEL_2):
        names = [band_name(text) for text in descriptions]
        if any(name not in (None, right) for name, right in zip(names, SENTINEL_2, strict=True)):
            # Named completely, the remedy can be written down.
            order = ','.join(str(names.index(name) + 1) for name in SENTINEL_2) if set(names) == set(SENTINEL_2) else ''
            raise DataError(f"'{where}' has the bands {', '.join(name or '?' for name in names)}, the model takes "
                            f"{', '.join(SENTINEL_2)}; give their numbers in that order"
                            f"{f': --bands {order}' if order else ' with --bands'}")
    if wanted == 3 and set(colours) == {'red', 'green', 'blue'} and tuple(colours) != ('red', 'green', 'blue'):
        order = ','.join(str(list(colours).index(colour) + 1) for colour in ('red', 'green', 'blue'))
        raise DataError(f"'{where}' has the bands {', '.join(colours)}, the model takes red, green, blue; give "
                        f'--bands {order}')
    return list(range(1, wanted + 1))


def _find(where: str, item: int | str, descriptions: Sequence[str | None]) -> int:
    if isinstance(item, int) or item.isdecimal():
        if not 1 <= int(item) <= len(descriptions):
            raise DataError(f"'{where}' has no band {item}; it has {len(descriptions)}, counted from 1")
        return int(item)
    same = [i for i, text in enumerate(descriptions, 1)
            if (text or '').lower() == item.lower() or (band_name(text) and band_name(text) == band_name(item))]
    if len(same) != 1:
        named = ', '.join(text or '?' for text in descriptions)
        raise DataError(f"'{where}' has {len(same) or 'no'} bands called '{item}' ({named}); give numbers, from 1")
    return same[0]


def check_polarisations(where: str, descriptions: Sequence[str | None]) -> None:
    """Refuse radar whose two bands are not VV, VH.

    Raises:
        DataError: there are not two bands, or they are named otherwise.
    """
    if len(descriptions) != 2:
        raise DataError(f"radar '{where}' has {plural(len(descriptions), 'band')}; two are needed, VV then VH in dB")
    found = [match[1].upper() if (match := _POLARISATION.search(text or '')) else None for text in descriptions]
    if any(name not in (None, right) for name, right in zip(found, ('VV', 'VH'), strict=True)):
        raise DataError(f"radar '{where}' has the bands {', '.join(name or '?' for name in found)}; write them as VV, "
                        'VH (gdal_translate -b 2 -b 1)')
