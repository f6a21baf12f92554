"""What the page does, without a page."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from web_toy import StandIn, small_model

from mmweather.apis.inference.report import Report
from mmweather.errors import ConfigError, DataError
from mmweather.utils.images import write_image
from mmweather.web import choices, engine
from mmweather.web.choices import Choice, choices_from
from mmweather.web.engine import Engine, Limits, shrink


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> list[Choice]:
    folder = tmp_path_factory.mktemp('models')
    pairs = [small_model(folder, name) for name in ('clean', 'fuse')]
    return choices_from([config for config, _ in pairs], [weights for _, weights in pairs])


@pytest.fixture
def picture(tmp_path):
    return write_image(tmp_path / 'wet street.png', np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8))


def line(error: pytest.ExceptionInfo) -> str:
    assert '\n' not in str(error.value)
    return str(error.value)


# Choices ----------------------------------------------------------------------------------------------------------


def test_without_arguments_the_models_with_weights_are_offered(monkeypatch):
    entries = [('b', None, True), ('a', 'short', True), ('c', 'none', False)]
    monkeypatch.setattr(choices, 'load_index', lambda: {
        name: SimpleNamespace(name=name, alias=alias, collection='Method', weights_file=there or None)
        for name, alias, there in entries})
    assert choices_from() == [Choice('b', 'b'), Choice('short · Method', 'short')]
    monkeypatch.setattr(choices, 'load_index', dict)
    with pytest.raises(ConfigError, match='--model NAME --checkpoint FILE'):
        choices_from()


def test_mistakes_in_the_arguments_are_told(tmp_path, models):
    with pytest.raises(ConfigError, match='one checkpoint for each'):
        choices_from(['a', 'b'], [models[0].checkpoint])
    with pytest.raises(DataError, match='no such checkpoint'):
        choices_from([models[0].model], [str(tmp_path / 'none.pth')])
    with pytest.raises(ConfigError, match='no model is called'):
        choices_from(['nothing-like-this'])
    with pytest.raises(ConfigError, match='one name'):
        choices_from([models[0].model] * 2)
    assert [choice.label for choice in models] == ['clean · clean.pth', 'fuse · fuse.pth']


# Uploads ----------------------------------------------------------------------------------------------------------


def test_uploads_that_are_too_large_or_no_picture_are_told_by_name(tmp_path, picture):
    page = Engine([], limits=Limits(megabytes=0.01, megapixels=0.001))
    with pytest.raises(DataError) as error:
        page.check(picture)
    assert line(error).startswith("'wet street.png' has 53 x 37 pixels; at most 0.001 megapixels")
    big = tmp_path / 'big.png'
    big.write_bytes(bytes(20_000))
    with pytest.raises(DataError) as error:
        page.check(big)
    assert line(error) == "'big.png' has 0.02 MB; at most 0.01 MB are taken here"
    text = tmp_path / 'text.png'
    text.write_text('no picture')
    cut = tmp_path / 'cut.jpg'
    Image.effect_noise((64, 64), 50).save(cut)
    cut.write_bytes(cut.read_bytes()[:900])
    for file, words in [(text, 'not an image'), (cut, 'damaged')]:
        with pytest.raises(DataError) as error:
            Engine([]).preview(file)
        assert words in line(error) and str(tmp_path) not in line(error) and file.name in line(error)


def test_previews_are_small_and_upright(tmp_path):
    tall = np.zeros((3000, 400, 3), np.uint8)
    tall[:1500] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(tall))).save(tmp_path / 'turned.jpg', exif=exif)
    shown = Engine([]).preview(tmp_path / 'turned.jpg')
    assert shown.shape == (1600, 213, 3) and shown[100].mean() > 190 and shown[-100].mean() < 10
    assert shrink(tall, 4000) is tall and shrink(tall[:2000, :1], 100).shape == (100, 1, 3)


# Answers ----------------------------------------------------------------------------------------------------------


def test_a_picture_is_restored_in_its_own_size(models, picture):
    page = Engine(models, 'cpu')
    answer = page.run(models[0].label, [picture, None])
    assert answer.picture.shape == answer.before.shape == answer.after.shape == (37, 53, 3)
    assert not np.array_equal(answer.before, answer.after)
    assert answer.restored is None and answer.rows == [] and answer.record is None
    assert answer.summary.startswith('53 x 37 pixels, ') and answer.summary.endswith(' s on cpu')
    assert page.describe(models[0].label) == 'Restores pictures.'


def test_a_second_picture_is_asked_for_where_the_model_takes_one(tmp_path, models, picture):
    page = Engine(models, 'cpu')
    label = models[1].label
    assert page.inputs(label) == ['Image', 'Infrared image']
    assert 'image and infrared image' in page.describe(label)
    with pytest.raises(DataError, match='Infrared image: choose a file first'):
        page.run(label, [picture, None])
    with pytest.raises(DataError, match='Image: choose a file first'):
        page.run(label, [None, None])
    small = write_image(tmp_path / 'small.png', np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match='differ in size'):
        page.run(label, [picture, small])
    assert page.run(label, [picture, picture]).picture.shape == (37, 53, 3)


def test_boxes_come_with_the_restored_picture_and_a_record(monkeypatch, picture):
    monkeypatch.setattr(engine, 'Inferencer', StandIn)
    page = Engine([Choice('d', 'detect')])
    answer = page.run('d', [picture], score_thr=0.3)
    assert [row.cells for row in answer.rows] == [('person', '0.75', '1, 2, 30, 40'), ('car', '0.35', '5, 5, 9, 9')]
    np.testing.assert_array_equal(answer.restored, 255 - answer.before)
    assert not np.array_equal(answer.picture, answer.restored)
    assert answer.record == dict(image='wet street.png', width=53, height=37, boxes=[
        dict(label=1, name='person', score=0.75, box=[1.0, 2.0, 30.4, 40.0]),
        dict(label=0, name='car', score=0.35, box=[5.0, 5.0, 9.0, 9.0])])
    none = page.run('d', [picture], score_thr=0.9)
    assert none.rows == [] and none.record['boxes'] == []
    assert page.describe('d') == 'Finds and boxes objects. Classes: car, person, <b>sky</b>.'


def test_masks_come_with_a_legend(monkeypatch, picture):
    monkeypatch.setattr(engine, 'Inferencer', StandIn)
    answer = Engine([Choice('s', 'segment')]).run('s', [picture])
    assert [(row.cells, row.colour) for row in answer.rows] == [
        (('car', '75.7%'), (1, 2, 3)), (('<b>sky</b>', '24.3%'), (7, 8, 9))]
    assert answer.record is None and answer.restored is None


def test_a_model_that_fails_is_told_by_file_name(monkeypatch, picture):
    class Broken(StandIn):
        def __call__(self, files, **_):
            return Report(failed={files['img']: f"'{files['img']}': out of memory"})

    monkeypatch.setattr(engine, 'Inferencer', Broken)
    with pytest.raises(DataError) as error:
        Engine([Choice('x', 'restore')]).run('x', [picture])
    assert line(error) == "'wet street.png': out of memory"


def test_satellite_models_are_refused(monkeypatch):
    monkeypatch.setattr(engine, 'Inferencer', type('Radar', (StandIn, ), {'inputs': ('img', 'sar')}))
    with pytest.raises(ConfigError, match="'r' takes sar"):
        Engine([Choice('r', 'restore')]).load('r')
    with pytest.raises(ConfigError, match='no model is called'):
        Engine([Choice('r', 'restore')]).load('other')


def test_the_last_two_models_are_kept_and_one_question_is_answered_at_a_time(monkeypatch, picture):
    built, running, most = [], [], []

    class Slow(StandIn):
        def __init__(self, model, *_):
            super().__init__(model)
            built.append(model)

        def __call__(self, files, **options):
            running.append(1)
            most.append(len(running))
            time.sleep(0.05)
            running.pop()
            return super().__call__(files, **options)

    monkeypatch.setattr(engine, 'Inferencer', Slow)
    page = Engine([Choice(name, name) for name in 'abc'])
    for label in 'abacaab':
        page.load(label)
    assert built == ['a', 'b', 'c', 'b']
    threads = [threading.Thread(target=page.run, args=(label, [picture])) for label in 'abab']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
