"""`mmweather.Inferencer` with detectors: boxes in pixels of the picture, drawing, files, stock mmdet models."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

import inference_toy as toy  # noqa: E402
import torch  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

import mmweather  # noqa: E402
from mmweather.errors import ConfigError  # noqa: E402
from mmweather.utils.drawing import draw_boxes, palette_of  # noqa: E402
from mmweather.utils.images import read_image, write_image  # noqa: E402


def red(height: int, width: int, box: tuple[int, int, int, int] | None) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    if box:
        image[box[1]:box[3], box[0]:box[2]] = (255, 0, 0)
    return image


@pytest.fixture
def config(tmp_path):
    return toy.write_config(tmp_path, "dict(type='mmweather.RedBox')", 'mmdet')


def ready(config, **attributes):
    model = mmweather.get_model(config)
    for name, value in attributes.items():
        setattr(model, name, value)
    return mmweather.Inferencer(model, device='cpu'), model


@pytest.mark.parametrize('size, box', [((32, 64), (8, 4, 40, 20)), ((50, 31), (5, 10, 20, 40)), ((128, 99), None)])
def test_boxes_are_in_pixels_of_the_picture_whatever_the_pipeline_resizes(config, size, box):
    inferencer, _ = ready(config)
    assert (inferencer.task, inferencer.inputs, inferencer.classes) == ('detect', ('img', ), ('red', 'rose'))
    image = red(*size, box)
    outcome = inferencer(image)[0]
    if box is None:
        assert outcome.detections == [] and np.array_equal(outcome.picture, image)
        return
    found, = outcome.detections  # the other scores 0.2
    assert (found['label'], found['name'], found['score']) == (1, 'rose', 0.9)
    assert np.abs(np.subtract(found['box'], box)).max() <= 1.5
    assert len(outcome.sample.pred_instances) == 2, 'the sample keeps all'
    assert outcome.picture.shape == image.shape and not np.array_equal(outcome.picture, image)
    both = inferencer(image, score_thr=0.1)[0].detections
    assert [one['score'] for one in both] == [0.9, 0.2]
    assert inferencer(image, draw=False)[0].picture is None


def test_files_hold_boxes_and_pictures(config, tmp_path):
    inferencer, model = ready(config)
    for name, box in (('a', (8, 4, 40, 20)), ('b', None), ('deep/c.d', (0, 0, 9, 9))):
        write_image(tmp_path / 'in' / f'{name}.png', red(32, 64, box))
    (tmp_path / 'in' / 'bad.jpg').write_bytes(b'no')
    out = tmp_path / 'out'
    report = inferencer(tmp_path / 'in', out, batch_size=2, compare=True, show_progress=False)
    assert set(report.failed) == {tmp_path / 'in' / 'bad.jpg'} and model.batches == [2, 1]
    assert [path.name for path in report.done] == ['a.json', 'b.json', 'c.d.json']
    assert json.loads((out / 'b.json').read_text()) == dict(image='b.png', width=64, height=32, boxes=[])
    record = json.loads((out / 'a.json').read_text())
    assert record['boxes'][0]['name'] == 'rose' and len(record['boxes'][0]['box']) == 4
    assert read_image(out / 'deep' / 'c.d.png').shape == (32, 64, 3)
    assert read_image(out / 'a_compare.png').shape == (32, 128, 3)
    (out / 'a.json').unlink()  # as if it had been killed before the last file
    again = inferencer(tmp_path / 'in', out, show_progress=False)
    assert [path.name for path in again.done] == ['a.json'] and len(again.skipped) == 2


def test_a_drawn_picture_never_replaces_the_input(config, tmp_path):
    inferencer, _ = ready(config)
    write_image(tmp_path / 'in' / 'a.png', red(8, 8, None))
    with pytest.raises(mmweather.errors.DataError, match='would be overwritten'):
        inferencer(tmp_path / 'in' / 'a.png', tmp_path / 'in')


def test_the_restored_picture_comes_too_and_boxes_are_drawn_on_the_given_one(tmp_path):
    config = toy.write_config(tmp_path, "dict(type='mmweather.RedBox', restores=True)", 'mmdet')
    inferencer, model = ready(config)
    outcome = inferencer(red(32, 64, (8, 4, 40, 20)))[0]
    assert (outcome.restored == 7).all() and outcome.restored.shape == (32, 64, 3)
    assert outcome.picture[31, 63].tolist() == outcome.image[31, 63].tolist() != [7, 7, 7]
    assert model.return_restored is False, 'the model is left as it was'
    inferencer(red(8, 8, None), tmp_path / 'out')
    assert (tmp_path / 'out' / '000000_restored.png').is_file()


def test_boxes_that_are_no_numbers_fail_the_picture(config):
    inferencer, model = ready(config)
    model.gain.data.fill_(float('nan'))
    report = inferencer(red(32, 32, (4, 4, 20, 20)))
    assert not len(report) and 'not numbers' in report.failed['0']


def test_a_picture_too_narrow_for_the_pipeline_fails_alone(config):
    inferencer, _ = ready(config)
    report = inferencer([red(1, 1000, None), red(1, 1, None)])
    assert set(report.failed) == {'0'} and 'too narrow' in report.failed['0'] and '\n' not in report.failed['0']
    assert report[0].picture.shape == (1, 1, 3)


def test_a_stock_detector_of_mmdet(tmp_path):
    config = toy.write_config(tmp_path, toy.RETINA, 'mmdet')
    torch.manual_seed(0)
    model = mmweather.get_model(config)
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'CLASSES': ('cat', 'dog')}}},
               tmp_path / 'retina.pth')
    inferencer = mmweather.Inferencer(config, tmp_path / 'retina.pth', 'cpu')
    assert inferencer.classes == ('cat', 'dog'), 'the checkpoint knows'
    image = np.random.default_rng(0).integers(0, 256, (45, 60, 3), np.uint8)
    outcomes = inferencer([image, image[:1, :1]], score_thr=0., batch_size=2)
    assert len(outcomes) == 2
    first = outcomes[0]
    assert first.detections and {found['name'] for found in first.detections} <= {'cat', 'dog'}
    corners = np.array([found['box'] for found in first.detections])
    assert (corners >= 0).all() and (corners <= [60, 45, 60, 45]).all()

    from mmdet.apis import inference_detector
    with DefaultScope.overwrite_default_scope('mmdet'):
        theirs = inference_detector(model, np.ascontiguousarray(image[..., ::-1]))
    assert torch.allclose(theirs.pred_instances.scores, first.sample.pred_instances.scores, atol=1e-5)
    assert torch.allclose(theirs.pred_instances.bboxes, first.sample.pred_instances.bboxes, atol=1e-3)


@pytest.mark.parametrize('name, restores', [
    ('togethernet-n_1xb8-40e_street-fog', True), ('nafnet-s_yolox-n_street-fog', True),
    ('yolox-n_1xb8-40e_street-fog', False)])
def test_the_detectors_of_the_package(name, restores):
    pytest.importorskip('mmagic')
    inferencer, model = ready(name)
    assert inferencer.classes == ('person', 'car')
    image = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)
    with torch.no_grad():
        outcome, tiny = inferencer([image, image[:1, :1]], score_thr=0.)
    assert outcome.picture.shape == image.shape and tiny.picture.shape == (1, 1, 3)
    assert (outcome.restored is not None) == restores
    if restores:
        assert outcome.restored.shape == image.shape and outcome.restored.dtype == np.uint8
    if name.startswith('togethernet'):
        assert not model.test_cfg.restore


@pytest.mark.parametrize('change, message', [
    ("test_dataloader = None\ntest_pipeline = []\n", 'has no test pipeline'),
    ("test_dataloader['dataset']['pipeline'] = test_pipeline[1:]\n", "begins with 'Resize'"),
    ("test_pipeline[1]['type'] = 'Rezise'\n", 'Rezise'),
])
def test_a_config_without_a_usable_pipeline(config, change, message):
    config.write_text(config.read_text() + change)
    with pytest.raises(ConfigError, match=message) as error:
        mmweather.Inferencer(mmweather.get_model(config), device='cpu')
    assert '\n' not in str(error.value)


def test_a_module_without_its_config(config):
    model = mmweather.get_model(config)
    del model.cfg
    with pytest.raises(ConfigError, match='RedBox is given without its config'):
        mmweather.Inferencer(model, device='cpu')


def test_drawing_keeps_size_and_marks_the_box_alone():
    palette = palette_of([(1, 2, 3)], 30)
    assert palette[0] == (1, 2, 3) and len(set(palette)) == 30
    image = np.full((60, 80, 3), 50, np.uint8)
    masks = np.zeros((1, 60, 80), bool)
    masks[0, 45:50, 40:45] = True
    found = [dict(label=2, name='car', score=0.5, box=[20.2, 30.0, 60.0, 55.0])]
    plain, masked = draw_boxes(image, found, palette), draw_boxes(image, found, palette, masks)
    assert (plain[30, 25:55] == palette[2]).all() and (image == 50).all()
    assert (plain[40:50, 30:50] == 50).all() and (masked[47, 42] != 50).any()
    assert (plain[57:] == 50).all() and (plain[:, 70:] == 50).all()
    far = [dict(label=0, name='x' * 50, score=1.0, box=[-9e9, -9e9, 9e9, 9e9])]
    assert draw_boxes(image[:1, :1], far, palette).shape == (1, 1, 3)
