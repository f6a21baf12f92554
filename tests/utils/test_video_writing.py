"""Writing videos: rate, time stamps, sound and colour are kept; a file is whole or absent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmweather.errors import DataError
from mmweather.utils import atomic
from mmweather.utils.video import VideoWriter, open_video, sound, writing

av = pytest.importorskip('av', reason="videos need PyAV: pip install 'mmweather[video]'")
from video_files import facts, frame_of, make_video  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def copy(source: Path, target: Path, change=lambda frame: frame) -> Path:
    with open_video(source) as reader, VideoWriter(target, like=reader) as writer:
        for frame in reader:
            writer.write(change(frame))
    return target


def shifted(times: list[float]) -> list[float]:
    return [moment - times[0] for moment in times]


@pytest.mark.parametrize('rate', [25, Fraction(30000, 1001), 12])
def test_rate_time_stamps_and_sound_are_kept(tmp_path, rate):
    source = make_video(tmp_path / 'in.mp4', round(2 * rate), rate=rate)
    old, new = facts(source), facts(copy(source, tmp_path / 'new' / 'out.mp4', lambda frame: 255 - frame))
    assert new['rate'] == rate and new['size'] == (48, 64)
    assert (new['video'], new['pix_fmt'], new['sound']) == ('h264', 'yuv420p', 'aac')
    assert new['times'] == pytest.approx(old['times'], abs=1e-6)
    assert new['seconds'] == pytest.approx(2, abs=0.01) and new['packets'] == old['packets']
    with open_video(tmp_path / 'new' / 'out.mp4') as reader:
        assert np.abs(next(reader).astype(int) - (255 - frame_of(0, 48, 64))).mean() < 6
    assert os.listdir(tmp_path / 'new') == ['out.mp4']


def test_uneven_time_stamps_are_kept(tmp_path):
    times = [0, 40, 60, 190, 200, 330, 500]
    source = make_video(tmp_path / 'in.mkv', len(times), times=times, clock=Fraction(1, 1000), sound=None)
    for name in ('out.mp4', 'out.mkv'):
        new = facts(copy(source, tmp_path / name))
        assert shifted(new['times']) == pytest.approx([moment / 1000 for moment in times], abs=0.0011)


@pytest.mark.parametrize('ending, codec, tone, target, kept', [
    ('.mkv', 'libx264', 'flac', '.mp4', 'flac'),
    ('.ts', 'mpeg2video', 'mp2', '.mkv', 'mp2'),
    ('.webm', 'libvpx-vp9', 'libopus', '.mov', None),
    ('.avi', 'mpeg4', 'libmp3lame', '.webm', None),
], ids=lambda value: str(value))
def test_other_containers_copy_the_sound_or_encode_it(tmp_path, ending, codec, tone, target, kept):
    source = make_video(tmp_path / f'in{ending}', 50, codec=codec, sound=tone)
    out = copy(source, tmp_path / f'out{target}')
    old, new = facts(source), facts(out)
    assert new['rate'] == old['rate'] and len(new['times']) == len(old['times'])
    assert shifted(new['times']) == pytest.approx(shifted(old['times']), abs=0.0011)
    if kept:
        assert new['packets'] == old['packets'] and new['sound'].startswith(kept.rstrip('2'))
    else:
        assert new['sound'] == {'.mov': 'aac', '.webm': 'opus'}[target]
    with av.open(str(out)) as file:
        wave = np.concatenate([part.to_ndarray()[0] for part in file.decode(audio=0)]).astype(float)
    assert len(wave) == pytest.approx(96000, rel=0.06)
    # The tone is still one of 440 Hz.
    middle = wave[20000:20000 + 48000]
    assert np.abs(np.fft.rfft(middle)).argmax() == pytest.approx(440, abs=1)


@pytest.mark.parametrize('ending, tone', [('.mkv', 'flac'), ('.mov', 'pcm_s16le')], ids=['copied', 'encoded'])
def test_every_track_is_kept_and_stays_in_step_with_the_frames(tmp_path, ending, tone):
    source = make_video(tmp_path / f'in{ending}', 25, sound=tone, delay=0.5, tracks=2, seconds=1.5)
    copy(source, tmp_path / ('out.mp4' if tone == 'flac' else 'out.webm'))
    (out, ) = tmp_path.glob('out.*')
    for track in range(2):
        with av.open(str(out)) as file:
            assert len(file.streams.audio) == 2
            sounds = [frame.time for frame in file.decode(file.streams.audio[track])]
        with av.open(str(out)) as file:
            first = next(file.decode(video=0)).time
        assert sounds[0] - first == pytest.approx(0.5, abs=0.03)
        # The sound goes on after the frames, and is kept whole.
        assert sounds[-1] - first == pytest.approx(2, abs=0.15)


def test_where_writing_ends_early_the_sound_does_too(tmp_path):
    source = make_video(tmp_path / 'in.mp4', 50)
    with open_video(source) as reader, VideoWriter(tmp_path / 'out.mp4', like=reader) as writer:
        for _ in range(20):
            writer.write(next(reader))
    new = facts(tmp_path / 'out.mp4')
    assert len(new['times']) == 20 and new['seconds'] == pytest.approx(0.8, abs=0.03)


def test_batches_read_ahead_keep_their_time_stamps(tmp_path):
    source = make_video(tmp_path / 'in.mp4', 10)
    with open_video(source) as reader, VideoWriter(tmp_path / 'out.mp4', like=reader) as writer:
        for frame in list(reader):
            writer.write(frame)
    assert facts(tmp_path / 'out.mp4')['times'] == pytest.approx([number / 25 for number in range(10)])


def test_side_by_side_is_twice_as_wide(tmp_path):
    source = make_video(tmp_path / 'in.mp4', 5)
    new = facts(copy(source, tmp_path / 'out.mp4', lambda frame: np.concatenate((frame, 255 - frame), axis=1)))
    assert new['size'] == (48, 128) and len(new['times']) == 5


@pytest.mark.parametrize('encoder', ['libx264', 'mpeg4'])
def test_odd_sizes_get_one_more_pixel(tmp_path, monkeypatch, encoder):
    monkeypatch.setattr(writing, 'ENCODERS', {encoder: writing.ENCODERS[encoder]})
    source = make_video(tmp_path / 'in.mp4', 4)
    new = copy(source, tmp_path / 'out.mp4', lambda frame: np.ascontiguousarray(frame[:47, :63]))
    assert facts(new)['size'] == (48, 64) and facts(new)['video'] == {'libx264': 'h264'}.get(encoder, encoder)
    with open_video(new) as reader:
        frame = next(reader).astype(int)
    assert np.abs(frame[:47, :63] - frame_of(0, 47, 63)).mean() < 6
    assert np.abs(frame[:, 63] - frame[:, 62]).mean() < 6


def test_mpeg4_with_the_clock_of_a_transport_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, 'ENCODERS', {'mpeg4': writing.ENCODERS['mpeg4']})
    source = make_video(tmp_path / 'in.ts', 20, rate=Fraction(30000, 1001), codec='mpeg2video', sound='mp2')
    new = facts(copy(source, tmp_path / 'out.mp4'))
    assert shifted(new['times']) == pytest.approx([number * 1001 / 30000 for number in range(20)], abs=2e-5)


@pytest.mark.parametrize('matrix', [1, 6, 2], ids=['bt709', 'bt601', 'untagged'])
def test_colours_and_their_tag_survive(tmp_path, matrix):
    source = make_video(tmp_path / 'in.mp4', 2, (48, 64), matrix=matrix, options={'crf': '4'}, sound=None)
    with open_video(source) as reader:
        before = next(reader).astype(int)
    assert np.abs(before - frame_of(0, 48, 64)).mean() < 3
    new = copy(source, tmp_path / 'out.mp4')
    with open_video(new) as reader:
        after = next(reader).astype(int)
    assert np.abs((after - before).mean(axis=(0, 1))).max() < 1.5
    with av.open(str(new)) as file:
        assert file.streams.video[0].codec_context.colorspace == matrix


def test_oblong_pixels_stay_oblong(tmp_path):
    path = tmp_path / 'in.mp4'
    with av.open(str(path), 'w') as out:
        video = out.add_stream('libx264', rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, 'yuv420p'
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        video.set_display_rotation(90)
        out.mux(video.encode(av.VideoFrame.from_ndarray(frame_of(0, 48, 64), format='rgb24')))
        out.mux(video.encode(None))
    with av.open(str(copy(path, tmp_path / 'out.mp4'))) as file:
        assert file.streams.video[0].sample_aspect_ratio == Fraction(3, 4)


def test_a_camera_has_a_rate_and_no_source(tmp_path):
    with VideoWriter(tmp_path / 'out.mp4', fps=29.97) as writer:
        for number in range(6):
            writer.write(frame_of(number, 48, 64))
    new = facts(tmp_path / 'out.mp4')
    assert new['sound'] is None and float(new['rate']) == pytest.approx(29.97) and len(new['times']) == 6
    with pytest.raises(ValueError, match='frames a second'):
        VideoWriter(tmp_path / 'out.mp4')


def test_what_cannot_be_written_is_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"ending in '\.avi'.*\.mp4"):
        VideoWriter(tmp_path / 'a.avi', fps=25)
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='cannot write'), VideoWriter(tmp_path / 'file' / 'a.mp4', fps=25):
        pass
    for frame, words in [(np.zeros((4, 4), np.uint8), 'uint8'), (np.zeros((4, 4, 3)), 'uint8'),
                         (frame_of(0, 48, 66), 'one size')]:
        with pytest.raises(DataError, match=words), VideoWriter(tmp_path / 'a.mp4', fps=25) as writer:
            writer.write(frame_of(0, 48, 64))
            writer.write(frame)
    with pytest.raises(DataError, match='no frame was written'), VideoWriter(tmp_path / 'a.mp4', fps=25):
        pass
    assert sorted(os.listdir(tmp_path)) == ['file']


@pytest.mark.parametrize('named', [False, True], ids=['unnamed', 'hidden name'])
@pytest.mark.parametrize('error', [KeyboardInterrupt, ZeroDivisionError])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, named, error):
    if named:
        monkeypatch.setattr(atomic, '_open_unnamed', lambda folder: None)
    source = make_video(tmp_path / 'in.mp4', 10)
    out = tmp_path / 'out'
    copy(source, out / 'a.mp4')
    before = (out / 'a.mp4').read_bytes()
    with pytest.raises(error), open_video(source) as reader, VideoWriter(out / 'a.mp4', like=reader) as writer:
        writer.write(next(reader))
        raise error
    assert os.listdir(out) == ['a.mp4'] and (out / 'a.mp4').read_bytes() == before
    assert (out / 'a.mp4').stat().st_mode & 0o777 == source.stat().st_mode & 0o777
    copy(source, out / 'a.mp4', lambda frame: 255 - frame)
    assert os.listdir(out) == ['a.mp4'] and (out / 'a.mp4').read_bytes() != before


KILLED = '''
import sys
import numpy as np
from mmweather.utils.video import VideoWriter
with VideoWriter(sys.argv[1], fps=25) as writer:
    while True:
        writer.write(np.random.randint(0, 256, (96, 128, 3), np.uint8))
        print(writer.written, flush=True)
'''


@pytest.mark.skipif(not hasattr(os, 'O_TMPFILE'), reason='only Linux has files without a name')
def test_a_kill_leaves_nothing(tmp_path):
    handle = atomic._open_unnamed(tmp_path)
    if handle is None:
        pytest.skip('this file system has no files without a name')
    os.close(handle)
    process = subprocess.Popen([sys.executable, '-c', KILLED, str(tmp_path / 'a.mp4')], stdout=subprocess.PIPE,
                               text=True, cwd=ROOT)
    try:
        until = time.monotonic() + 180
        while int(process.stdout.readline() or 0) < 80:
            assert process.poll() is None and time.monotonic() < until
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=120)
        with contextlib.suppress(OSError):
            process.stdout.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('limit', [4096, 40000])
def test_a_write_that_the_system_refuses_is_one_line_and_leaves_nothing(tmp_path, limit):
    resource = pytest.importorskip('resource')
    noise = np.random.default_rng(0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # Python ignores SIGXFSZ, so that a write beyond the limit fails, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with (pytest.raises(DataError, match='cannot write .*a.mp4') as caught,
              VideoWriter(tmp_path / 'a.mp4', fps=25) as writer):
            for _ in range(60):
                writer.write(noise.integers(0, 256, (96, 128, 3), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 'File too large' in str(caught.value) and '\n' not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_sound_that_nothing_can_encode_is_left_out_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, 'ENCODERS', {})
    source = make_video(tmp_path / 'in.webm', 5, codec='libvpx-vp9', sound='libopus')
    with pytest.warns(UserWarning, match='sound 1 is left out'):
        copy(source, tmp_path / 'out.mov')
    assert facts(tmp_path / 'out.mov')['sound'] is None
