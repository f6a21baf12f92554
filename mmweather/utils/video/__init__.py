"""Reading and writing videos, one picture at a time, through PyAV, whose wheel carries FFmpeg.

A restored video keeps the frame rate, the time stamps, the colour tags, the shape of the pixels and the sound of the
one it was made from.  PyAV is imported when a video is opened, so that looking at a name needs nothing.
"""

from __future__ import annotations

from .names import VIDEO_EXTENSIONS, WRITABLE_EXTENSIONS, is_video_file
from .reading import VideoReader, open_video
from .writing import VideoWriter

__all__ = ['VIDEO_EXTENSIONS', 'WRITABLE_EXTENSIONS', 'VideoReader', 'VideoWriter', 'is_video_file', 'open_video']
