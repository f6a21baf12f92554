"""VOC-FOG, RTTS, Foggy Driving and box lists as data sets of mmdet."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('mmdet', reason='mmdet is not installed')

from mmdet.evaluation import CocoMetric, VOCMetric  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dataset import base_dataset, pseudo_collate  # noqa: E402
from PIL import Image  # noqa: E402

from mmweather.cli import main  # noqa: E402
from mmweather.datasets import paired_det  # noqa: E402
from mmweather.datasets.paired_det import BoxListDataset, PairedDetDataset  # noqa: E402
from mmweather.datasets.voc_fog import FIVE_CLASSES, RTTS, FoggyDriving, VOCFog  # noqa: E402
from mmweather.errors import ConfigError, DataError  # noqa: E402
from mmweather.registry import DATA_SAMPLERS, DATASETS, MODELS  # noqa: E402
from mmweather.utils.images import encode_image, image_size  # noqa: E402
from mmweather.utils.voc import VOCObject, format_voc  # noqa: E402

BASE = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
DATA = Path(__file__).parents[2] / '..' / 'shared' / 'data'
HAVE_DATA = pytest.mark.skipif(not (DATA / 'raccoon').is_dir(), reason='the real pictures are not here')


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix))


def write_sample(root: Path, split: str, name: str, objects, size=(40, 60), folder='VOC2007-FOG', given=None) -> None:
    stem = Path(name).stem
    picture = np.random.default_rng(len(stem)).integers(0, 256, (*size, 3), dtype=np.uint8)
    save(root / split / 'JPEGImages' / name, picture)
    save(root / split / folder / name, picture // 2 + 60)
    path = root / split / 'Annotations' / f'{stem}.xml'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(format_voc(name, given or size, [VOCObject(*one) for one in objects]))


@pytest.fixture(autouse=True)
def quick_init(monkeypatch):
    """mmengine collects garbage over all loaded modules for each data set; small sets can do without."""
    monkeypatch.setattr(base_dataset.gc, 'collect', lambda *args: 0)


@pytest.fixture
def root(tmp_path) -> Path:
    """Twelve training samples and two test samples; a space in every name, .jpg and .png."""
    for index in range(12):
        objects = [('car', (5, 6, 25, 30)), ('person', (30, 8, 40, 39), index == 2)]
        write_sample(tmp_path, 'train', f'street {index:02d}.{"jpg" if index % 2 else "png"}', objects)
    for index in range(2):
        write_sample(tmp_path, 'test', f'street {index}.jpg', [('bus', (1, 1, 50, 35))], folder='VOCtest-FOG')
    return tmp_path


@pytest.fixture
def warned(monkeypatch) -> list[str]:
    """Lines that the data sets logged as warnings."""
    lines = []
    monkeypatch.setattr(paired_det, 'print_log',
                        lambda text, logger, level: lines.append(text) if level == logging.WARNING else None)
    return lines


# Layout and pairs -----------------------------------------------------------------------------------------------


def test_pairs_classes_boxes_and_parts(root, warned):
    every = VOCFog(str(root))
    assert len(every) == 12 and every.metainfo['classes'] == FIVE_CLASSES == (
        'person', 'bicycle', 'car', 'motorbike', 'bus')
    info = every.get_data_info(2)
    assert info['img_id'] == info['sample_key'] == 'street 02' and (info['height'], info['width']) == (40, 60)
    assert info['img_path'].endswith('train/VOC2007-FOG/street 02.png')
    assert info['clean_img_path'].endswith('train/JPEGImages/street 02.png')
    assert info['instances'] == [{'bbox': [5, 6, 25, 30], 'bbox_label': 2, 'ignore_flag': 0},
                                 {'bbox': [30, 8, 40, 39], 'bbox_label': 0, 'ignore_flag': 1}]
    assert every.get_cat_ids(2) == [2, 0]
    train, val = (VOCFog(str(root), part=part, holdout_every=5) for part in ('train', 'val'))
    keys = [{one.get_data_info(index)['img_id'] for index in range(len(one))} for one in (train, val)]
    assert len(keys[0]) == 9 and keys[1] == {'street 00', 'street 05', 'street 10'} and not keys[0] & keys[1]
    test = VOCFog(str(root), split='test', clean=False)
    assert 'VOCtest-FOG' in test.get_data_info(0)['img_path'] and 'clean_img_path' not in test.get_data_info(0)
    clear = VOCFog(str(root), split='test', weather='clear')
    assert 'JPEGImages' in clear.get_data_info(1)['img_path']
    shifted = VOCFog(str(root), minus_one=True)
    assert shifted.get_data_info(2)['instances'][0]['bbox'] == [4, 5, 24, 29]
    (root / 'some.txt').write_text('street 03\nstreet 01\n')
    assert [one['img_id'] for one in VOCFog(str(root), ann_file='some.txt')] == ['street 01', 'street 03']
    assert not warned
    shutil.move(root / 'test/VOCtest-FOG', root / 'test/VOC2007-FOG')
    assert len(VOCFog(str(root), split='test')) == 2


def test_boxes_outside_empty_images_and_foreign_classes_are_counted_in_one_line_each(tmp_path, warned):
    write_sample(tmp_path, 'train', 'a.png', [
        ('car', (-5, -5, 20, 20)), ('car', (50, 30, 99, 99)), ('car', (70, 5, 90, 20)), ('car', (9, 9, 9, 20)),
        ('car', (30, 20, 10, 30)), ('dog', (1, 1, 9, 9)), ('dog', (1, 1, 9, 9)), ('cat', (1, 1, 9, 9))])
    write_sample(tmp_path, 'train', 'b.png', [])
    write_sample(tmp_path, 'train', 'c.png', [('person', (0, 0, 1, 1))], size=(1, 1))
    write_sample(tmp_path, 'train', 'd.png', [('bus', (3, 3, 9, 9))], given=(60, 40))
    found = VOCFog(str(tmp_path))
    boxes = [[one['bbox'] for one in found.get_data_info(index)['instances']] for index in range(4)]
    assert boxes == [[[0, 0, 20, 20], [50, 30, 60, 40]], [], [[0, 0, 1, 1]], [[3, 3, 9, 9]]]
    assert warned == [
        'VOCFog: 3 boxes of other classes left out (dog 2, cat 1)',
        'VOCFog: 2 boxes clipped to the image, 3 outside it or empty left out',
        'VOCFog: 1 annotation gives a wrong image size (d 40x60); the size of the image is taken']
    assert len(VOCFog(str(tmp_path), filter_cfg=dict(filter_empty_gt=True))) == 3
    assert len(VOCFog(str(tmp_path), filter_cfg=dict(min_size=10))) == 3
    small = VOCFog(str(tmp_path), filter_cfg=dict(bbox_min_size=12))
    assert [one['ignore_flag'] for one in small.get_data_info(0)['instances']] == [0, 1]
    with pytest.raises(DataError, match=r"no box has a class out of \('raccoon',\); the annotations name .*car"):
        VOCFog(str(tmp_path), metainfo=dict(classes=('raccoon', )))


def test_only_images_without_boxes_are_no_mistake(tmp_path, warned):
    write_sample(tmp_path, 'train', 'b.png', [])
    assert VOCFog(str(tmp_path)).get_data_info(0)['instances'] == [] and not warned


def spoil(root: Path, kind: str) -> dict:
    fog, clean, boxes = (root / 'train' / name for name in ('VOC2007-FOG', 'JPEGImages', 'Annotations'))
    if kind == 'no clean':
        (clean / 'street 03.jpg').unlink()
    elif kind == 'no fog':
        (fog / 'street 03.jpg').unlink()
    elif kind == 'no xml':
        (boxes / 'street 03.xml').unlink()
    elif kind == 'size':
        save(clean / 'street 03.jpg', np.zeros((41, 60, 3), np.uint8))
    elif kind == 'broken xml':
        (boxes / 'street 03.xml').write_text('<annotation>')
    elif kind == 'binary xml':
        (boxes / 'street 03.xml').write_bytes(b'\xff\xfe\0\0')
    elif kind == 'no bndbox':
        (boxes / 'street 03.xml').write_text('<annotation><object><name>car</name></object></annotation>')
    elif kind == 'broken image':
        (fog / 'street 03.jpg').write_text('no picture')
    elif kind == 'no folder':
        shutil.rmtree(fog)
    elif kind == 'unknown stem':
        (root / 'list.txt').write_text('moon\n')
        return dict(ann_file='list.txt')
    return {}


@pytest.mark.parametrize('kind, text', [
    ('no clean', "without a matching file in .*JPEGImages.*street 03"), ('no fog', 'without an image in .*street 03'),
    ('no xml', '1 sample without an annotation in .*street 03'), ('size', r'differ in size: .*60x40.*60x41'),
    ('broken xml', 'street 03.xml'), ('binary xml', 'street 03.xml'), ('no bndbox', 'object 1: <bndbox> is missing'),
    ('broken image', 'street 03.jpg'), ('no folder', 'no such folder'), ('unknown stem', 'without an image in .*moon'),
])
def test_broken_sets_are_one_line_that_names_the_file(root, kind, text):
    options = spoil(root, kind)
    with pytest.raises(DataError, match=text) as caught:
        VOCFog(str(root), **options)
    assert '\n' not in str(caught.value)


def test_wrong_arguments():
    for options, text in ((dict(split='val'), "'train' or 'test'"), (dict(weather='rain'), "'fog' or 'clear'"),
                          (dict(split='test', part='val'), 'divides the training split'),
                          (dict(part='val', holdout=dict(part='val')), 'not both'),
                          (dict(part='nothing'), "'train' or 'val'"),
                          (dict(metainfo=dict(classes='raccoon')), r"write \('raccoon', \)"),
                          (dict(data_prefix=dict(img='x')), 'needs the folders img, ann')):
        with pytest.raises(ConfigError, match=text):
            VOCFog('nowhere', lazy_init=True, **options)


def test_the_stored_rotation_counts(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (30, 20)).save(tmp_path / 'turned.jpg', exif=exif)
    assert image_size(tmp_path / 'turned.jpg') == (30, 20)
    Image.new('RGB', (30, 20)).save(tmp_path / 'plain.jpg')
    assert image_size(tmp_path / 'plain.jpg') == (20, 30)


# Other sets -----------------------------------------------------------------------------------------------------


def test_rtts_in_both_layouts(tmp_path):
    write_sample(tmp_path, '', 'a.png', [('motorbike', (1, 1, 20, 20))])
    found = RTTS(str(tmp_path))
    assert 'JPEGImages' in found.get_data_info(0)['img_path'] and found.get_cat_ids(0) == [3]
    assert 'clean_img_path' not in found.get_data_info(0)
    (tmp_path / 'JPEGImages').rename(tmp_path / 'images')
    assert 'images/a.png' in RTTS(str(tmp_path)).get_data_info(0)['img_path']


def foggy_driving(root: Path, text: str, name: str = 'test/web/web_1') -> str:
    save(root / 'leftImg8bit' / f'{name}_leftImg8bit.png', np.zeros((50, 80, 3), np.uint8))
    path = root / 'bboxGt' / f'{name}_bboxGt.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(root)


def test_foggy_driving_boxes_and_names(tmp_path, warned):
    text = '0 1 2 30 40\n1 5 5 9 20\n2 5 5 20 20\n3 5 5 20 20\n\n4 5 5 20 20\n6 5 5 20.5 20\n7 5 5 20 20\n'
    found = FoggyDriving(foggy_driving(tmp_path, text))
    assert found.get_cat_ids(0) == [2, 0, 1, 4, 3] and found.get_data_info(0)['img_id'] == 'web_1'
    assert found.get_data_info(0)['instances'][0]['bbox'] == [1, 2, 30, 40]
    assert warned == ['FoggyDriving: 2 boxes of other classes left out (truck 1, rider 1)']
    foggy_driving(tmp_path, '', 'test_extra/public/other')
    assert [len(FoggyDriving(str(tmp_path), split)) for split in ('test', 'test_extra', None)] == [1, 1, 2]
    with pytest.raises(ConfigError, match="'test', 'test_extra'"):
        FoggyDriving(str(tmp_path), 'val')
    assert [len(one['instances']) for one in FoggyDriving(str(tmp_path))] == [0, 5]
    for line in ('8 1 2 3 4', '-1 1 2 3 4', '0 1 2 3', 'car 1 2 3 4', '0.5 1 2 3 4'):
        with pytest.raises(DataError, match='line 2: want'):
            FoggyDriving(foggy_driving(tmp_path, f'0 1 2 30 40\n{line}\n'))
    shutil.rmtree(tmp_path / 'bboxGt')
    with pytest.raises(DataError, match='bboxGt.* is missing'):
        FoggyDriving(str(tmp_path))


def test_box_lists_with_spaces_and_other_numbers(tmp_path):
    for name in ('a b.png', 'c.jpg'):
        save(tmp_path / 'images' / name, np.zeros((40, 60, 3), np.uint8))
    (tmp_path / 'list.txt').write_text('/gone/far away/a b.png 1,2,30,20,1 3,3,9,9,0\n\nimages/c.jpg\n')
    options = dict(data_root=str(tmp_path), ann_file='list.txt', data_prefix=dict(img='images'))
    found = BoxListDataset(list_classes=('person', 'car'), **options)
    assert [one['img_id'] for one in found] == ['a b', 'c'] and found.get_cat_ids(0) == [2, 0]
    assert found.get_cat_ids(1) == [] and BoxListDataset(**options).get_cat_ids(0) == [1, 0]
    by_path = BoxListDataset(data_root=str(tmp_path), ann_file='list.txt', data_prefix=dict(img='images'))
    assert by_path.get_data_info(1)['img_path'].endswith('images/c.jpg')
    for content, text in (('a b.png 1,2,3,4\n', 'line 1: want'), ('c.jpg 1,2,3,4,9\n', 'class number 9'),
                          ('lost.png 1,2,3,4,0\n', "names 'lost.png'"), ('\n', 'names no image'),
                          ('c.jpg\nc.jpg 1,2,3,4,0', 'more than once'), ('1,2,3,4,0\n', 'line 1: want')):
        (tmp_path / 'list.txt').write_text(content)
        with pytest.raises(DataError, match=text):
            BoxListDataset(**options)
    with pytest.raises(ConfigError, match='ann_file is empty'):
        BoxListDataset('')


@HAVE_DATA
def test_the_real_fog_photographs():
    found = BoxListDataset(data_root=str(DATA / 'rtts_sample'), ann_file='quick_test.txt',
                           list_classes=('person', 'car', 'bus', 'bicycle', 'motorbike'))
    assert [len(found.get_cat_ids(index)) for index in range(3)] == [4, 3, 8]
    assert found.get_cat_ids(1) == [2, 0, 1]


@HAVE_DATA
def test_the_real_raccoons():
    found = PairedDetDataset(str(DATA / 'raccoon'), dict(img='images', ann='annotations'),
                             metainfo=dict(classes=('raccoon', )))
    assert len(found) == 200 and sum(len(found.get_cat_ids(index)) for index in range(200)) == 217


# Configs ----------------------------------------------------------------------------------------------------------


def batch_of(loader: dict, count: int) -> dict:
    dataset = DATASETS.build(loader['dataset'])
    sampler = DATA_SAMPLERS.build(dict(loader['sampler'], dataset=dataset, seed=3))
    draws = [draw for draw, _ in zip(sampler, range(count), strict=False)]
    return MODELS.build(dict(type='mmweather.PairedDetPreprocessor'))(
        pseudo_collate([dataset[draw] for draw in draws]))


@pytest.mark.parametrize('name', ['voc_fog', 'voc_fog_mosaic'])
def test_base_configs_load_the_layout(name, root):
    config = Config.fromfile(str(BASE / f'{name}.py'))
    inner = config.train_dataloader.dataset.dataset
    (inner if 'data_root' in inner else inner.dataset).data_root = str(root)
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(root)
    train = batch_of(config.train_dataloader, 4)
    assert train['inputs'].shape == (4, 3, 640, 640)
    for image, one in zip(train['inputs'], train['data_samples'], strict=True):
        assert one.clean_img.shape == (3, 640, 640) and not np.array_equal(image, one.clean_img)
        # Both were moved alike: the brighter the clean pixel, the brighter the foggy one.
        together = np.corrcoef(image.numpy().ravel(), one.clean_img.numpy().ravel())[0, 1]
        assert together > 0.9, together
    again = batch_of(config.train_dataloader, 4)
    assert all(np.array_equal(one, two) for one, two in zip(train['inputs'], again['inputs'], strict=True))
    val = batch_of(config.val_dataloader, 2)
    assert len(val['inputs']) == 2 and 'clean_img' not in val['data_samples'][0]
    assert val['data_samples'][0].scale_factor == (640 / 60, 426 / 40)
    # The truth is in pixels of the file, as mmdet's metrics want it; perfect predictions score 1.
    metric = VOCMetric(**{key: value for key, value in config.test_evaluator.items() if key != 'type'})
    samples = []
    for one in batch_of(config.test_dataloader, 2)['data_samples']:
        one.pred_instances = one.gt_instances.clone()
        one.pred_instances.scores = one.gt_instances.labels * 0 + 0.9
        samples.append(one.to_dict())
    assert samples[0]['gt_instances']['bboxes'].tolist() == [[1, 1, 50, 35]]
    coco = CocoMetric(metric='bbox')
    for one in (metric, coco):
        one.dataset_meta = dict(classes=FIVE_CLASSES)
        one.process({}, samples)
    assert metric.evaluate(2)['pascal_voc/mAP'] == 1
    assert coco.evaluate(2)['coco/bbox_mAP'] == 1


def test_check_finds_lost_partners_by_folder_and_by_config(root, tmp_path, capsys):
    assert main(['check', str(root), '--workers', '1']) == 1  # all pictures of one size are alike
    found = capsys.readouterr().out
    assert 'unpaired' not in found and 'size' not in found and '28 images checked' in found
    (root / 'train/JPEGImages/street 03.jpg').unlink()
    assert main(['check', str(root), '--workers', '1']) == 1
    assert 'unpaired' in capsys.readouterr().out
    config = tmp_path / 'mine.py'
    text = f"_base_ = {str(BASE / 'voc_fog.py')!r}\n"
    for loader in ('train', 'val', 'test'):
        where = f'dataset=dict(data_root={str(root)!r})'
        text += f"{loader}_dataloader = dict({f'dataset=dict({where})' if loader == 'train' else where})\n"
    config.write_text(text)
    assert main(['check', str(config), '--workers', '1']) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('unpaired')]
    assert len(lines) == 1 and 'street 03.jpg' in lines[0] and 'JPEGImages' in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize('paired', [True, False])
def test_a_stock_yolox_trains_on_it(paired, root, tmp_path):
    """mmdet's YOLOX-tiny in small, with our preprocessor and pairs, and with mmdet's alone on the foggy images."""
    from mmengine.runner import Runner
    base = Config.fromfile(str(BASE / 'voc_fog.py'))
    pipeline = [
        dict(type='mmweather.LoadDetImage'),
        dict(type='mmweather.LoadCleanImage'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmweather.PublishedFogAugment', size=64),
        dict(type='mmweather.PackPairedDetInputs'),
    ] if paired else [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=True),
        dict(type='mmdet.RandomFlip', prob=0.5),
        dict(type='mmdet.PackDetInputs'),
    ]
    loader = dict(base.train_dataloader, batch_size=2, num_workers=0, persistent_workers=False)
    loader['dataset']['dataset'].update(data_root=str(root), pipeline=pipeline)
    preprocessor = dict(type='mmweather.PairedDetPreprocessor') if paired else dict(
        type='mmdet.DetDataPreprocessor', pad_size_divisor=32)
    model = dict(
        type='mmdet.YOLOX', _scope_='mmdet', data_preprocessor=preprocessor,
        backbone=dict(type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.125, out_indices=(2, 3, 4)),
        neck=dict(type='mmdet.YOLOXPAFPN', in_channels=[32, 64, 128], out_channels=32, num_csp_blocks=1),
        bbox_head=dict(type='mmdet.YOLOXHead', num_classes=5, in_channels=32, feat_channels=32),
        train_cfg=dict(assigner=dict(type='mmdet.SimOTAAssigner', center_radius=2.5)),
        test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.65)))
    runner = Runner(
        model=model, work_dir=str(tmp_path / 'run'), train_dataloader=loader,
        train_cfg=dict(type='mmengine.EpochBasedTrainLoop', max_epochs=1),
        optim_wrapper=dict(type='mmengine.OptimWrapper', optimizer=dict(type='SGD', lr=0.001)),
        default_scope='mmweather', log_level='WARNING')
    before = [value.clone() for value in runner.model.parameters()]
    runner.train()
    assert runner.iter == 5
    assert all(bool(value.isfinite().all()) for value in runner.model.parameters())
    assert any(not np.array_equal(one.detach(), two.detach())
               for one, two in zip(before, runner.model.parameters(), strict=True))


@pytest.mark.slow
def test_a_prepared_set_is_read_by_the_raccoon_config(tmp_path):
    source = tmp_path / 'photos'
    for index in range(25):
        save(source / 'images' / f'r {index}.jpg', np.full((30, 40, 3), 9 * index, np.uint8))
        path = source / 'annotations' / f'r {index}.xml'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(format_voc(f'r {index}.jpg', (30, 40), [VOCObject('raccoon', (2, 3, 30, 25))]))
    assert main(['prepare', 'voc-fog', str(source), str(tmp_path / 'fog'), '--workers', '1',
                 '--val-fraction', '0.1']) == 0
    config = Config.fromfile(str(BASE / 'raccoon_fog.py'))
    sizes = []
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        inner = loader.dataset.get('dataset', loader.dataset)
        inner.data_root = str(tmp_path / 'fog')
        dataset = DATASETS.build(inner)
        assert dataset.metainfo['classes'] == ('raccoon', ) and dataset.get_cat_ids(0) == [0]
        sizes.append(len(dataset))
    assert sizes == [18, 2, 5]
