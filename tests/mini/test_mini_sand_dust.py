"""The mini sand-dust set: layout, reproducibility, and dust that hides but does not bury."""

from __future__ import annotations

import numpy as np
import pytest

from mmweather.mini.sets.sand_dust import dusty_photo, jet_depth, relative_depth
from mmweather.mini.write import make_mini
from mmweather.weather.dust import decode_depth


def test_depth_survives_its_picture():
    metres = np.geomspace(1, 1000, 400).reshape(20, 20)
    depth = relative_depth(metres)
    assert depth.max() == 1 and (np.diff(depth.ravel()) >= 0).all()
    near = (depth - depth.min()) / (1 - depth.min())
    assert np.abs(decode_depth(jet_depth(depth)) - near).max() < 0.01


@pytest.mark.slow
def test_layout_and_bytes(tmp_path):
    options = dict(train=1, test=1, size=(64, 80), only=['sand-dust'], progress=False)
    roots = [make_mini(tmp_path / name, seed=3, **options) for name in ('one', 'two')]
    found = [{path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.suffix in
              ('.png', '.jpg')} for root in roots]
    assert found[0] == found[1]
    assert sorted(found[0]) == ['sand_dust/reference/000.png', 'sand_dust/test/000.jpg',
                                'sand_dust/train/clean/000.png', 'sand_dust/train/dust/000.jpg']


def test_dust_is_warm_and_pale_and_the_street_is_still_there():
    photos = [dusty_photo(0, 'train', index, (64, 80)) for index in range(4)]
    sizes = {photo['dust'].shape for photo in photos}
    assert len(sizes) > 1
    for photo in photos:
        dust, street = (photo[name].astype(float) for name in ('dust', 'reference'))
        assert dust[..., 0].mean() > dust[..., 1].mean() > dust[..., 2].mean()
        assert dust.std((0, 1)).mean() < 0.6 * street.std((0, 1)).mean()
        assert np.corrcoef(dust.mean(-1).ravel(), street.mean(-1).ravel())[0, 1] > 0.15
