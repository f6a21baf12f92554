"""AddFog and its kin: arguments, seeds, colour orders, and inside the stock pipelines of mmdet, mmseg and mmagic."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

from mmweather.errors import ConfigError, DataError
from mmweather.registry import TRANSFORMS
from mmweather.weather import WEATHERS, apply_weather

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
NAMES = {weather: f'mmweather.Add{weather.capitalize()}' for weather in WEATHERS}


def step(weather: str, **options):
    return TRANSFORMS.build(dict(type=NAMES[weather], **options))


def run(weather: str, image: np.ndarray = PICTURE, more: dict | None = None, **options) -> dict:
    return step(weather, **options).transform({'img': image, **(more or {})})


@pytest.mark.parametrize('weather', WEATHERS)
def test_blue_first_red_first_and_floats_get_the_same_weather(weather):
    wanted = apply_weather(PICTURE, weather, 4, 9)
    assert np.array_equal(run(weather, severity=4, seed=9, color_order='rgb')['img'], wanted)
    blue_first = np.ascontiguousarray(PICTURE[..., ::-1])
    out = run(weather, blue_first, severity=4, seed=9)['img']
    assert np.array_equal(out[..., ::-1], wanted) and out.flags.c_contiguous and out.dtype == np.uint8
    floating = run(weather, blue_first.astype(np.float32), severity=4, seed=9)['img']
    assert floating.dtype == np.float32 and np.abs(floating[..., ::-1] - wanted).max() < 0.51


@pytest.mark.parametrize('weather', WEATHERS)
def test_numpys_global_state_decides_without_a_seed(weather):
    found = []
    for state in (1, 1, 2):
        np.random.seed(state)
        found.append(run(weather, severity=(1, 5))['img'])
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
    # With a seed the global state is neither used nor moved.
    np.random.seed(5)
    first = run(weather, severity=(1, 5), seed=3)['img']
    assert np.random.uniform() == np.random.RandomState(5).uniform()
    assert np.array_equal(run(weather, severity=(1, 5), seed=3)['img'], first)


def test_every_severity_of_the_range_is_drawn_and_prob_holds():
    levels = [[float(np.mean(apply_weather(image, 'fog', k, 0))) for k in range(1, 6)] for image in pictures(200)]
    found = [int(np.argmin(np.abs(np.array(row) - run('fog', image, severity=(2, 4), seed=0, color_order='rgb')['img']
                                  .mean()))) + 1 for image, row in zip(pictures(200), levels, strict=True)]
    counts = np.bincount(found, minlength=6)
    assert counts[[0, 1, 5]].sum() == 0 and (counts[2:5] > 40).all()
    np.random.seed(0)
    kept = sum(np.array_equal(run('fog', severity=5, prob=0.25)['img'], PICTURE) for _ in range(300))
    assert 200 < kept < 250
    assert np.array_equal(run('fog', severity=5, prob=0, seed=1)['img'], PICTURE)
    seeded = [np.array_equal(run('fog', image, severity=5, prob=0.5, seed=1)['img'], image) for image in pictures(100)]
    assert 25 < sum(seeded) < 75


def pictures(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 80, (count, 6, 8, 3), dtype=np.uint8))


def test_other_channels_stay_and_copies_are_kept():
    thermal = np.dstack((PICTURE.astype(np.float32), np.full((24, 36), 21000, np.float32)))
    out = run('night', thermal, severity=3, seed=0, color_order='rgb')['img']
    assert np.array_equal(out[..., 3], thermal[..., 3]) and out[..., :3].mean() < 0.5 * PICTURE.mean()
    kept = run('fog', severity=3, clean_key='clean_img')
    assert kept['clean_img'] is PICTURE and not np.array_equal(kept['img'], PICTURE)
    untouched = run('fog', severity=3, prob=0, clean_key='clean_img')
    assert np.array_equal(untouched['img'], PICTURE) and not np.shares_memory(untouched['img'], untouched['clean_img'])
    target = 255 - PICTURE
    made = run('rain', more={'gt': target}, severity=5, seed=0, source='gt', color_order='rgb')
    assert np.array_equal(made['img'], apply_weather(target, 'rain', 5, 0)) and made['gt'] is target
    depth = np.linspace(0, 300, 24 * 36).reshape(24, 36)
    near = run('fog', more={'depth': depth}, severity=3, seed=0, depth_key='depth', color_order='rgb')['img']
    assert np.array_equal(near, apply_weather(PICTURE, 'fog', 3, 0, depth))


@pytest.mark.parametrize('options, shown', [
    (dict(severity=0), 'severity must be a whole number from 1 to 5'), (dict(severity=(3, 2)), 'severity must be'),
    (dict(severity=(1, 2, 3)), 'severity must be'), (dict(severity=True), 'severity must be'),
    (dict(prob=1.5), 'prob must lie in'), (dict(seed=-1), 'seed must be None'), (dict(color_order='gbr'), "or 'rgb'"),
])
def test_wrong_arguments_are_one_line(options, shown):
    with pytest.raises(ConfigError, match=shown):
        step('fog', **options)


def test_images_that_cannot_take_weather_are_one_line():
    for image in (PICTURE[..., 0], [PICTURE], PICTURE[..., :2]):
        with pytest.raises(DataError, match='must be one colour image'):
            run('fog', image)
    for image in (PICTURE / 64 - 2, PICTURE.astype(np.int64), np.full((4, 4, 3), np.nan)):
        with pytest.raises(DataError, match='before normalisation'):
            run('fog', image)
    with pytest.raises(ConfigError, match="no 'img'; put AddFog behind the step that loads it"):
        step('fog').transform({})
    with pytest.raises(ConfigError, match="no 'depth'"):
        run('fog', depth_key='depth')
    with pytest.raises(DataError, match='put it where both have one size'):
        run('fog', more={'gt': PICTURE[1:]}, source='gt')


def test_dust_has_both_meanings():
    sample = {'gt': PICTURE, 'depth': np.zeros(PICTURE.shape[:2])}
    np.random.seed(0)
    trained = step('dust').transform(dict(sample))
    assert set(trained) == {'gt', 'depth', 'img'} and not np.array_equal(trained['img'], PICTURE)
    assert 'haze=0.3' in repr(step('dust')) and 'severity=(2, 2)' in repr(step('dust', severity=2))
    with pytest.raises(ConfigError, match='seed, prob go with severity'):
        step('dust', seed=1, prob=0.5)
    with pytest.raises(ConfigError, match='or give severity to add dust to any image'):
        run('dust')


# Stock pipelines ----------------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / 'images' / '0.png'
    path.parent.mkdir()
    Image.fromarray(PICTURE).save(path)
    return path


@pytest.mark.parametrize('weather', WEATHERS)
def test_in_a_stock_mmdet_data_set(weather, photo):
    pytest.importorskip('mmdet')
    (photo.parents[1] / 'boxes.json').write_text(json.dumps(dict(
        images=[dict(id=0, file_name='0.png', height=24, width=36)], categories=[dict(id=1, name='box')],
        annotations=[dict(id=1, image_id=0, category_id=1, bbox=[4, 5, 12, 9], area=108, iscrowd=0)])))
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
             dict(type=NAMES[weather], severity=5, seed=2), dict(type='Resize', scale=(72, 48), keep_ratio=True),
             dict(type='RandomFlip', prob=1.0), dict(type='PackDetInputs')]
    data = dict(type='CocoDataset', data_root=str(photo.parents[1]), ann_file='boxes.json',
                data_prefix=dict(img='images'), metainfo=dict(classes=('box', )))
    with DefaultScope.overwrite_default_scope('mmdet'):
        with_weather, without = (ROOT_DATASETS.build(copy.deepcopy(dict(data, pipeline=pipeline)))[0]
                                 for pipeline in (steps, [*steps[:2], *steps[3:]]))
        # On disk already as `mmweather synth` would write it.
        Image.fromarray(apply_weather(PICTURE, weather, 5, 2)).save(photo)
        on_disk = ROOT_DATASETS.build(copy.deepcopy(dict(data, pipeline=[*steps[:2], *steps[3:]])))[0]
    assert with_weather['inputs'].equal(on_disk['inputs']) and not with_weather['inputs'].equal(without['inputs'])
    one, other = (sample['data_samples'] for sample in (with_weather, without))
    assert one.gt_instances.bboxes.tensor.equal(other.gt_instances.bboxes.tensor)
    assert one.gt_instances.labels.equal(other.gt_instances.labels)
    assert {key: one.get(key) for key in one.metainfo_keys()} == {key: other.get(key) for key in other.metainfo_keys()}


@pytest.mark.parametrize('weather', WEATHERS)
def test_in_a_stock_mmseg_pipeline(weather, photo, tmp_path):
    pytest.importorskip('mmseg')
    import mmseg.datasets  # noqa: F401
    labels = (PICTURE[..., 0] > 127).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / 'labels.png')
    steps = [dict(type='LoadImageFromFile', to_float32=True), dict(type='LoadAnnotations'),
             dict(type=NAMES[weather], severity=(2, 4)), dict(type='PhotoMetricDistortion'),
             dict(type='PackSegInputs')]
    sample = dict(img_path=str(photo), seg_map_path=str(tmp_path / 'labels.png'), reduce_zero_label=False,
                  seg_fields=[])
    with DefaultScope.overwrite_default_scope('mmseg'):
        pipeline = Compose(steps)
        found = []
        for state in (0, 0):
            np.random.seed(state)
            found.append(pipeline(copy.deepcopy(sample)))
    assert np.array_equal(found[0]['data_samples'].gt_sem_seg.data[0].numpy(), labels)
    assert found[0]['inputs'].equal(found[1]['inputs'])
    assert abs(found[0]['inputs'].float().mean() - PICTURE.mean()) > 1


def test_in_a_stock_mmagic_pipeline(photo):
    pytest.importorskip('mmagic')
    import mmagic.datasets.transforms  # noqa: F401
    steps = [dict(type='LoadImageFromFile', key='gt', channel_order='rgb'),
             dict(type='mmweather.AddRain', severity=5, seed=1, source='gt', color_order='rgb'),
             dict(type='PackInputs')]
    with DefaultScope.overwrite_default_scope('mmagic'):
        packed = Compose(steps)(dict(gt_path=str(photo)))
    wanted = apply_weather(PICTURE, 'rain', 5, 1)
    assert np.array_equal(packed['inputs'].permute(1, 2, 0).numpy(), wanted)
    assert np.array_equal(packed['data_samples'].gt_img.permute(1, 2, 0).numpy(), PICTURE)
