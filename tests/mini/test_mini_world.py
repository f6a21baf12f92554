"""Scenes agree with themselves; the mini set is reproducible, resumable and hard enough."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmweather.cli import main
from mmweather.datasets.roadscene_rain import RoadSceneRain
from mmweather.errors import DataError
from mmweather.mini.scene import BOX_CLASSES, FAR, LABELS, draw_scene
from mmweather.mini.write import make_mini, rainy_street
from mmweather.utils.images import read_image


def files(root) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob('*.jpg'))}


@pytest.mark.parametrize('night', [False, True])
def test_scene_planes_agree(night):
    scenes = [draw_scene(97, 131, np.random.default_rng(seed), night) for seed in range(3)]
    for scene in scenes:
        assert scene.visible.shape == (97, 131, 3) and scene.visible.dtype == np.float32
        for plane in (scene.depth, scene.thermal, scene.labels):
            assert plane.shape == (97, 131)
        assert scene.visible.min() >= 0 and scene.visible.max() <= 1
        assert scene.thermal.min() >= 0 and scene.thermal.max() <= 1
        sky = scene.labels == LABELS.index('sky')
        assert (scene.depth[sky] == FAR).mean() > 0.98 and scene.depth[~sky].max() < FAR and scene.depth.min() > 0.5
        road = scene.labels == LABELS.index('road')
        rows = np.nonzero(road.any(1))[0]
        assert scene.depth[rows[0]][road[rows[0]]].mean() > scene.depth[rows[-1]][road[rows[-1]]].mean()
        # A plain wash of colour is no street.
        assert np.abs(np.diff(scene.visible.mean(-1), axis=1)).mean() > 0.008
        assert len(scene.boxes) == len(scene.box_labels)
        for (x1, y1, x2, y2), label in zip(scene.boxes.astype(int), scene.box_labels, strict=True):
            assert 0 <= x1 < x2 <= 131 and 0 <= y1 < y2 <= 97
            assert (scene.labels[y1:y2, x1:x2] == LABELS.index(BOX_CLASSES[label])).mean() > 0.1
    people = np.concatenate([s.thermal[s.labels == LABELS.index('person')] for s in scenes])
    assert sum(len(s.boxes) for s in scenes) > 3
    if len(people):
        assert people.mean() > np.concatenate([s.thermal.ravel() for s in scenes]).mean() + 0.15


def test_night_is_darker_than_day_but_equally_warm():
    day, night = (draw_scene(97, 131, np.random.default_rng(5), night) for night in (False, True))
    assert night.visible.mean() < 0.75 * day.visible.mean()
    assert abs(night.thermal.mean() - day.thermal.mean()) < 0.15


def test_infrared_is_no_copy_of_the_visible_picture():
    for seed in range(3):
        scene = draw_scene(97, 131, np.random.default_rng(seed))
        assert abs(np.corrcoef(scene.visible.mean(-1).ravel(), scene.thermal.ravel())[0, 1]) < 0.9


def test_too_small_a_scene_is_refused():
    with pytest.raises(ValueError, match='32x32'):
        draw_scene(31, 64, np.random.default_rng(0))


def test_rainy_input_lies_in_the_band_of_the_real_set():
    scores, sizes = [], set()
    for index in range(4):
        triple = rainy_street(0, 'train', index, (160, 224))
        error = np.mean((triple['Vis/input'].astype(float) - triple['Vis/target'])**2)
        scores.append(10 * np.log10(255**2 / error))
        height, width = triple['Inf/input'].shape
        assert triple['Vis/target'].shape == (height, width, 3) and height % 2 and width % 2
        sizes.add((height, width))
    assert min(scores) > 20 and max(scores) < 31 and 24 < np.mean(scores) < 29
    assert len(sizes) > 1


def test_same_seed_same_bytes_any_process_count_and_resume(tmp_path):
    options = dict(train=2, test=1, size=(64, 80), only=['roadscene-rain'], progress=False)
    one = make_mini(tmp_path / 'one', seed=7, **options)
    want = files(one)
    assert len(want) == 9
    assert files(make_mini(tmp_path / 'two', seed=7, workers=2, **options)) == want
    other = files(make_mini(tmp_path / 'three', seed=8, **options))
    assert other.keys() == want.keys() and all(other[name] != want[name] for name in want)
    # Interrupted: one triple is incomplete, the rest is left alone.
    (one / 'roadscene_rain/train/Vis/target/001.jpg').unlink()
    kept = one / 'roadscene_rain/train/Vis/target/000.jpg'
    stamp = kept.stat().st_mtime_ns
    make_mini(one, seed=7, **options)
    assert files(one) == want and kept.stat().st_mtime_ns == stamp
    manifest = json.loads((one / 'manifest.json').read_text())
    assert manifest['complete'] and manifest['seed'] == 7 and manifest['sets'] == ['roadscene-rain']
    with pytest.raises(DataError, match='seed 7 instead of 9'):
        make_mini(one, seed=9, **options)


def test_the_command_and_the_real_class_reads_it(tmp_path, capsys):
    words = ['prepare', 'mini', str(tmp_path / 'mini'), '--train', '2', '--test', '1', '--size', '64', '80',
             '--workers', '1', '--only', 'roadscene-rain']
    assert main(words) == 0 and 'written' in capsys.readouterr().out
    root = str(tmp_path / 'mini/roadscene_rain')
    step = dict(type='mmweather.LoadImages', keys=('img', 'gt', 'ir'))
    dataset = RoadSceneRain(root, pipeline=[step])
    assert len(dataset) == 2 and len(RoadSceneRain(root, 'test')) == 1
    sample = dataset[1]
    np.testing.assert_array_equal(sample['gt'], read_image(tmp_path / 'mini/roadscene_rain/train/Vis/target/001.jpg'))
    assert (sample['ir'] == sample['ir'][..., :1]).all()


def test_foreign_folders_and_wrong_arguments_are_refused(tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.txt').write_text('precious')
    with pytest.raises(DataError, match='not an empty folder'):
        make_mini(tmp_path / 'mine')
    assert [path.name for path in (tmp_path / 'mine').iterdir()] == ['thesis.txt']
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='not an empty folder'):
        make_mini(tmp_path / 'file')
    with pytest.raises(DataError, match='no mini set named moon'):
        make_mini(tmp_path / 'new', only=['moon'])
    for wrong in (dict(seed=-1), dict(train=0), dict(size=(32, 200))):
        with pytest.raises(DataError, match='at least'):
            make_mini(tmp_path / 'new', **wrong)
    (tmp_path / 'odd').mkdir()
    (tmp_path / 'odd/manifest.json').write_text('{')
    with pytest.raises(DataError, match='manifest'):
        make_mini(tmp_path / 'odd')
