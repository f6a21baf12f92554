"""Drawn frames in the layout of Freiburg Thermal: reproducible, resumable, readable by the real data set class."""

from __future__ import annotations

import numpy as np

from mmweather.datasets.freiburg_thermal import FreiburgThermal
from mmweather.datasets.transforms.rgb_thermal import LoadLabelMap, LoadRGBThermal
from mmweather.mini.sets.freiburg import frame
from mmweather.mini.write import make_mini

OPTIONS = dict(train=3, test=1, size=(64, 80), only=['freiburg-thermal'], progress=False)


def files(root) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*')
            if path.suffix in ('.png', '.npy')}


def test_the_real_class_reads_it_and_an_interrupted_run_goes_on(tmp_path):
    root = make_mini(tmp_path / 'mini', **OPTIONS)
    want = files(root)
    # Day frames 0 and 2 with labels, night frame 1 without, one test frame of each domain.
    assert len(want) == 2 * 3 + 2 + 2 * 3
    next(root.rglob('fl_ir_aligned_*.png')).unlink()
    make_mini(root, **OPTIONS)
    assert files(root) == want
    train = FreiburgThermal(str(root / 'freiburg_thermal'))
    assert [train.get_data_info(i)['domain'] for i in range(len(train))] == ['day', 'day', 'night']
    test = FreiburgThermal(str(root / 'freiburg_thermal'), split='test', test_mode=True)
    for dataset in (train, test):
        for i in range(len(dataset)):
            sample = LoadLabelMap()(LoadRGBThermal(depth=16)(dataset.get_data_info(i)))
            assert sample['img'].shape == (64, 80, 4)
            assert ('gt_seg_map' in sample) == (dataset is test or sample['domain'] == 'day')


def test_counts_cover_the_range_and_the_rim_is_unseen():
    day, again, night = (frame(3, 'train', index, (64, 80)) for index in (0, 0, 1))
    assert all(np.array_equal(day[key], again[key]) for key in day)
    assert day['thermal'].dtype == np.uint16 and (day['thermal'][:, [0, -1]] == 0).all()
    inner = day['thermal'][:, 2:-2]
    assert inner.min() > 20500 and inner.max() < 26000 and np.ptp(inner.astype(int)) > 3000
    assert night['rgb'].mean() < day['rgb'].mean()
    assert set(np.unique(day['label'])) <= set(range(13))
