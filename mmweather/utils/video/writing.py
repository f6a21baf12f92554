"""Arrays to a video like another one."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..atomic import unnamed_file
from ..text import reason
from .names import CONTAINERS, WRITABLE_EXTENSIONS, import_av
from .reading import VideoReader
from .sound import Sound

# Encoder -> its options, in the order in which they are tried.  18 looks like the source; 3 is mpeg4's like of it.
ENCODERS: dict[str, dict[str, str]] = {
    'libx264': {'crf': '18'},
    'mpeg4': {'flags': '+qscale', 'global_quality': str(3 * 118)},
    'libvpx-vp9': {'crf': '24', 'b': '0', 'deadline': 'good', 'cpu-used': '4', 'row-mt': '1'},
}
_COARSEST_MPEG4_CLOCK = 65535
_MPEG4_CLOCK = Fraction(1, 60000)  # whole ticks for 24, 25, 30, 50, 60, 29.97 and 59.94 frames a second
_FINEST_CLOCK = 10**6
_RGB, _UNSPECIFIED, _BT709 = 0, 2, 1  # AVColorSpace
_LIMITED = 1  # AVCOL_RANGE_MPEG


class VideoWriter:
    """A video that is whole or absent.

    H.264 (MPEG-4 part 2 where the wheel of PyAV has no encoder for it; VP9 in WebM), 4:2:0, 8 bits.  The n-th frame
    gets the time stamp of the n-th frame that ``like`` gave out.  Sound is copied as it is where the container takes
    it, and encoded anew (AAC; Opus in WebM) where not; where writing ends before ``like`` does, so does the sound.
    A side that is an odd number of pixels gets one more, equal to the last row or column: 4:2:0 has no odd sides.
    Subtitles, chapters and tags are left behind.

    Use it as a context manager: the file appears when the block ends, and after an exception nothing is left.

    Args:
        path: where to; missing folders are created. The ending chooses the container.
        like: the open reader that the frames come from; closed after the writer, not before.
        fps: frames a second where there is no ``like``, as with a camera.

    Raises:
        DataError: the ending is unknown, or the file cannot be written.
        MissingToolboxError: PyAV is not installed.
        ValueError: neither ``like`` nor ``fps`` is given.
    """

    def __init__(self, path: str | Path, like: VideoReader | None = None, fps: float | Fraction | None = None) -> None:
        if like is None and not fps:
            raise ValueError('give a reader to be like, or the frames a second')
        self.path = Path(path)
        if self.path.suffix.lower() not in CONTAINERS:
            raise DataError(f"cannot write videos ending in '{self.path.suffix}' ('{self.path}'); use one of "
                            f'{", ".join(WRITABLE_EXTENSIONS)}')
        self._av = import_av(f"video '{path}'")
        self._like = like
        self.fps = like.fps if like is not None else Fraction(fps or 0).limit_denominator(1001)
        self.written = 0
        self._shape: tuple[int, ...] = ()
        self._last: int | None = None
        self._stack = contextlib.ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._sound: Sound | None = None

    def __enter__(self) -> VideoWriter:
        try:
            name = self._stack.enter_context(unnamed_file(self.path))
            kind = CONTAINERS[self.path.suffix.lower()]
            options = {'movflags': 'faststart'} if kind in ('mp4', 'mov') else {}
            self._container = self._av.open(name, 'w', format=kind, options=options)
        except (self._av.FFmpegError, OSError) as error:
            self._stack.close()
            raise DataError(f"cannot write '{self.path}' ({reason(error)}); choose another folder") from None
        return self

    def write(self, frame: np.ndarray) -> None:
        """Add a frame: uint8 (H, W, 3) RGB, of the size of the first one, which need not be that of ``like``.

        Raises:
            DataError: the array is no such frame, or the file cannot be written.
        """
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise DataError(f"video '{self.path}': a frame must be uint8 (H, W, 3), got {frame.dtype} {frame.shape}")
        if self._shape and frame.shape != self._shape:
            raise DataError(f"video '{self.path}': frames must have one size, got {frame.shape[1]}x{frame.shape[0]} "
                            f'after {self._shape[1]}x{self._shape[0]}')
        try:
            if not self._shape:
                self._shape = frame.shape
                self._start(frame.shape[0] + frame.shape[0] % 2, frame.shape[1] + frame.shape[1] % 2)
            time = self._next_time()
            if self._sound is not None:
                self._sound.copy(until=time * self._clock)
            self._container.mux(self._stream.encode(self._as_frame(frame, time)))
        except (self._av.FFmpegError, OSError) as error:
            raise self._cannot_write(error) from None
        self.written += 1

    def _cannot_write(self, error: Exception) -> DataError:
        return DataError(f"cannot write '{self.path}' ({reason(error)}); check the free space of the disk, or name it "
                         '.mkv')

    def _start(self, height: int, width: int) -> None:
        name = next((name for name in ENCODERS if self._can_encode(name)), None)
        if name is None:
            raise DataError(f"'{self.path}': this PyAV has no encoder for '{self.path.suffix}'; name it .mp4 or .mkv")
        self._clock = self._choose_clock(name)
        stream = self._container.add_stream(name, rate=self.fps, options=ENCODERS[name])
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.codec_context.time_base = self._clock
        matrix, primaries, transfer = self._like.colour if self._like is not None else (_BT709, ) * 3
        # Pixels that came as RGB have no matrix yet.
        self._matrix = _BT709 if matrix == _RGB else matrix
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = self._matrix, primaries, transfer
        context.color_range = _LIMITED
        if self._like is not None:
            context.sample_aspect_ratio = self._like.pixel_aspect
            if self._like.has_audio:
                self._sound = self._stack.enter_context(Sound(self._like, self._container))
        self._stream = stream

    def _can_encode(self, name: str) -> bool:
        try:
            codec = self._av.codec.Codec(name, 'w')
        except ValueError:  # UnknownCodecError is one
            return False
        return codec.canonical_name in self._container.supported_codecs

    def _choose_clock(self, encoder: str) -> Fraction:
        """Seconds of a tick: that of the source, or one in which both its ticks and the frames are whole."""
        if self._like is None:
            clock = Fraction(1, self.fps.numerator)
        else:
            clock = self._like.clock
            both = Fraction(1, math.lcm(clock.denominator, self.fps.numerator))
            if (1 / (self.fps * clock)).denominator != 1 and both >= Fraction(1, _FINEST_CLOCK):
                clock = both
        return _MPEG4_CLOCK if encoder == 'mpeg4' and clock.denominator > _COARSEST_MPEG4_CLOCK else clock

    def _next_time(self) -> int:
        step = 1 / (self.fps * self._clock)
        times = self._like.times if self._like is not None else []
        if self._like is not None and self.written < len(times):
            seconds = times[self.written] * self._like.clock
            # Matroska's clock ticks in milliseconds: a frame within a tick of its place in the rate is put there.
            place = round(seconds * self.fps) / self.fps
            if self._clock != self._like.clock and abs(place - seconds) <= self._like.clock:
                seconds = place
            time = round(seconds / self._clock)
        else:
            time = round(self.written * step) if self._last is None else self._last + max(1, round(step))
        if self._last is not None and time <= self._last:
            time = self._last + 1
        self._last = time
        return time

    def _as_frame(self, array: np.ndarray, time: int) -> Any:
        height, width = array.shape[:2]
        if height % 2 or width % 2:
            array = np.pad(array, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format='rgb24')
        matrix = None if self._matrix == _UNSPECIFIED else self._matrix
        frame = frame.reformat(format='yuv420p', dst_colorspace=matrix, dst_color_range=_LIMITED)
        frame.pts, frame.time_base = time, self._clock
        return frame

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None:
            try:
                self._finish()
            except (self._av.FFmpegError, OSError) as fault:
                self._abandon(fault)
                raise self._cannot_write(fault) from None
            except BaseException as fault:
                self._abandon(fault)
                raise
            try:
                self._stack.close()
            except OSError as fault:
                raise self._cannot_write(fault) from None
        else:
            self._abandon(error or kind())

    def _finish(self) -> None:
        if not self.written:
            raise DataError(f"video '{self.path}': no frame was written")
        if self._sound is not None:
            whole = self._like is not None and self._like.finished and self.written >= len(self._like.times)
            end = (Fraction(self._last or 0) * self._clock) + 1 / self.fps
            self._sound.copy(until=None if whole else end)
            self._sound.finish()
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def _abandon(self, error: BaseException) -> None:
        with contextlib.suppress(self._av.FFmpegError, OSError, ValueError):
            self._container.close()
        # Told of the error, the file is not given its name.
        self._stack.__exit__(type(error), error, error.__traceback__)
