"""Videos: rate, time stamps, sound and colour are kept; a file is whole or absent."""

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

from mmweather.errors import DataError, MissingToolboxError
from mmweather.utils import atomic
from mmweather.utils.video import VideoWriter, is_video_file, open_video, sound, writing

av = pytest.importorskip('av', reason="videos need PyAV: pip install 'mmweather[video]'")
from video_files import facts, frame_of, make_video  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def copy(source: Path, target: Path, change=lambda frame: frame) -> Path:
    with open_video(source) as reader, VideoWriter(target, like=reader) as writer:
        for frame in reader:
            writer.write(change(frame))
    return target


def error_line(*, path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_video(path)
    text = str(caught.value)
    assert path.name in text and '\n' not in text
    return text


def shifted(times: list[float]) -> list[float]:
    return [moment - times[0] for moment in times]


# Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name, answer', [('a.MP4', True), ('dir/b.mkv', True), ('.hidden.mp4', False),
                                          ('a.png', False), ('mp4', False)])
def test_video_files_are_known_by_name(name, answer):
    assert is_video_file(name) is answer


def test_without_pyav_the_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(MissingToolboxError, match=r"needs 'av', which is not installed: pip install 'mmweather\[vid"):
        open_video(tmp_path / 'a.mp4')


# Reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [(48, 64), (50, 34), (2, 2), (270, 480)])
def test_frames_come_one_by_one_with_their_facts(tmp_path, size):
    path = make_video(tmp_path / 'a.mp4', 6, size, Fraction(30000, 1001), options={'crf': '4'})
    with open_video(path) as reader:
        assert (reader.fps, reader.frames, reader.size, reader.has_audio) == (Fraction(30000, 1001), 6, size, True)
        frames = list(reader)
        assert reader.finished and next(reader, None) is None
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        assert frame.dtype == np.uint8 and frame.shape == (*size, 3)
        assert frame.flags.c_contiguous and frame.flags.writeable
        if min(size) > 2:
            assert np.abs(frame.astype(int) - frame_of(number, *size)).mean() < 4


