"""The frames of a video as arrays."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..files import check_regular
from ..pixels import check_pixels
from ..text import reason
from .names import import_av

_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: the cover of an album is stored as a video of one frame
_DEFAULT_RATE = Fraction(25)
_FASTEST = 1000  # frames a second; containers without a rate report the ticks of their clock


def open_video(path: str | Path) -> VideoReader:
    """Open a video and decode its first frame.

    Use it as a context manager; see :class:`VideoReader`.

    Raises:
        DataError: the file is missing, empty, no video, has no pictures (sound alone) or none that can be decoded.
        MissingToolboxError: PyAV is not installed.
    """
    return VideoReader(path)


class VideoReader:
    """The frames of a video, once through, in the order and orientation in which they are shown.

    Frames are uint8 arrays (H, W, 3), RGB, C-contiguous and writable, all of one size: the display matrix (rotated
    and mirrored phones) is applied, and where the size changes within the file, later frames are scaled to the first's.
    Deeper colour becomes 8 bits; HDR is not tone-mapped.  Packets that cannot be decoded are passed over;
    a warning at the end tells so, and where pictures end long before the declared end.

    Args:
        path: the file.

    Attributes:
        fps: mean frames a second.
        frames: how many the container declares, or None where it does not.
        size: height and width of the frames.
        has_audio: whether there is sound.
        damaged: packets passed over and frames mended by the decoder so far.
        clock: seconds of one unit of ``times``.
        times: when each frame given out so far is shown, counted from ``start``.
        start: seconds at which the file starts, of its own clock.
        pixel_aspect: width of a pixel by its height.
        colour: FFmpeg's numbers of matrix, primaries and transfer of the frames.

    Raises:
        DataError: see :func:`open_video`.
        MissingToolboxError: PyAV is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self._av = import_av(f"video '{path}'")
        self.path = Path(path)
        self.damaged = 0
        self._warned = False
        self.times: list[int] = []
        self._container = self._open()
        try:
            self._stream = self._find_stream()
            self._stream.thread_type = 'AUTO'
            self.fps = self._rate()
            self.frames: int | None = self._stream.frames or None
            self.has_audio = bool(self._container.streams.audio)
            self.clock = Fraction(self._stream.time_base)
            self.start = Fraction(self._container.start_time or 0, self._av.time_base)
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if first is None:
                raise DataError(f"video '{self.path}' has no frame that can be decoded; copy or record it again")
            self._next: Any = first
            aspect = Fraction(self._stream.sample_aspect_ratio or 1) or Fraction(1)
            matrix = _display_matrix(first)
            self.pixel_aspect = 1 / aspect if _turns(matrix) else aspect
            self.colour = (int(first.colorspace), int(first.color_primaries), int(first.color_trc))
            self._stored_size = (first.height, first.width)
            self.size = self._stored_size[::-1] if _turns(matrix) else self._stored_size
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        try:
            if not check_regular(self.path):
                raise DataError(f"video '{self.path}' is empty (0 bytes); copy or record it again")
            return self._av.open(str(self.path), metadata_errors='replace')
        except FileNotFoundError:
            raise DataError(f"no such video: '{self.path}'; check the path") from None
        except (self._av.FFmpegError, OSError, ValueError) as error:
            raise DataError(f"'{self.path}' is no video that can be read ({reason(error)}); it may be cut short or "
                            'damaged: copy it again') from None

    def _find_stream(self) -> Any:
        for stream in self._container.streams.video:
            if not int(stream.disposition) & _ATTACHED_PICTURE:
                if stream.codec_context is None:
                    raise DataError(f"video '{self.path}': no decoder for its pictures; convert it to H.264")
                check_pixels(self.path, stream.codec_context.width, stream.codec_context.height, 'video')
                return stream
        raise DataError(f"'{self.path}' holds no moving pictures; give a video")

    def _rate(self) -> Fraction:
        stream = self._stream
        for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
            if rate and 0 < rate <= _FASTEST:
                return Fraction(rate)
        return _DEFAULT_RATE

    def _decode(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except self._av.FFmpegError:  # the demuxer cannot go on: what follows is lost
                self.damaged += 1
                packet = None
            try:
                yield from self._stream.decode(packet)
            except self._av.EOFError:
                return
            except self._av.FFmpegError:
                self.damaged += 1
            if packet is None:
                return

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        frame = self._next
        if frame is None:
            self._warn_once()
            raise StopIteration
        self.times.append(self._time_of(frame))
        self.damaged += bool(frame.is_corrupt)
        array = self._as_array(frame)
        # One ahead, so that after the last frame the reader knows that it was the last.
        self._next = next(self._decoded, None)
        return array

    def _warn_once(self) -> None:
        if self._warned:
            return
        self._warned = True
        if self.damaged:
            warnings.warn(f"video '{self.path}': {self.damaged} damaged part(s) passed over", stacklevel=3)
        end = (self.times[-1] * self.clock if self.times else 0) + 1 / self.fps
        declared = self._declared_end()
        if end < declared - 1 and end < declared * Fraction(19, 20):
            warnings.warn(f"video '{self.path}': its pictures end after {float(end):.1f} of {float(declared):.1f} s; "
                          'it may be cut short', stacklevel=3)

    def _declared_end(self) -> Fraction:
        if self._stream.duration:
            begin = Fraction(self._stream.start_time or 0) * self.clock - self.start
            return begin + self._stream.duration * self.clock
        return Fraction(self._container.duration or 0, self._av.time_base)

    def _time_of(self, frame: Any) -> int:
        step = max(1, round(1 / (self.fps * self.clock)))
        guess = self.times[-1] + step if self.times else 0
        if frame.pts is None:
            return guess
        ticks = frame.pts * Fraction(frame.time_base or self.clock) - self.start
        time = round(ticks / self.clock)
        # Clocks that jump back (joined recordings) would make the file unwritable.
        return time if not self.times or time > self.times[-1] else guess

    def _as_array(self, frame: Any) -> np.ndarray:
        height, width = self._stored_size
        # 8 bits and full range, by the matrix that the frame names.
        array = frame.reformat(width=width, height=height, format='rgb24').to_ndarray()
        return np.require(_apply(_display_matrix(frame), array), np.uint8, ['C', 'W'])

    @property
    def finished(self) -> bool:
        """Whether the last frame has been given out."""
        return self._next is None

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        with contextlib.suppress(self._av.FFmpegError):
            self._container.close()


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """a, b, c, d of x' = ax + cy, y' = bx + dy, which takes stored pixels to shown ones."""
    data = frame.side_data.get('DISPLAYMATRIX')
    if data is None:
        return 1, 0, 0, 1
    values = np.frombuffer(bytes(data), np.int32)
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])


def _turns(matrix: tuple[int, int, int, int]) -> bool:
    a, b, _, _ = matrix
    return abs(b) > abs(a)


def _apply(matrix: tuple[int, int, int, int], array: np.ndarray) -> np.ndarray:
    a, b, c, d = matrix
    if _turns(matrix):
        array, a, d = array.swapaxes(0, 1), c, b
    return array[::-1 if d < 0 else 1, ::-1 if a < 0 else 1]
