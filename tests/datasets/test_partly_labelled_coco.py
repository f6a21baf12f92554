"""COCO files whose images are labelled for some classes only, depth maps, and fog added to them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmcv.transforms import Compose
from PIL import Image

pytest.importorskip('mmdet', reason='the data set is one of mmdet')

from mmengine.registry import DefaultScope  # noqa: E402

from mmweather.errors import ConfigError, DataError  # noqa: E402
from mmweather.registry import DATASETS, TRANSFORMS  # noqa: E402

CLASSES = ('person', 'car', 'bus')


@pytest.fixture
def root(tmp_path):
    """Three photos with depth; the categories of the file stand in another order and have one of their own."""
    rng = np.random.default_rng(0)
    for folder in ('images', 'depth'):
        (tmp_path / folder).mkdir()
    for stem in 'abc':
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / 'images' / f'{stem}.png')
        Image.fromarray(np.tile(np.linspace(5, 250, 16).astype(np.uint8), (12, 1))).save(
            tmp_path / 'depth' / f'{stem}.png')
    notes = [dict(id=1, image_id=1, category_id=7, bbox=[2, 3, 20, 30]), dict(id=2, image_id=2, category_id=9,
             bbox=[5, 5, 30, 30]), dict(id=3, image_id=2, category_id=8, bbox=[1, 1, 10, 10])]
    for note in notes:
        note.update(area=note['bbox'][2] * note['bbox'][3], iscrowd=0)
    (tmp_path / 'set.json').write_text(json.dumps(dict(
        images=[dict(id=i, file_name=f'{stem}.png', height=48, width=64) for i, stem in enumerate('abc', 1)],
        annotations=notes,
        categories=[dict(id=7, name='bus'), dict(id=8, name='car'), dict(id=9, name='ambulance')])))
    return tmp_path


def load(root, **options):
    options = {'ann_file': 'set.json', 'data_prefix': dict(img='images', depth='depth'), **options}
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(dict(type='mmweather.PartlyLabelledCoco', data_root=str(root),
                                   metainfo=dict(classes=CLASSES), **options))


def test_labels_follow_our_classes_and_missing_ones_are_named(root):
    found = [load(root, unlabelled_classes=('person', )).get_data_info(i) for i in range(3)]
    assert [[one['bbox_label'] for one in item['instances']] for item in found] == [[2], [1], []]
    assert [item['unlabelled_labels'] for item in found] == [(0, )] * 3
    assert found[0]['depth_path'].endswith('depth/a.png')


def test_an_image_with_a_doubtful_object_counts_as_unlabelled(root):
    found = [load(root, doubtful_classes=('ambulance', )).get_data_info(i) for i in range(3)]
    assert [item['unlabelled_labels'] for item in found] == [(), (0, 1, 2), ()]
    assert found[1]['instances'] == []


def test_a_bare_folder_has_no_labels(root):
    data = load(root, ann_file='')
    assert len(data) == 3 and data.get_data_info(1)['unlabelled_labels'] == (0, 1, 2)


def test_mistakes_are_told(root):
    with pytest.raises(ConfigError, match="unlabelled_classes names 'tram'"):
        load(root, unlabelled_classes='tram')
    (root / 'depth' / 'b.png').unlink()
    with pytest.raises(DataError, match=r"b.png' has no depth map in '.*depth'"):
        load(root)
    with pytest.raises(DataError, match="none.json': not found"):
        load(root, ann_file='none.json')


def test_the_training_pipeline_keeps_all_three_pictures_and_the_meta_information(root):
    keys = ('clean_img', 'raw_img')
    steps = Compose([TRANSFORMS.build(step) for step in (
        dict(type='mmweather.LoadDetImage'), dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmweather.AddPhotoFog', depth_scale=0.4, clean_key='clean_img', seed=1),
        dict(type='mmweather.LocalContrast', keep='raw_img'),
        dict(type='mmweather.PublishedFogAugment', size=64, keys=keys, hsv=None),
        dict(type='mmweather.PackPairedDetInputs', keys=keys))])
    packed = steps(load(root, unlabelled_classes=('person', )).get_data_info(0))
    sample = packed['data_samples']
    assert sample.unlabelled_labels == (0, )
    pictures = [packed['inputs'].float(), sample.clean_img.float(), sample.raw_img.float()]
    assert all(picture.shape == (3, 64, 64) for picture in pictures)
    inside = pictures[1].ne(128).any(0)
    spread = [float(picture[:, inside].std()) for picture in pictures]
    assert spread[2] < spread[0] < spread[1], 'fog takes contrast, the step gives some back'


def test_fog_is_denser_where_it_is_farther_and_the_same_for_one_seed(root):
    image = np.full((48, 64, 3), 20, np.uint8)
    step = dict(type='mmweather.AddPhotoFog', depth_scale=0.4, seed=3, fog=dict(
        visibility=(60, 60), airlight=(0.9, 0.9), tint=0, banks=0, noise=0, blur=0, dim=1.0))
    sample = dict(img=image, depth_path=str(root / 'depth' / 'a.png'))
    one, two = (TRANSFORMS.build(step).transform(dict(sample))['img'] for _ in range(2))
    assert np.array_equal(one, two)
    assert one[:, -4:].mean() > one[:, :4].mean() + 60
    plain = TRANSFORMS.build({**step, 'prob': 0.0}).transform(dict(sample, img=image))['img']
    assert np.array_equal(plain, image)
    with pytest.raises(DataError, match='has no depth map'):
        TRANSFORMS.build(step).transform(dict(img=image))
    with pytest.raises(ConfigError, match='fog has a wrong key'):
        TRANSFORMS.build(dict(type='mmweather.AddPhotoFog', fog=dict(visibilty=(1, 2))))
