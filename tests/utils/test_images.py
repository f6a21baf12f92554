"""Strict reading: what is wrong is reported in one line, what is right comes as uint8 RGB."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from mmweather.errors import DataError
from mmweather.utils.images import encode_image, read_image, write_image


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def fails(path, *words: str) -> str:
    with pytest.raises(DataError) as caught:
        read_image(path)
    text = str(caught.value)
    assert path.name in text and '\n' not in text
    for word in words:
        assert word in text
    return text


def test_missing_empty_and_foreign_files(tmp_path):
    fails(tmp_path / 'no.png', 'no such image', 'check the path')
    (tmp_path / 'zero.jpg').touch()
    fails(tmp_path / 'zero.jpg', '0 bytes', 'again')
    (tmp_path / 'text.jpg').write_text('this is not a picture')
    fails(tmp_path / 'text.jpg', 'not an image', 'replace')
    (tmp_path / 'folder.jpg').mkdir()
    fails(tmp_path / 'folder.jpg', 'cannot be opened')


@pytest.mark.parametrize('name', ['cut.jpg', 'cut.png'])
@pytest.mark.parametrize('lenient', [False, True])
def test_truncated_files_raise_even_where_pillow_was_told_to_be_lenient(tmp_path, picture, name, lenient, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', lenient)
    path = write_image(tmp_path / name, picture)
    path.write_bytes(path.read_bytes()[:-len(path.read_bytes()) // 3])
    fails(path, 'damaged', 'copy it again')
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_png_with_a_flipped_bit_raises(tmp_path, picture):
    path = write_image(tmp_path / 'bit.png', picture)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    fails(path, 'damaged')


def test_sixteen_bit_grey_is_scaled_over_the_full_range(tmp_path):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), values)
    read = read_image(tmp_path / 'deep.png')
    assert read.dtype == np.uint8 and read.shape == (1, 8, 3)
    assert read[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    assert (read == read[..., :1]).all()


@pytest.mark.parametrize('channels', [3, 4])
@pytest.mark.parametrize('ending', ['png', 'tiff'])
def test_sixteen_bit_colour(tmp_path, channels, ending):
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, channels)).astype(np.uint16)
    path = tmp_path / f'deep.{ending}'
    assert cv2.imwrite(str(path), values)
    want = np.round(values[..., 2::-1] / 257.0)
    np.testing.assert_array_equal(read_image(path), want)


def test_thirty_two_bits_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / 'float.tiff')
    fails(tmp_path / 'float.tiff', '8 or 16 bits')


def test_grey_alpha_palette_and_cmyk(tmp_path, picture):
    grey = picture[..., 0]
    write_image(tmp_path / 'grey.png', grey)
    assert (read_image(tmp_path / 'grey.png') == grey[..., None]).all()
    # Alpha is ignored: a fully transparent pixel keeps its colour.
    Image.fromarray(np.dstack([picture, np.zeros_like(grey)])).save(tmp_path / 'clear.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'clear.png'), picture)
    Image.fromarray(np.dstack([grey, grey // 2]), 'LA').save(tmp_path / 'la.png')
    assert (read_image(tmp_path / 'la.png') == grey[..., None]).all()
    flat = (picture // 128 * 255).astype(np.uint8)
    Image.fromarray(flat).quantize(16).save(tmp_path / 'palette.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'palette.png'), flat)
    solid = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    Image.fromarray(solid).convert('CMYK').save(tmp_path / 'cmyk.jpg', quality=100)
    assert np.abs(read_image(tmp_path / 'cmyk.jpg').astype(int) - solid).max() <= 4


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    # Corner colours of the upright picture: red, green / blue, white.
    upright = np.zeros((24, 32, 3), np.uint8)
    upright[:12, :16], upright[:12, 16:], upright[12:, :16], upright[12:, 16:] = \
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: np.rot90(upright, 2), 4: upright[::-1], 5: upright.swapaxes(0, 1),
        6: np.rot90(upright), 7: np.rot90(upright, 2).swapaxes(0, 1), 8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / 'turned.png', exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / 'turned.png'), upright)


def test_grey3_is_bt601_luma(tmp_path, picture):
    path = write_image(tmp_path / 'ir.png', picture)
    read = read_image(path, 'grey3')
    luma = picture @ np.array([0.299, 0.587, 0.114])
    assert (read == read[..., :1]).all() and np.abs(read[..., 0] - luma).max() <= 1
    with pytest.raises(ValueError, match='mode'):
        read_image(path, 'gray')


def test_result_is_writable_and_contiguous(tmp_path, picture):
    read = read_image(write_image(tmp_path / 'a.png', picture))
    assert read.flags.c_contiguous and read.flags.writeable
    np.testing.assert_array_equal(read, picture)


def test_writing_is_atomic_and_png_by_default(tmp_path, picture, monkeypatch):
    path = write_image(tmp_path / 'new' / 'out', picture)
    assert path.name == 'out.png' and path.stat().st_mode & 0o044 == 0o044 & ~_umask()
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(DataError, match='No space left'):
        write_image(path, picture[::-1])
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ['out.png']


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize('array', [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_writing_refuses_what_is_no_picture(tmp_path, array):
    with pytest.raises(DataError, match='uint8'):
        write_image(tmp_path / 'a.png', array)


def test_encoding_refuses_unknown_endings(picture):
    with pytest.raises(DataError, match=r"'\.xyz'"):
        encode_image(picture, '.xyz')
