"""`mmweather.Inferencer` with segmentors: classes of pixels, thermal partners, stock mmseg models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

import inference_toy as toy  # noqa: E402
import torch  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

import mmweather  # noqa: E402
from mmweather.errors import ConfigError, DataError  # noqa: E402
from mmweather.utils.drawing import draw_labels  # noqa: E402
from mmweather.utils.images import read_image, write_image  # noqa: E402

CONFIGS = Path(__file__).parents[2] / 'configs' / 'heatnet'
RGB = "dict(type='mmweather.Brightest', data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True))"
FOUR = """
model = dict(type='mmweather.Brightest', data_preprocessor=dict(
    type='mmweather.RGBThermalPreprocessor', mean=(0, 0, 0, 20000), std=(1, 1, 1, 10), thermal_range=(20000, 22550),
    modalities={modalities}))
test_pipeline = [dict(type='mmweather.LoadRGBThermal', depth=16), dict(type='mmweather.LoadLabelMap'),
                 dict(type='mmseg.Resize', scale=(64, 32), keep_ratio=False),
                 dict(type='mmweather.CropWindow', top=0, left=2, size=(4, 4)),
                 dict(type='mmweather.EvaluateAtThisSize'), dict(type='mmseg.PackSegInputs')]
test_dataloader = dict(dataset=dict(type='mmweather.FreiburgThermal', pipeline=test_pipeline,
                                    metainfo=dict(classes=('r', 'g', 'b', 'hot'))))