@pytest.mark.parametrize('rotation, hflip', [(90, False), (-90, False), (180, False), (0, True), (90, True)])
def test_the_display_matrix_is_applied(tmp_path, rotation, hflip):
    plain = make_video(tmp_path / 'plain.mp4', 1, (48, 64), sound=None)
    turned = make_video(tmp_path / 'turned.mp4', 1, (48, 64), sound=None, rotation=rotation, hflip=hflip)
    with open_video(plain) as reader:
        want = np.rot90(next(reader), rotation // 90)
    want = want[:, ::-1] if hflip else want
    with open_video(turned) as reader:
        assert reader.size == want.shape[:2]
        np.testing.assert_array_equal(next(reader), want)


def test_a_phone_held_upright(tmp_path):
    # What phones write: the picture has to be turned clockwise (QuickTime's matrix 0 1 -1 0).
    path = make_video(tmp_path / 'a.mp4', 1, (48, 64), sound=None)
    data = bytearray(path.read_bytes())
    place = data.index(b'tkhd') + 4 + 40
    matrix = b''.join(value.to_bytes(4, 'big', signed=True) for value in (0, 65536, 0, -65536, 0, 0))
    with open_video(path) as reader:
        upright = np.rot90(next(reader), -1)
    data[place:place + 24] = matrix
    path.write_bytes(data)
    with open_video(path) as reader:
        np.testing.assert_array_equal(next(reader), upright)


def test_a_size_that_changes_is_scaled_to_the_first(tmp_path):
    first = make_video(tmp_path / 'a.ts', 5, (48, 64), codec='mpeg2video', sound=None)
    second = make_video(tmp_path / 'b.ts', 5, (96, 128), codec='mpeg2video', sound=None)
    both = tmp_path / 'both.ts'
    both.write_bytes(first.read_bytes() + second.read_bytes())
    with open_video(both) as reader, VideoWriter(tmp_path / 'out.mp4', like=reader) as writer:
        shapes = []
        for frame in reader:
            shapes.append(frame.shape)
            writer.write(frame)
    assert len(shapes) >= 9 and set(shapes) == {(48, 64, 3)}
    moments = facts(tmp_path / 'out.mp4')['times']
    assert len(moments) == len(shapes) and all(np.diff(moments) > 0)


def test_what_is_no_video_is_told_in_one_line(tmp_path):
    assert 'no such video' in error_line(path=tmp_path / 'none.mp4')
    (tmp_path / 'zero.mp4').touch()
    assert '0 bytes' in error_line(path=tmp_path / 'zero.mp4')
    (tmp_path / 'text.mp4').write_text('no video at all\n' * 200)
    assert 'no video that can be read' in error_line(path=tmp_path / 'text.mp4')
    (tmp_path / 'folder.mp4').mkdir()
    assert 'folder.mp4' in error_line(path=tmp_path / 'folder.mp4')
    whole = make_video(tmp_path / 'whole.mp4', 30).read_bytes()
    (tmp_path / 'cut.mp4').write_bytes(whole[:len(whole) // 2])  # the index stands at the end
    assert 'cut short' in error_line(path=tmp_path / 'cut.mp4')


def test_sound_alone_covers_and_no_frames(tmp_path):
    with av.open(str(tmp_path / 'song.m4a'), 'w', format='mp4') as out:
        tone = out.add_stream('aac', rate=48000)
        tone.codec_context.layout = 'mono'
        chunk = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format='s16', layout='mono')
        chunk.sample_rate, chunk.pts, chunk.time_base = 48000, 0, Fraction(1, 48000)
        out.mux(tone.encode(chunk))
        out.mux(tone.encode(None))
    assert 'no moving pictures' in error_line(path=tmp_path / 'song.m4a')
    make_video(tmp_path / 'empty.mkv', 0, seconds=0.5)
    assert 'no frame' in error_line(path=tmp_path / 'empty.mkv')


@pytest.mark.parametrize('codec, lost', [('mpeg4', 1), ('libx264', 0)], ids=['passed over', 'mended'])
def test_damage_in_the_middle_costs_a_warning_and_not_the_video(tmp_path, codec, lost):
    path = make_video(tmp_path / 'a.mkv', 30, codec=codec, sound=None)
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    start = data.index(packets[10]) + (0 if lost else len(packets[10]) // 2)
    end = data.index(packets[10]) + len(packets[10])
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    with open_video(path) as reader:
        with pytest.warns(UserWarning, match='damaged'):
            count = len(list(reader))
        assert reader.damaged >= 1
    assert count == 30 - lost


def test_a_file_cut_short_is_read_as_far_as_it_goes_with_a_warning(tmp_path):
    path = make_video(tmp_path / 'a.mkv', 100, codec='ffv1', sound=None)
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    with open_video(path) as reader, pytest.warns(UserWarning, match=r'of 4\.0 s; it may be cut short'):
        assert 30 < len(list(reader)) < 70


# Writing ----------------------------------------------------------------------------------------------------------


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
        until = time.monotonic() + 60
        while int(process.stdout.readline() or 0) < 80:
            assert process.poll() is None and time.monotonic() < until
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        with contextlib.suppress(OSError):
            process.stdout.close()
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(DataError, match='No space left on device'), VideoWriter(tmp_path / 'a.mp4', fps=25) as writer:
        writer.write(frame_of(0, 48, 64))
    assert os.listdir(tmp_path) == []


def test_sound_that_nothing_can_encode_is_left_out_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(sound, 'ENCODERS', {})
    source = make_video(tmp_path / 'in.webm', 5, codec='libvpx-vp9', sound='libopus')
    with pytest.warns(UserWarning, match='sound 1 is left out'):
        copy(source, tmp_path / 'out.mov')
    assert facts(tmp_path / 'out.mov')['sound'] is None
