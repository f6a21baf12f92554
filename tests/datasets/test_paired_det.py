"""Foggy image, clean image and boxes through mmdet's transforms, packing and preprocessing."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('mmdet', reason='mmdet is not installed')

from mmcv.transforms import BaseTransform  # noqa: E402
from mmdet.structures.bbox import HorizontalBoxes  # noqa: E402
from mmengine.dataset import BaseDataset, pseudo_collate  # noqa: E402
from mmengine.logging import MessageHub  # noqa: E402

from mmweather.errors import ConfigError, DataError  # noqa: E402
from mmweather.registry import DATASETS, MODELS, TRANSFORMS  # noqa: E402
from mmweather.utils.images import write_image  # noqa: E402

GOLDEN = Path(__file__).parents[1] / 'parity' / 'vectors' / 'togethernet' / 'golden_pipeline.npz'


def build(**config):
    return TRANSFORMS.build(config)


def sample(seed: int = 0, size: tuple[int, int] = (60, 80), boxes=((10, 12, 40, 50), (30, 5, 79, 44)), **more) -> dict:
    """A sample whose clean image is a known function of the foggy one: 255 minus it."""
    image = np.random.default_rng(seed).integers(0, 256, (size[0] // 4 + 1, size[1] // 4 + 1, 3), dtype=np.uint8)
    image = np.ascontiguousarray(image.repeat(4, 0).repeat(4, 1)[:size[0], :size[1]])
    return {
        'img': image, 'clean_img': 255 - image, 'img_path': f'{seed}.png', 'img_shape': size, 'ori_shape': size,
        'gt_bboxes': HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        'gt_bboxes_labels': np.arange(len(boxes)), 'gt_ignore_flags': np.zeros(len(boxes), bool), **more,
    }


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


# Any transform of mmdet ---------------------------------------------------------------------------------------

GEOMETRY = [
    dict(type='mmdet.Resize', scale=(50, 70), keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.RandomCrop', crop_size=(0.6, 0.6), crop_type='relative'),
    dict(type='mmdet.MinIoURandomCrop'),
    dict(type='mmdet.Expand'),
    dict(type='mmdet.Pad', size=(96, 96), pad_val=dict(img=(0, 0, 0))),
    dict(type='mmdet.RandomAffine', border_val=(128, 128, 128)),
    dict(type='mmdet.YOLOXHSVRandomAug'),
    dict(type='mmdet.CutOut', n_holes=3, cutout_shape=(5, 5)),
]


@pytest.mark.parametrize('config', GEOMETRY, ids=lambda config: config['type'])
@pytest.mark.parametrize('seed', range(4))
def test_the_companion_becomes_what_the_transform_makes_of_it_alone(config, seed):
    """Run on both, and on each alone from one seed: equal pixels, equal boxes, and the generators go equally far."""
    both, one, other = (sample(seed) for _ in range(3))
    other['img'] = other['clean_img']
    seed_all(seed)
    moved = build(type='mmweather.PairedTransform', transform=config)(both)
    after = random.random(), np.random.random()
    alone = []
    for single in (one, other):
        seed_all(seed)
        alone.append(build(**config)(single))
        assert after == (random.random(), np.random.random())
    assert np.array_equal(moved['img'], alone[0]['img'])
    assert np.array_equal(moved['clean_img'], alone[1]['img'])
    assert torch.equal(moved['gt_bboxes'].tensor, alone[0]['gt_bboxes'].tensor)
    assert np.array_equal(moved['gt_bboxes_labels'], alone[0]['gt_bboxes_labels'])


def test_two_companions_and_one_that_is_absent():
    wrapped = build(type='mmweather.PairedTransform', transform=dict(type='mmdet.RandomFlip', prob=1.0),
                    keys=('clean_img', 'ir', 'other'))
    given = sample(ir=np.arange(60 * 80).reshape(60, 80).astype(np.float32))
    infrared, image = given['ir'].copy(), given['img'].copy()
    moved = wrapped(given)
    assert np.array_equal(moved['ir'], infrared[:, ::-1]) and np.array_equal(moved['img'], image[:, ::-1])
    assert np.array_equal(moved['clean_img'], 255 - moved['img']) and 'other' not in moved


class _Peeks(BaseTransform):
    """Draws once more where the picture is bright."""

    def transform(self, results: dict) -> dict:
        if results['img'].mean() > 127:
            np.random.random()
        return results


class _Shrinks(BaseTransform):
    """Cuts away as many rows as the first pixel says."""

    def transform(self, results: dict) -> dict:
        results['img'] = results['img'][int(results['img'][0, 0, 0]) % 7 + 1:]
        return results


@pytest.mark.parametrize('kind', [_Peeks, _Shrinks])
def test_a_transform_that_treats_the_companion_otherwise_is_found_out(kind):
    given = sample()
    given['img'][:], given['clean_img'][:] = 3, 250
    with pytest.raises(ConfigError, match=f"{kind.__name__} moves 'clean_img' otherwise"):
        build(type='mmweather.PairedTransform', transform=kind())(given)


class _Samples(BaseDataset):

    def __init__(self, count: int = 4) -> None:
        self.samples = [sample(index, boxes=((5, 5, 50, 40), )) for index in range(count)]
        super().__init__(serialize_data=False)

    def load_data_list(self) -> list[dict]:
        return self.samples


MIX = [
    dict(type='mmweather.PairedMosaic', img_scale=(96, 64), pad_val=114),
    dict(type='mmweather.PairedRandomAffine', border=(-48, -32), border_val=(114, 114, 114)),
    dict(type='mmweather.PairedMixUp', img_scale=(96, 64), pad_val=114),
]


def _alone(config: dict) -> dict:
    return dict(config, type=config['type'].replace('mmweather.Paired', 'mmdet.'))


def test_mosaic_affine_and_mixup_mix_the_clean_images_too():
    for seed in range(3):
        mixed = DATASETS.build(dict(type='mmdet.MultiImageMixDataset', dataset=_Samples(), pipeline=MIX))
        seed_all(seed)
        paired = mixed[1]
        found = []
        for key in ('img', 'clean_img'):
            plain = _Samples()
            for one in plain.samples:
                one['img'] = one[key]
            seed_all(seed)
            found.append(DATASETS.build(dict(type='mmdet.MultiImageMixDataset', dataset=plain,
                                             pipeline=[_alone(config) for config in MIX]))[1])
        assert np.array_equal(paired['img'], found[0]['img']) and paired['img'].shape == (64, 96, 3)
        assert np.array_equal(paired['clean_img'], found[1]['img'])
        assert torch.equal(paired['gt_bboxes'].tensor, found[0]['gt_bboxes'].tensor)
        assert not np.array_equal(paired['img'], paired['clean_img'])


def test_mosaic_can_be_switched_off_by_name():
    mixed = DATASETS.build(dict(type='mmdet.MultiImageMixDataset', dataset=_Samples(), pipeline=MIX))
    wrapped = DATASETS.build(dict(type='mmweather.SeededDataset', dataset=mixed))
    wrapped.update_skip_type_keys([config['type'] for config in MIX])
    assert np.array_equal(wrapped[2]['img'], sample(2)['img'])


def test_mosaic_of_pairs_and_single_images_is_refused():
    data = _Samples(2)
    del data.samples[1]['clean_img']
    mixed = DATASETS.build(dict(type='mmdet.MultiImageMixDataset', dataset=data, pipeline=MIX[:1]))
    with pytest.raises(DataError, match="'1.png' has no 'clean_img'"):
        for seed in range(8):
            seed_all(seed)
            mixed[0]


def test_a_cached_mosaic_caches_pairs():
    wrapped = build(type='mmweather.PairedTransform',
                    transform=dict(type='mmdet.CachedMosaic', img_scale=(96, 64), max_cached_images=6, pad_val=114))
    seed_all(3)
    for index in range(10):
        given = sample(index, boxes=((5, 5, 50, 40), ))
        moved = wrapped(given)
        grey = (moved['img'] == 114).all(-1) & (moved['clean_img'] == 114).all(-1)
        # Linear resizing and rounding keep the sum to within one; at seams foggy and clean agree all the same.
        total = moved['img'].astype(int) + moved['clean_img']
        assert (np.abs(total - 255).max(-1) <= 2)[~grey].all()
    assert len(wrapped.step.results_cache) == 6
    assert moved['img'].shape == (128, 192, 3)


# Published augmentation, letterbox ------------------------------------------------------------------------------


@pytest.mark.parametrize('seed', [None, 1, 4, 7])
def test_published_pipeline_to_the_last_bit(seed):
    golden = np.load(GOLDEN)
    boxes = ((10, 12, 60, 70), (50, 5, 129, 44), (3, 3, 9, 80))
    given = sample(boxes=boxes, size=(90, 130))
    given.update(img=np.ascontiguousarray(golden['fog'][..., ::-1]), gt_bboxes_labels=np.array([0, 2, 4]),
                 clean_img=np.ascontiguousarray(golden['clean'][..., ::-1]))
    if seed is None:
        step, name = build(type='mmweather.Letterbox', size=96, centred=True, published_integer_boxes=True), 'val'
    else:
        step = build(type='mmweather.PublishedFogAugment', size=96, published_integer_boxes=True)
        np.random.seed(seed)
        name = f'aug{seed}'
    moved = step(given)
    assert np.array_equal(moved['img'][..., ::-1], golden[f'{name}_image'])
    assert np.array_equal(moved['clean_img'][..., ::-1], golden[f'{name}_clean'])
    wanted = golden[f'{name}_boxes'].reshape(-1, 5)
    found = np.column_stack([moved['gt_bboxes'].tensor.numpy(), moved['gt_bboxes_labels']])
    assert found.shape == wanted.shape
    assert np.array_equal(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])


def test_augmented_boxes_frame_what_they_framed():
    for seed in range(8):
        given = sample(size=(80, 100), boxes=((20, 15, 70, 60), ))
        given['img'][:] = 0
        given['img'][15:60, 20:70] = 255
        given['clean_img'] = given['img'].copy()
        np.random.seed(seed)
        moved = build(type='mmweather.PublishedFogAugment', size=(128, 160), hsv=(0, 0, 0))(given)
        assert moved['img'].shape == (128, 160, 3) == moved['clean_img'].shape
        assert np.array_equal(moved['img'], moved['clean_img'])
        white = np.argwhere(moved['img'].min(-1) > 190)
        if not len(moved['gt_bboxes']):
            assert len(white) < 300 and not len(moved['gt_bboxes_labels']) and not len(moved['gt_ignore_flags'])
            continue
        frame = [white[:, 1].min(), white[:, 0].min(), white[:, 1].max() + 1, white[:, 0].max() + 1]
        assert np.abs(moved['gt_bboxes'].tensor.numpy()[0] - frame).max() <= 3


@pytest.mark.parametrize('centred', [False, True])
@pytest.mark.parametrize('size', [(37, 90), (90, 37), (1, 1), (200, 3)])
def test_letterbox_and_the_way_back(size, centred):
    given = sample(size=size, boxes=((0, 0, size[1], size[0]), ))
    moved = build(type='mmweather.Letterbox', size=(64, 96), centred=centred)(given)
    assert moved['img'].shape == moved['clean_img'].shape == (64, 96, 3) and moved['img_shape'] == (64, 96)
    top, bottom, left, right = moved['pad_param']
    scale = np.array(moved['scale_factor'] * 2)
    inner = (left, top, 96 - right, 64 - bottom)
    back = (np.array(inner) - [left, top, left, top]) / scale
    assert np.allclose(back, [0, 0, size[1], size[0]], atol=1e-4)
    assert centred or (top == left == 0)
    if len(moved['gt_bboxes']):
        assert np.allclose(moved['gt_bboxes'].tensor.numpy()[0], inner, atol=1e-4)
    else:
        assert min(inner[2] - inner[0], inner[3] - inner[1]) <= 1
    outside = np.ones((64, 96), bool)
    outside[int(top):int(64 - bottom), int(left):int(96 - right)] = False
    assert (moved['img'][outside] == 128).all()


@pytest.mark.parametrize('kind', ['PublishedFogAugment', 'Letterbox'])
def test_images_without_boxes_and_with_masks(kind):
    step = build(type=f'mmweather.{kind}', size=32)
    moved = step(sample(boxes=()))
    assert moved['gt_bboxes'].tensor.shape == (0, 4) and moved['gt_bboxes_labels'].shape == (0, )
    plain = {key: value for key, value in sample().items() if not key.startswith(('gt', 'clean'))}
    assert step(plain)['img'].shape == (32, 32, 3) and 'clean_img' not in plain
    with pytest.raises(ConfigError, match="not 'gt_masks'"):
        step(sample(gt_masks=[1]))
    with pytest.raises(ConfigError, match='size must be'):
        build(type=f'mmweather.{kind}', size=(0, 5))


# Reading --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path):
    """Files of one pair in two folders; the name holds a space."""
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    foggy = write_image(tmp_path / 'fog' / 'a b.png', image)
    write_image(tmp_path / 'clear' / 'a b.bmp', 255 - image)
    return foggy, image


def test_loading_bgr_by_path_and_by_folder(pair, tmp_path):
    foggy, image = pair
    read = build(type='mmweather.LoadDetImage')(dict(img_path=str(foggy), height=20, width=30))
    assert np.array_equal(read['img'], image[..., ::-1]) and read['ori_shape'] == (20, 30)
    by_rule = build(type='mmweather.LoadCleanImage', folders=('fog', 'clear'))(dict(read))
    by_path = build(type='mmweather.LoadCleanImage')(dict(read, clean_img_path=str(tmp_path / 'clear' / 'a b.bmp')))
    for found in (by_rule, by_path):
        assert np.array_equal(found['clean_img'], 255 - read['img'])
        assert found['clean_img_path'] == str(tmp_path / 'clear' / 'a b.bmp')
    optional = build(type='mmweather.LoadCleanImage', required=False)(dict(read))
    assert 'clean_img' not in optional


def test_loading_mistakes_are_one_line_each(pair, tmp_path):
    foggy, image = pair
    read = build(type='mmweather.LoadDetImage')(dict(img_path=str(foggy)))
    cases = [
        (dict(), {}, ConfigError, "gives no 'clean_img_path'"),
        (dict(folders=('rain', 'clear')), {}, ConfigError, "lies in no folder 'rain'"),
        (dict(folders=('fog', 'nowhere')), {}, DataError, 'has no clean image'),
        (dict(), dict(clean_img_path=str(tmp_path / 'lost.png')), DataError, 'no such image'),
        (dict(), dict(clean_img_path=str(write_image(tmp_path / 'small.png', image[:9]))), DataError,
         "small.png' is 30x9"),
    ]
    for options, more, kind, text in cases:
        with pytest.raises(kind, match=text) as caught:
            build(type='mmweather.LoadCleanImage', **options)(dict(read, **more))
        assert '\n' not in str(caught.value)
    (tmp_path / 'cut.png').write_bytes(foggy.read_bytes()[:400])
    with pytest.raises(DataError, match='cut.png'):
        build(type='mmweather.LoadDetImage')(dict(img_path=str(tmp_path / 'cut.png')))
    with pytest.raises(DataError, match='30x20, but its annotation is for 20x30'):
        build(type='mmweather.LoadDetImage')(dict(img_path=str(foggy), height=30, width=20))
    with pytest.raises(ConfigError, match='pair of folder names'):
        build(type='mmweather.LoadCleanImage', folders='clear')


def test_a_stock_coco_set_gets_companions_by_folder(pair, tmp_path):
    foggy, image = pair
    entry = dict(id=3, file_name=foggy.name, height=20, width=30)
    box = dict(id=1, image_id=3, category_id=1, bbox=[3, 4, 12, 10], area=120, iscrowd=0)
    (tmp_path / 'boxes.json').write_text(json.dumps(
        dict(images=[entry], annotations=[box], categories=[dict(id=1, name='thing')])))
    dataset = DATASETS.build(dict(
        type='mmdet.CocoDataset', data_root=str(tmp_path), ann_file='boxes.json', data_prefix=dict(img='fog'),
        metainfo=dict(classes=('thing', )), pipeline=[
            dict(type='mmdet.LoadImageFromFile'),
            dict(type='mmweather.LoadCleanImage', folders=('fog', 'clear')),
            dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(type='mmweather.PairedTransform', transform=dict(type='mmdet.RandomFlip', prob=1.0)),
            dict(type='mmweather.PackPairedDetInputs'),
        ]))
    packed_sample = dataset[0]
    assert np.array_equal(packed_sample['inputs'].permute(1, 2, 0), image[:, ::-1, ::-1])
    assert torch.equal(packed_sample['data_samples'].clean_img, 255 - packed_sample['inputs'])
    assert packed_sample['data_samples'].gt_instances.bboxes.tensor.tolist() == [[15, 4, 27, 14]]


# Packing and preprocessing ----------------------------------------------------------------------------------------


def packed(*samples: dict) -> dict:
    step = build(type='mmweather.PackPairedDetInputs')
    return pseudo_collate([step(one) for one in samples])


def test_packing_keeps_both_and_refuses_a_lonely_resize():
    given = sample(pad_param=np.zeros(4, np.float32), clean_img_path='c.png')
    clean = given['clean_img'].copy()
    result = build(type='mmweather.PackPairedDetInputs')(dict(given))
    assert result['inputs'].dtype == result['data_samples'].clean_img.dtype == torch.uint8
    assert np.array_equal(result['data_samples'].clean_img.permute(1, 2, 0).numpy(), clean)
    assert result['data_samples'].clean_img_path == 'c.png' and 'pad_param' in result['data_samples'].metainfo_keys()
    lonely = build(type='mmdet.Resize', scale=(40, 30))(dict(given))
    with pytest.raises(DataError, match='40x30 but its clean_img'):
        build(type='mmweather.PackPairedDetInputs')(lonely)


@pytest.mark.parametrize('sizes', [[(60, 80), (33, 200)], [(1, 1)], [(128, 160)]])
def test_both_are_normalised_and_padded_alike(sizes):
    given = [sample(number, size, boxes=()) for number, size in enumerate(sizes)]
    images = [one['img'].copy() for one in given]
    result = MODELS.build(dict(type='mmweather.PairedDetPreprocessor'))(packed(*given))
    height, width = result['inputs'].shape[-2:]
    assert height % 32 == width % 32 == 0 and min(height, width) >= 128
    assert (height, width) == tuple(max(128, -(-max(sides) // 32) * 32) for sides in zip(*sizes, strict=True))
    for number, (image, size) in enumerate(zip(images, sizes, strict=True)):
        for tensor, plain in ((result['inputs'][number], image),
                              (result['data_samples'][number].clean_img, 255 - image)):
            assert tensor.shape == (3, height, width) and tensor.dtype == torch.float32
            wanted = ((plain[..., ::-1] / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(2, 0, 1)
            assert np.abs(tensor[:, :size[0], :size[1]].numpy() - wanted).max() < 1e-5
            assert (tensor[:, size[0]:] == 0).all() and (tensor[:, :, size[1]:] == 0).all()
        assert result['data_samples'][number].batch_input_shape == (height, width)


def test_samples_without_a_clean_image_and_without_samples_pass():
    lonely = sample(1)
    del lonely['clean_img']
    preprocessor = MODELS.build(dict(type='mmweather.PairedDetPreprocessor'))
    result = preprocessor(packed(sample(0), lonely, sample(2)))
    assert result['inputs'].shape == (3, 3, 128, 128)
    assert ['clean_img' in one for one in result['data_samples']] == [True, False, True]
    alone = preprocessor(packed(sample(2)))
    assert torch.equal(result['data_samples'][2].clean_img, alone['data_samples'][0].clean_img)
    bare = preprocessor({'inputs': [torch.zeros(3, 40, 50, dtype=torch.uint8)]})
    assert bare['inputs'].shape == (1, 3, 128, 128) and bare['data_samples'] is None


def test_batch_resizing_resizes_the_clean_image_and_boxes_too():
    preprocessor = MODELS.build(dict(
        type='mmweather.PairedDetPreprocessor', mean=None, std=None, bgr_to_rgb=False, pad_value=114,
        batch_augments=[dict(type='mmdet.BatchSyncRandomResize', random_size_range=(160, 320), interval=1)]))
    MessageHub.get_current_instance().update_info('iter', 0)
    seed_all(1)
    sizes = set()
    for _ in range(6):
        given = [sample(number, (128, 160)) for number in range(2)]
        result = preprocessor(packed(*given), training=True)
        sizes.add(tuple(result['inputs'].shape[-2:]))
        scale = result['inputs'].shape[-1] / 160
        for one, image in zip(result['data_samples'], result['inputs'], strict=True):
            # Clean is 255 minus foggy, and linear resizing keeps that.
            assert torch.allclose(one.clean_img, 255 - image, atol=1e-3)
            assert one.gt_instances.bboxes[0, 0].item() == pytest.approx(10 * scale)
    assert len(sizes) > 2
    result = preprocessor(packed(sample(0, (128, 160))), training=False)
    assert result['inputs'].shape[-2:] == (128, 160)


def test_a_companion_of_another_shape_is_refused():
    data = packed(sample(0))
    data['data_samples'][0].clean_img = torch.zeros(1, 60, 80, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"'0.png': clean_img is \(1, 60, 80\)"):
        MODELS.build(dict(type='mmweather.PairedDetPreprocessor'))(data)
