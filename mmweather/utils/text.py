"""Words of messages: numbers with nouns, lists cut short, near misses, and text that is safe to print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SHOWN = 5
"""Number of names that a message lists."""


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    Args:
        count: the number.
        one: the noun in the singular, words that follow it included.
        many: the noun in the plural; by default ``one`` with ``s``, ``es`` or ``ies``.

    Returns:
        Such as ``1 image``, ``2 images``, ``0 boxes``.
    """
    if count == 1:
        return f'{count} {one}'
    if many is None:
        many = f'{one[:-1]}ies' if one.endswith('y') and one[-2:-1] not in 'aeiou' else (
            f'{one}es' if one.endswith(('s', 'x', 'ch', 'sh')) else f'{one}s')
    return f'{count} {many}'


def shorten(names: Iterable[object], limit: int = SHOWN) -> str:
    """Return the first names and the number of the others, such as ``a, b and 3 more``.

    Args:
        names: in the order to show; a set is sorted.
        limit: maximum number of names shown.
    """
    shown = list(map(str, names))
    if isinstance(names, (set, frozenset)):
        shown.sort()
    more = f' and {len(shown) - limit} more' if len(shown) > limit else ''
    return ', '.join(shown[:limit]) + more


def cut(value: object, length: int = 60) -> str:
    """Return a value as text, cut to ``length`` characters and an ellipsis."""
    text = str(value)
    return text if len(text) <= length else f'{text[:length]}...'


def closest(name: str, candidates: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return the candidates most like a name, best first.

    Args:
        name: what was given.
        candidates: the known names; letter case does not count.
        count: maximum number of results.
        cutoff: minimum similarity, 0 to 1.
    """
    import difflib

    by_lower = {candidate.lower(): candidate for candidate in candidates}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), list(by_lower), count, cutoff)]


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the candidate most like a name, None where none is alike; see :func:`closest`."""
    return next(iter(closest(name, candidates, 1, cutoff)), None)


def did_you_mean(name: str, candidates: Iterable[str], otherwise: str = '', count: int = 1,
                 cutoff: float = 0.6) -> str:
    """Return ``"; did you mean 'a' or 'b'?"``, or ``otherwise`` where nothing is alike; see :func:`closest`."""
    found = closest(name, candidates, count, cutoff)
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else otherwise


def printable(text: Any) -> str:
    """Return text for a terminal: control characters, line ends and broken bytes are written as escapes."""
    return ''.join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))


def reason(error: BaseException) -> str:
    """Return why something failed, on one line: what the system says (``strerror``), else the error's message."""
    return one_line(getattr(error, 'strerror', None) or error)


def one_line(text: object) -> str:
    """Return a text on one line: white space becomes one space, the rest is :func:`printable`.

    An empty text, as of an error without a message, becomes the name of its type.
    """
    return printable(' '.join(str(text).split())) or type(text).__name__
