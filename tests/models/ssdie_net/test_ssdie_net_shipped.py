"""The shipped weights take the dust off a drawn photo and leave no grid; the measuring tool agrees with arithmetic."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmweather import get_model, restore_image
from mmweather.evaluation.functional.colour import colour_cast
from mmweather.evaluation.functional.grid import grid_energy
from mmweather.utils.images import write_image
from mmweather.weather.dust import DustAir, add_dust

ROOT = Path(__file__).parents[3]
DUSTY = ROOT.parent / 'shared/data/dusty'


def tool():
    spec = importlib.util.spec_from_file_location('quality_dust', ROOT / 'tools/quality/dust.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(height: int = 240, width: int = 320) -> np.ndarray:
    """Houses of random greys and colours under a sky; uint8 RGB."""
    rng = np.random.default_rng(3)
    image = np.full((height, width, 3), (170, 190, 215), np.uint8)
    image[height // 2:] = (110, 108, 104)
    for _ in range(30):
        x, y = int(rng.integers(0, width - 20)), int(rng.integers(height // 4, height - 20))
        colour = tuple(int(v) for v in np.clip(rng.integers(30, 220) + rng.integers(-40, 40, 3), 0, 255))
        cv2.rectangle(image, (x, y), (x + int(rng.integers(8, 50)), y + int(rng.integers(8, 60))), colour, -1)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize('air', [DustAir(0.9, (0.9, 0.55, 0.15), (1, 0.8, 0.5), 0.3),
                                 DustAir(1.2, (0.75, 0.62, 0.4), (1, 0.95, 0.8), 0.4)])
def test_the_shipped_weights_remove_a_drawn_storm_without_a_grid(air):
    clean = drawn()
    depth = np.repeat(np.linspace(1, 0, len(clean))[:, None], clean.shape[1], 1)
    dusty = add_dust(clean, depth, air)
    result = restore_image(get_model('ssdie-net', 'shipped'), dusty)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float) for image in (dusty, result)]
    assert colour_cast(result) < 0.35 * colour_cast(dusty)
    assert grid_energy(grey[1]) < 1.5 * grid_energy(grey[0])
    assert grey[1].std() > grey[0].std() and (grey[1] < 8).mean() < (grey[0] < 8).mean() + 0.02
    error = [np.abs(image.astype(float) - clean).mean() for image in (dusty, result)]
    assert error[1] < 0.7 * error[0]


def test_the_photo_with_the_seam_has_none():
    path = DUSTY / '88.jpg'
    if not path.is_file():
        pytest.skip('no folder shared/data/dusty beside the checkout')
    from mmweather.utils.images import read_image
    model, photo = get_model('ssdie-net', 'shipped'), read_image(path)
    whole = restore_image(model, photo, tile=None).astype(int)
    assert np.abs(restore_image(model, photo, tile=640).astype(int) - whole).max() <= 1


def test_a_grid_is_seen_and_a_photo_has_none():
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(128, 40, (160, 200)), (0, 0), 1.0)
    assert grid_energy(noise) < 1.6
    for period in (2, 4):
        marked = noise + 3 * (np.arange(200) % period == 0)
        assert grid_energy(marked) > 3


def test_the_tool_measures_a_folder(tmp_path, capsys):
    measuring = tool()
    flat = np.full((64, 64, 3), (200, 120, 40), np.uint8)
    balanced = measuring.grey_world(flat)
    assert np.ptp(balanced.reshape(-1, 3).mean(0)) <= 1
    assert measuring.figures(np.zeros((64, 64, 3), np.uint8))[2] == 100
    table = measuring.measure([write_image(tmp_path / 'in/a.png', drawn(64, 96))], {
        'input': lambda image: image, 'half': lambda image: image // 2}, tmp_path / 'out')
    assert table['half'][0, 4] == pytest.approx(table['input'][0, 4] / 2, rel=0.05)
    assert cv2.imread(str(tmp_path / 'out/a.jpg')).shape == (64, 192, 3)
    (tmp_path / 'list.txt').write_text('b\n')
    with pytest.raises(SystemExit):
        measuring.main([str(tmp_path / 'in'), '--list', str(tmp_path / 'list.txt')])
    assert "no photo 'b'" in capsys.readouterr().err
