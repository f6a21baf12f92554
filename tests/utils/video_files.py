"""Small videos, made with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def frame_of(number: int, height: int, width: int) -> np.ndarray:
    """A smooth picture with a bar at column ``4 * number``."""
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([40 + columns * 120 // width, 60 + rows * 100 // height, 90 + 0 * rows], axis=2)
    start = 4 * number % max(width - 8, 1)
    picture[:, start:start + 8] = 230
    return picture.astype(np.uint8)


def make_video(path: Path, count: int = 30, size: tuple[int, int] = (48, 64), rate: Fraction | int = 25,
               codec: str = 'libx264', sound: str | None = 'aac', seconds: float | None = None,
               times: list[int] | None = None, clock: Fraction | None = None, rotation: int = 0, hflip: bool = False,
               matrix: int = 2, options: dict[str, str] | None = None, container: str | None = None, delay: float = 0,
               tracks: int = 1) -> Path:
    """Write ``count`` frames and, ``delay`` seconds later, ``tracks`` tones of 440 Hz.

    They last ``seconds``, as long as the frames if None.
    """
    height, width = size
    with av.open(str(path), 'w', format=container) as out:
        video = out.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = width, height, 'yuv420p'
        video.codec_context.time_base = clock or 1 / Fraction(rate)
        video.codec_context.colorspace = matrix
        if rotation or hflip:
            video.set_display_rotation(rotation, hflip=hflip)
        tones = [out.add_stream(sound, rate=48000) for _ in range(tracks if sound else 0)]
        for tone in tones:
            tone.codec_context.layout = 'mono'
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(frame_of(number, height, width), format='rgb24')
            picture = picture.reformat(format='yuv420p', dst_colorspace=None if matrix == 2 else matrix,
                                       dst_color_range=1)
            picture.pts = times[number] if times else number
            picture.time_base = clock or 1 / Fraction(rate)
            out.mux(video.encode(picture))
        if count:
            out.mux(video.encode(None))
        for tone in tones:
            samples = round(48000 * (count / rate if seconds is None else seconds))
            wave = np.sin(2 * np.pi * 440 / 48000 * np.arange(samples))
            for start in range(0, samples, 1024):
                part = (wave[None, start:start + 1024] * 20000).astype(np.int16)
                chunk = av.AudioFrame.from_ndarray(part, format='s16', layout='mono')
                chunk.sample_rate, chunk.pts, chunk.time_base = 48000, start + round(48000 * delay), Fraction(1, 48000)
                out.mux(tone.encode(chunk))
            out.mux(tone.encode(None))
    return path


def facts(path: Path) -> dict:
    """Codecs, rate, seconds shown, and the packets of sound of a file."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        found = {'video': video.codec_context.name, 'rate': video.average_rate, 'pix_fmt': video.codec_context.pix_fmt,
                 'size': (video.height, video.width), 'sound': None}
        if file.streams.audio:
            tone = file.streams.audio[0]
            found |= {'sound': tone.codec_context.name, 'seconds': float((tone.duration or 0) * tone.time_base)}
            found['packets'] = [bytes(packet) for packet in file.demux(tone) if packet.size]
    with av.open(str(path)) as file:
        found['times'] = [frame.time for frame in file.decode(video=0)]
    return found
