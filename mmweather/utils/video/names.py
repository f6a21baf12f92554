"""Which files are videos, and PyAV where it is needed."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ...errors import missing_toolbox

VIDEO_EXTENSIONS = ('.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.mpg', '.mpeg', '.ts', '.mts', '.m2ts', '.wmv',
                    '.flv', '.3gp', '.ogv')
"""Endings, in lower case, that count as videos; compare case-insensitively."""

CONTAINERS = {'.mp4': 'mp4', '.m4v': 'mp4', '.mov': 'mov', '.mkv': 'matroska', '.webm': 'webm'}

WRITABLE_EXTENSIONS = tuple(CONTAINERS)
"""Endings that can be written: containers that keep any time stamps."""


def is_video_file(path: str | Path) -> bool:
    """Whether the name ends like a video's and is not hidden."""
    path = Path(path)
    return path.suffix.lower() in VIDEO_EXTENSIONS and not path.name.startswith('.')


def import_av(what: str) -> ModuleType:
    """PyAV.

    Args:
        what: what needs it, as it stands in the message.

    Raises:
        MissingToolboxError: it is not installed.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise missing_toolbox(what, error) from error
    return av
