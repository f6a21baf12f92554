"""Reading videos: frames one by one, upright and of one size; what is broken is reported in one line."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmweather.errors import DataError, MissingToolboxError
from mmweather.utils.video import VideoWriter, is_video_file, open_video

av = pytest.importorskip('av', reason="videos need PyAV: pip install 'mmweather[video]'")
from video_files import facts, frame_of, make_video  # noqa: E402


def error_line(*, path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_video(path)
    text = str(caught.value)
    assert path.name in text and '\n' not in text
    return text


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


@pytest.mark.parametrize('codec, lost', [('mpeg4', 1), ('libx264', 0)], ids=['passed over', 'repaired'])
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
