"""The sound of a video, carried over to another one."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..text import reason
from .names import import_av

if TYPE_CHECKING:
    from .reading import VideoReader

# Encoder -> the sampling rates that it takes (empty: any), in the order in which they are tried.
ENCODERS: dict[str, tuple[int, ...]] = {
    'aac': (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    'libopus': (48000, ),
}
_BITS_PER_CHANNEL = 96000


@dataclass
class _Track:
    """One stream of sound on its way: ``target`` is copied to, or encoded into where ``encode`` is set."""

    source: Any
    target: Any
    encode: bool
    last: int | None = None


class Sound:
    """Copies packets of sound in step with the frames, from the file of a reader opened a second time.

    A stream whose codec the container takes is copied bit for bit; another is decoded and encoded.  A damaged packet
    is passed over; a stream that cannot be carried over is left out with a warning.

    Args:
        reader: the video with sound.
        container: PyAV's output container, before anything is written to it.
    """

    def __init__(self, reader: VideoReader, container: Any) -> None:
        self._av = import_av('sound')
        self._path = reader.path
        self._start = reader.start
        self._container = container
        self._input = self._av.open(str(reader.path), metadata_errors='replace')
        found = (self._track(stream) for stream in self._input.streams.audio)
        self._tracks = {track.source.index: track for track in found if track is not None}
        self._packets = self._demux()
        self._waiting: Any = None

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(self._av.FFmpegError):
            self._input.close()

    def _track(self, stream: Any) -> _Track | None:
        context = stream.codec_context
        try:
            if context is None:
                raise ValueError('no decoder')
            if self._takes(stream):
                return _Track(stream, self._container.add_stream_from_template(stream), encode=False)
            name, rate = self._encoder(context.sample_rate)
            target = self._container.add_stream(name, rate=rate)
            target.codec_context.layout = context.layout.name
            target.codec_context.bit_rate = _BITS_PER_CHANNEL * context.layout.nb_channels
            return _Track(stream, target, encode=True)
        except (self._av.FFmpegError, ValueError) as error:
            warnings.warn(f"video '{self._path}': sound {stream.index} is left out ({reason(error)})", stacklevel=4)
            return None

    def _takes(self, stream: Any) -> bool:
        """Whether the container can hold a stream as it is; tried, since what formats declare is more than they do."""
        if stream.codec_context.codec.canonical_name not in self._container.supported_codecs:
            return False
        try:
            with self._av.open(io.BytesIO(), 'w', format=self._container.format.name) as trial:
                trial.add_stream_from_template(stream)
                trial.start_encoding()
        except (self._av.FFmpegError, ValueError):
            return False
        return True

    def _encoder(self, rate: int) -> tuple[str, int]:
        for name, rates in ENCODERS.items():
            with contextlib.suppress(ValueError):
                codec = self._av.codec.Codec(name, 'w')
                if codec.canonical_name in self._container.supported_codecs:
                    # The lowest rate that keeps every frequency.
                    return name, next((item for item in rates if item >= rate), rates[-1])
        raise ValueError('no encoder for this container')

    def _demux(self) -> Iterator[Any]:
        packets = self._input.demux([track.source for track in self._tracks.values()]) if self._tracks else iter(())
        while True:
            try:
                packet = next(packets)
            except (StopIteration, self._av.FFmpegError):
                return
            # At the end of the file come empty packets, which flush a decoder; see finish().
            if packet.size and packet.dts is not None:
                yield packet

    def copy(self, until: Fraction | None = None) -> None:
        """Carry over what starts before ``until`` seconds of the new file; everything if None."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            time = (packet.dts if packet.pts is None else packet.pts) * Fraction(packet.time_base) - self._start
            if until is not None and time >= until:
                self._waiting = packet
                return
            self._carry(packet, self._tracks[packet.stream.index])

    def _carry(self, packet: Any, track: _Track) -> None:
        if track.encode:
            frames: list[Any] = []
            with contextlib.suppress(self._av.FFmpegError):
                frames = packet.decode()
            self._encode(track, frames)
            return
        shift = round(self._start / Fraction(packet.time_base))
        packet.dts -= shift
        packet.pts = None if packet.pts is None else packet.pts - shift
        if track.last is not None and packet.dts <= track.last:
            return  # clocks that jump back would make the file unwritable
        track.last = packet.dts
        packet.stream = track.target
        self._container.mux(packet)

    def _encode(self, track: _Track, frames: list[Any]) -> None:
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._start / Fraction(frame.time_base))
            self._container.mux(track.target.encode(frame))

    def finish(self) -> None:
        """Write what decoders and encoders still hold."""
        for track in self._tracks.values():
            if track.encode:
                frames: list[Any] = []
                with contextlib.suppress(self._av.FFmpegError):
                    frames = track.source.decode(None)
                self._encode(track, frames)
                self._container.mux(track.target.encode(None))