"""


def stripes(height: int, width: int) -> np.ndarray:
    """Red, green and blue from left to right."""
    image = np.zeros((height, width, 3), np.uint8)
    for index in range(3):
        image[:, width * index // 3:width * (index + 1) // 3, index] = 200
    return image


def ready(config) -> tuple[mmweather.Inferencer, torch.nn.Module]:
    model = mmweather.get_model(config)
    return mmweather.Inferencer(model, device='cpu'), model


@pytest.fixture
def four(tmp_path):
    def write(modalities: str = "('rgb', 'thermal')") -> Path:
        path = tmp_path / 'four.py'
        path.write_text(FOUR.format(modalities=modalities))
        return path

    return write


@pytest.mark.parametrize('size', [(30, 60), (31, 45), (1, 3)])
def test_classes_of_pixels_in_the_size_of_the_picture(tmp_path, size):
    inferencer, _ = ready(toy.write_config(tmp_path, RGB, 'mmseg', classes="('r', 'g', 'b')"))
    assert (inferencer.task, inferencer.inputs, inferencer.classes) == ('segment', ('img', ), ('r', 'g', 'b'))
    image = stripes(*size)
    outcome = inferencer(image)[0]
    assert outcome.labels.shape == size and outcome.labels.dtype == np.uint8
    assert (outcome.labels == image.argmax(2)).mean() > 0.9  # resized on the way, so seams are a little off
    assert outcome.picture.shape == image.shape and outcome.restored is None
    assert outcome.sample.pred_sem_seg.shape == size


def test_files_are_a_grey_label_map_a_picture_and_a_legend(tmp_path):
    inferencer, model = ready(toy.write_config(tmp_path, RGB, 'mmseg', classes="('r', 'g', 'b')"))
    for name in 'ab':
        write_image(tmp_path / 'in' / f'{name}.png', stripes(30, 60))
    (tmp_path / 'in' / 'a_bad.png').touch()
    out = tmp_path / 'out'
    report = inferencer(tmp_path / 'in', out, batch_size=2, compare=True, show_progress=False)
    assert model.batches == [2] and [path.name for path in report.done] == ['a_labels.png', 'b_labels.png']
    assert set(report.failed) == {tmp_path / 'in' / 'a_bad.png'}
    with Image.open(out / 'a_labels.png') as image:
        assert image.mode == 'L'
    labels = cv2.imread(str(out / 'a_labels.png'), -1)
    assert labels.shape == (30, 60) and labels.dtype == np.uint8 and np.unique(labels).tolist() == [0, 1, 2]
    legend = json.loads((out / 'legend.json').read_text())['classes']
    assert [row['name'] for row in legend] == ['r', 'g', 'b']
    picture = read_image(out / 'legend.png')
    for row in legend:
        assert row['colour'] == list(inferencer.palette[row['number']])
        assert (picture == row['colour']).all(2).any()
    assert read_image(out / 'a.png').shape == (30, 60, 3) and read_image(out / 'b_compare.png').shape == (30, 120, 3)
    assert len(inferencer(tmp_path / 'in', out, compare=True, show_progress=False).skipped) == 2


def test_the_size_of_a_benchmark_does_not_distort_other_pictures(four, monkeypatch):
    inferencer, model = ready(four())
    shapes = []
    predict = model.predict
    monkeypatch.setattr(model, 'predict',
                        lambda images, samples: shapes.append(images.shape) or predict(images, samples))
    inferencer(stripes(40, 40), thermal=np.full((40, 40), 21000, np.uint16))
    assert shapes == [(1, 4, 32, 32)]  # and not 32 x 64


def test_a_thermal_partner_is_the_fourth_channel_and_the_benchmark_s_crop_is_left_out(four):
    inferencer, _ = ready(four())
    assert inferencer.inputs == ('img', 'thermal') and inferencer.classes == ('r', 'g', 'b', 'hot')
    thermal = np.full((30, 60), 20000, np.uint16)
    thermal[15:] = 22550  # 255 after scaling, more than the visible 200
    outcome = inferencer(stripes(30, 60), thermal=thermal)[0]
    assert outcome.labels.shape == (30, 60)
    assert np.unique(outcome.labels[:14]).tolist() == [0, 1, 2] and (outcome.labels[16:] == 3).all()
    shown, = outcome.companions
    assert shown[0, 0].tolist() == [0, 0, 0] and shown[-1, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize('modalities, inputs', [("('rgb', )", ('img', )), ("('thermal', )", ('thermal', ))])
def test_models_of_one_modality_run_alone(four, modalities, inputs):
    inferencer, _ = ready(four(modalities))
    assert inferencer.inputs == inputs
    given = stripes(8, 12) if inputs == ('img', ) else np.full((8, 12), 21000, np.uint16)
    assert inferencer(given)[0].labels.shape == (8, 12)


def test_thermal_files_are_found_by_their_names(four, tmp_path):
    inferencer, _ = ready(four())
    visible, thermal = tmp_path / 'ImagesRGB', tmp_path / 'ImagesIR'
    thermal.mkdir()
    for name in ('1_rgb', '2_rgb', '3_rgb', '4_rgb', '5_rgb'):
        write_image(visible / f'{name}.png', stripes(6, 9))
    Image.fromarray(np.full((6, 9), 21000, np.uint16)).save(thermal / '1_ir.png')
    Image.fromarray(np.full((6, 9), 21000, np.uint16)).save(thermal / '2_rgb.png')
    np.save(thermal / '3_ir.npy', np.full((6, 9), 21000, np.uint16))
    write_image(thermal / '4_ir.png', stripes(6, 9))
    report = inferencer(visible, thermal=thermal, show_progress=False)
    assert [outcome.source.stem for outcome in report] == ['1_rgb', '2_rgb', '3_rgb']
    failed = {path.stem: reason for path, reason in report.failed.items()}
    assert 'colour picture' in failed['4_rgb'] and 'no partner' in failed['5_rgb']


@pytest.mark.parametrize('thermal, error, message', [
    (None, ConfigError, r'takes img, thermal; .*--thermal DIR: given none'),
    (np.full((6, 9), 7000, np.uint16), None, "counts of 7000 to 7000, and the model's 20000 to 22550 are wanted"),
    (np.zeros((6, 8), np.uint16), None, 'img 9x6, thermal 8x6'),
    (np.full((6, 9), np.nan, np.float32), None, 'finite'),
])
def test_thermal_that_is_missing_or_unfit(four, thermal, error, message):
    inferencer, _ = ready(four())
    if error:
        with pytest.raises(error, match=message):
            inferencer(stripes(6, 9))
    else:
        assert message in inferencer(stripes(6, 9), thermal=thermal).failed['0']


def hot_stripe(cold: float, hot: float, dtype: type) -> np.ndarray:
    thermal = np.full((30, 60), cold, dtype)
    thermal[15:] = hot
    return thermal


@pytest.mark.parametrize('cold, hot, dtype, limits, note', [
    (0, 255, np.uint8, None, "8 bits, 0 to 255 in the first picture; 0 to 255 becomes the model's 20000 to 22550"),
    (10, 60, np.uint8, (10, 60), '10 to 60 becomes'),
    (7000, 8500, np.uint16, None, '16 bits, 7000 to 8500 in the first picture do not fit .* its 99th percentile'),
    (7000, 8500, np.uint16, (7000, 8500), '7000 to 8500 becomes'),
    (290.5, 310.25, np.float32, None, '290.5 to 310.25 in the first picture do not fit'),
    (20000, 22550, np.uint16, None, '16 bits, .*taken as they are, 100% lie in'),
])
def test_thermal_of_any_camera_reaches_the_network_with_its_contrast(four, cold, hot, dtype, limits, note):
    inferencer, _ = ready(four())
    report = inferencer([stripes(30, 60)] * 2, thermal=[hot_stripe(cold, hot, dtype)] * 2, thermal_range=limits)
    for outcome in report:
        assert np.unique(outcome.labels[:14]).tolist() == [0, 1, 2] and (outcome.labels[16:] == 3).all()
    assert len(report.notes) == 1 and re.search(note, report.notes['thermal'])


@pytest.mark.parametrize('limits', [(5, 5), (9, 2), (1, float('nan')), 7, ('a', 'b')])
def test_a_thermal_range_that_cannot_work(four, limits):
    inferencer, _ = ready(four())
    with pytest.raises(ConfigError, match='thermal_range'):
        inferencer(stripes(30, 60), thermal=hot_stripe(0, 255, np.uint8), thermal_range=limits)


def test_a_thermal_range_for_a_model_without_thermal_and_in_the_record(four, tmp_path):
    inferencer, _ = ready(toy.write_config(tmp_path, RGB, 'mmseg', classes="('r', 'g', 'b')"))
    with pytest.raises(ConfigError, match='takes no thermal pictures'):
        inferencer(stripes(6, 9), thermal_range=(0, 255))
    inferencer, _ = ready(four())
    write_image(tmp_path / 'in' / 'legend.png', stripes(30, 60))
    write_image(tmp_path / 'ir' / 'legend.png', hot_stripe(0, 255, np.uint8))
    given = dict(thermal=tmp_path / 'ir', show_progress=False)
    inferencer(tmp_path / 'in', tmp_path / 'out', thermal_range=(0, 200), **given)
    assert read_image(tmp_path / 'out' / 'legend.png').shape == (30, 60, 3), 'a result, not the legend'
    assert len(inferencer(tmp_path / 'in', tmp_path / 'out', thermal_range=(0, 200), **given).skipped) == 1
    with pytest.raises(DataError, match='thermal_range'):
        inferencer(tmp_path / 'in', tmp_path / 'out', **given)


def test_a_relative_model_sees_no_difference_between_cameras(tmp_path):
    text = FOUR.format(modalities="('rgb', 'thermal')").replace(
        "dict(type='mmseg.Resize'", "dict(type='mmweather.StandardizeThermal'), dict(type='mmseg.Resize'").replace(
        'mean=(0, 0, 0, 20000), std=(1, 1, 1, 10), thermal_range=(20000, 22550)',
        'mean=(0, 0, 0, 0), std=(1, 1, 1, 0.004), thermal_range=(-4, 8)').replace('depth=16', '')
    (tmp_path / 'relative.py').write_text(text)
    inferencer, _ = ready(tmp_path / 'relative.py')
    for cold, hot, dtype in ((0, 255, np.uint8), (7000, 8500, np.uint16), (290., 310., np.float32)):
        report = inferencer(stripes(30, 60), thermal=hot_stripe(cold, hot, dtype))
        assert 'relative to its own mean' in report.notes['thermal']
        assert np.unique(report[0].labels[:14]).tolist() == [0, 1, 2] and (report[0].labels[16:] == 3).all()


def test_a_thermal_folder_that_is_not_there(four, tmp_path):
    inferencer, _ = ready(four())
    write_image(tmp_path / 'a.png', stripes(6, 9))
    with pytest.raises(DataError, match='no such file or folder'):
        inferencer(tmp_path / 'a.png', thermal=tmp_path / 'nowhere')


def test_an_output_that_is_not_finite_fails_the_picture(tmp_path):
    inferencer, model = ready(toy.write_config(tmp_path, RGB, 'mmseg'))
    model.gain.data.fill_(float('nan'))
    report = inferencer(stripes(6, 9))
    assert not len(report) and 'not finite' in report.failed['0']


def test_a_stock_segmentor_of_mmseg(tmp_path):
    config = toy.write_config(tmp_path, toy.FCN, 'mmseg', classes="('only', 'two')")
    torch.manual_seed(0)
    model = mmweather.get_model(config)
    torch.save(model.state_dict(), tmp_path / 'fcn.pth')
    inferencer = mmweather.Inferencer(config, tmp_path / 'fcn.pth', 'cpu')
    assert inferencer.classes == ('class 0', 'class 1', 'class 2', 'class 3'), 'two names are not those of four classes'
    image = np.random.default_rng(0).integers(0, 256, (45, 61, 3), np.uint8)
    outcome, tiny = inferencer([image, image[:1, :1]])
    assert outcome.labels.shape == (45, 61) and tiny.labels.shape == (1, 1)
    low = inferencer(image, dtype='bf16')[0]
    assert (low.labels == outcome.labels).mean() > 0.9

    from mmseg.apis import inference_model
    model.cfg.test_pipeline = [step for step in model.cfg.test_pipeline if step['type'] != 'LoadAnnotations']
    with DefaultScope.overwrite_default_scope('mmseg'):
        theirs = inference_model(model, np.ascontiguousarray(image[..., ::-1]))
    assert np.array_equal(theirs.pred_sem_seg.data[0].numpy(), outcome.labels)


@pytest.mark.parametrize('name, inputs', [
    ('heatnet_rgb-s_1xb4-1k_mini', ('img', )), ('heatnet_rgbt-s_1xb4-1k_mini', ('img', 'thermal')),
    ('heatnet_thermal-teacher-s_1xb4-1k_mini', ('thermal', ))])
def test_the_segmentors_of_the_package(name, inputs):
    inferencer, _ = ready(CONFIGS / f'{name}.py')
    assert inferencer.inputs == inputs and len(inferencer.classes) == 13 == len(inferencer.palette)
    given = {'img': stripes(37, 61), 'thermal': np.full((37, 61), 23000, np.uint16)}
    outcome, = inferencer({key: given[key] for key in inputs})
    assert outcome.labels.shape == (37, 61) and outcome.picture.shape == (37, 61, 3)


def test_pixels_without_a_class_keep_their_colour():
    image = np.full((2, 2, 3), 100, np.uint8)
    drawn = draw_labels(image, np.array([[0, 1], [255, 1]], np.uint8), [(0, 0, 0), (200, 200, 200)])
    assert drawn[..., 0].tolist() == [[50, 150], [100, 150]]
