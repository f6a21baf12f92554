"""Pictures of too many pixels are refused in one line with their size and the option, before they are decoded."""

from __future__ import annotations

import numpy as np
import pytest
from hostile_files import assert_one_line, mmweather, peak_of, picture, png_bomb
from PIL import Image, ImageFile

from mmweather.errors import ConfigError, DataError
from mmweather.utils.images import image_size, open_picture, read_image
from mmweather.utils.pixels import MAX_PIXELS, check_pixels, limit_pixels, parse_pixels, pixel_limit


@pytest.fixture(scope='module')
def bomb(tmp_path_factory):
    """169 megapixels in less than 200 KB."""
    path = png_bomb(tmp_path_factory.mktemp('bomb') / 'bomb.png')
    assert path.stat().st_size < 200_000
    return path


def test_a_bomb_is_one_line_that_names_size_and_option(bomb):
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r'13000x13000 = 169 megapixels.*limit of 128.*--max-pixels 169000000'):
            read(bomb)


def test_beyond_pillows_own_limit_the_size_is_named_too(tmp_path):
    path = png_bomb(tmp_path / 'large.png', 15000)
    with pytest.raises(DataError, match=r'15000x15000 = 225 megapixels.*--max-pixels 225000000'):
        read_image(path)
    with limit_pixels(None):
        assert image_size(path) == (15000, 15000)
    with limit_pixels(225_000_000), open_picture(path) as image:
        assert image.size == (15000, 15000) and Image.MAX_IMAGE_PIXELS is None
    assert Image.MAX_IMAGE_PIXELS is not None


def test_commands_refuse_a_bomb_in_little_memory(bomb, tmp_path):
    plain = mmweather('synth', 'fog', picture(tmp_path / 'small.png'), tmp_path / 'small', '--jobs', 1)
    done = mmweather('synth', 'fog', bomb, tmp_path / 'out', '--jobs', 1)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert '169 megapixels' in done.stderr and '--max-pixels' in done.stderr
    # Decoding alone would take 680 MB more than a small picture does.
    assert peak_of(done) < peak_of(plain) + 100e6


def test_the_option_sets_the_limit_also_for_started_processes(tmp_path):
    for index in range(2):
        picture(tmp_path / f'in/{index}.png', (40, 30), index)
    done = mmweather('synth', 'fog', tmp_path / 'in', tmp_path / 'low', '--max-pixels', 1000, '--jobs', 2, memory=20e9)
    assert done.returncode == 1 and done.stderr.count('40x30 = 0.0012 megapixels') == 2
    done = mmweather('synth', 'fog', tmp_path / 'in', tmp_path / 'high', '--max-pixels', '1.2e3', '--jobs', 1,
                     MMWEATHER_MAX_PIXELS='10')
    assert done.returncode == 0 and '2 made' in done.stdout
    done = mmweather('synth', 'fog', tmp_path / 'in', tmp_path / 'low', '--jobs', 1, MMWEATHER_MAX_PIXELS='many')
    assert_one_line(done, 'MMWEATHER_MAX_PIXELS', 'many')


@pytest.mark.parametrize('command', ['restore', 'detect', 'segment', 'synth', 'check', 'prepare voc-fog',
                                     'prepare rice', 'prepare dusty'])
def test_the_commands_have_the_option(command, capsys):
    from mmweather.cli import main
    with pytest.raises(SystemExit):
        main([*command.split(), '--help'])
    assert '--max-pixels' in capsys.readouterr().out


def test_the_limit_in_python(monkeypatch):
    monkeypatch.delenv('MMWEATHER_MAX_PIXELS', raising=False)
    assert pixel_limit() == MAX_PIXELS
    with limit_pixels(100):
        with limit_pixels(None):
            check_pixels('x', 10**6, 10**6)
        check_pixels('x', 10, 10)
        with pytest.raises(DataError, match='101x1'):
            check_pixels('x', 101, 1)
    assert pixel_limit() == MAX_PIXELS and parse_pixels('none') is None and parse_pixels('2e8') == 200_000_000
    for text in ('0', '-3', 'nan', 'inf', '', 'x'):
        with pytest.raises(ValueError):
            parse_pixels(text)
    monkeypatch.setenv('MMWEATHER_MAX_PIXELS', 'x')
    with pytest.raises(ConfigError):
        pixel_limit()


def test_rasters_have_the_limit_too(tmp_path):
    pytest.importorskip('rasterio')
    from mmweather.utils.rasters import read_raster, write_geotiff
    path = write_geotiff(tmp_path / 'a.tif', np.zeros((20, 30, 2), np.float32), None, (1, 0, 0, 0, -1, 0))
    assert read_raster(path).pixels.shape == (20, 30, 2)
    with limit_pixels(599), pytest.raises(DataError, match='raster .*30x20'):
        read_raster(path)


def test_truncated_pictures_are_refused_whatever_others_have_set(tmp_path, monkeypatch):
    from mmweather.datasets.tools.fog_set import read_depth
    from mmweather.utils.thermal import read_thermal
    rng = np.random.default_rng(0)
    path = tmp_path / 'cut.png'
    Image.fromarray(rng.integers(0, 2**16, (200, 200), np.uint16)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    readers = [read_image, read_thermal, read_depth]
    try:
        import mmseg  # noqa: F401

        from mmweather.datasets.transforms.rgb_thermal import LoadLabelMap
        readers.append(lambda file: LoadLabelMap().transform({'seg_map_path': str(file)}))
    except ImportError:
        pass
    for flag in (True, False):
        monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', flag)
        for read in readers:
            with pytest.raises(DataError, match='cut.png'):
                read(path)
        assert ImageFile.LOAD_TRUNCATED_IMAGES is flag


def test_threads_share_the_guard(tmp_path, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    whole = picture(tmp_path / 'whole.png', (300, 300))
    cut = tmp_path / 'cut.png'
    cut.write_bytes(whole.read_bytes()[:150_000])

    def refused(path):
        try:
            read_image(path)
        except DataError:
            return True
        return False

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(refused, [whole, cut] * 40)) == [False, True] * 40
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True and Image.MAX_IMAGE_PIXELS is not None
