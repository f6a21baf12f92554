"""`mmweather.Inferencer` with restorers: sources, batches, reruns, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mmweather
from mmweather.apis.inference import sources
from mmweather.errors import CheckpointError, ConfigError, DataError
from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS
from mmweather.utils.images import read_image, write_image


class Negative(nn.Module):
    """1 - x; counts what comes together, and fails on request."""

    inference_contract = InferenceContract(multiple_of=4, minimum=8, tiling='supported', overlap=8)

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.batches: list[int] = []
        self.most = 99

    def forward(self, img):
        assert not self.training
        if len(img) > self.most:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')
        self.batches.append(len(img))
        return self.gain * (1 - img)


class Mean(Negative):
    inference_contract = InferenceContract(inputs=('img', 'ir'))

    def forward(self, img, ir):
        return (img + ir) / 2


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Three pictures of one size, then one of another, and one that is broken."""
    root = tmp_path / 'in'
    for i in range(3):
        write_image(root / f'a{i}.png', picture(7, 11, i))
    write_image(root / 'deep' / 'b.png', picture(1, 1))
    (root / 'a1b.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    return root


def run(model, *words, **options):
    return mmweather.Inferencer(model, device='cpu')(*words, show_progress=False, **options)


# Sources --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (7, 13), (31, 17)])
def test_an_array_comes_back_in_its_size(size):
    image = picture(*size)
    report = run(Negative(), image)
    assert len(report) == 1 and not report.failed and not report.done
    outcome = report[0]
    assert np.array_equal(outcome.restored, 255 - image) and np.array_equal(outcome.image, image)
    assert outcome.shown is outcome.restored and outcome.detections is None and outcome.files == []
    assert np.array_equal(run(Negative(), image[..., 0])[0].restored[..., 1], 255 - image[..., 0]), 'grey is taken'


def test_lists_mix_arrays_files_and_mappings(folder):
    items = [picture(5, 5), folder / 'a0.png', {'img': str(folder / 'a1.png')}]
    report = run(Negative(), items)
    assert [outcome.source for outcome in report] == ['0', '1', '2']
    assert np.array_equal(report[2].restored, 255 - read_image(folder / 'a1.png'))


def test_a_second_input_comes_by_keyword_or_by_name(folder, tmp_path):
    image, other = picture(6, 8), picture(6, 8, 1)
    expected = (image.astype(float) + other) / 2
    for words, more in ((image, {'ir': other}), ([image], {'ir': [other]}), ({'img': image, 'ir': other}, {})):
        assert np.abs(run(Mean(), words, **more)[0].restored - expected).max() <= 1
    a = write_image(tmp_path / 'x' / 'a.png', image)
    write_image(tmp_path / 'y' / 'a.jpg', other)
    for ir in (tmp_path / 'y', tmp_path / 'y' / 'a.jpg'):
        assert len(run(Mean(), a, ir=ir)) == 1


@pytest.mark.parametrize('words, options, error, message', [
    (picture(4, 4), {}, ConfigError, 'takes img, ir'),
    (picture(4, 4), {'thermal': picture(4, 4)}, ConfigError, 'given thermal'),
    ([picture(4, 4)] * 2, {'ir': picture(4, 4)}, DataError, "1 'ir' given for 2"),
    ({'ir': picture(4, 4)}, {}, DataError, "'img' is missing in input 0"),
    ('camera:0', {}, ConfigError, 'a camera gives one picture'),
    ('nowhere', {'ir': 'nowhere'}, DataError, 'no image there'),
])
def test_inputs_that_cannot_be(words, options, error, message):
    with pytest.raises(error, match=message):
        run(Mean(), words, **options)


def test_what_one_array_causes_does_not_stop_the_rest():
    report = run(Mean(), [picture(4, 4), np.zeros((4, 4, 3)), picture(4, 4)],
                 ir=[picture(4, 5), picture(4, 4), picture(4, 4)])
    assert set(report.failed) == {'0', '1'} and [outcome.source for outcome in report] == ['2']
    assert 'img 4x4, ir 5x4' in report.failed['0'] and 'float64' in report.failed['1']


class Camera:
    """Three frames, BGR, as OpenCV gives them."""

    released = 0

    def __init__(self, index: int) -> None:
        self.left = 3 if index == 2 else 0

    def isOpened(self) -> bool:
        return self.left > 0

    def read(self):
        self.left -= 1
        frame = np.zeros((4, 6, 3), np.uint8)
        frame[..., 0] = 200  # blue
        return self.left >= 0, frame

    def release(self) -> None:
        Camera.released += 1


def test_a_camera_is_read_until_it_ends_and_is_let_go(monkeypatch, tmp_path):
    monkeypatch.setattr(sources.cv2, 'VideoCapture', Camera)
    Camera.released = 0
    assert len(run(Negative(), 'camera:2', keep=True)) == 3
    report = run(Negative(), 2, tmp_path, max_frames=2)
    assert [path.name for path in report.done] == ['camera2_000000.png', 'camera2_000001.png'] and not len(report)
    assert read_image(report.done[0])[0, 0].tolist() == [255, 255, 55]
    assert Camera.released == 2
    with pytest.raises(DataError, match='camera 0 cannot be opened'):
        run(Negative(), 0)
    assert Camera.released == 3


# Files ----------------------------------------------------------------------------------------------------------


def test_a_bad_file_among_good_ones(folder, tmp_path):
    out = tmp_path / 'out'
    report = run(Negative(), folder, out, batch_size=2, compare=True)
    assert len(report.done) == 4 and not len(report), 'what is written is not kept'
    assert set(report.failed) == {folder / 'a1b.png'} and '\n' not in report.failed[folder / 'a1b.png']
    names = {path.relative_to(out).as_posix() for path in out.rglob('*.*') if path.name[0] != '.'}
    assert names == {f'{stem}{ending}.png' for stem in ('a0', 'a1', 'a2', 'deep/b') for ending in ('', '_compare')}
    assert np.array_equal(read_image(out / 'a2.png'), 255 - read_image(folder / 'a2.png'))


def test_batches_hold_pictures_of_one_size_in_order(folder):
    model = Negative()
    report = run(model, folder, batch_size=2)
    assert model.batches == [2, 1, 1]
    assert [outcome.source.stem for outcome in report] == ['a0', 'a1', 'a2', 'b']
    assert all(np.array_equal(outcome.restored, 255 - read_image(outcome.source)) for outcome in report)


def test_what_is_too_much_at_once_is_done_one_by_one(folder):
    model = Negative()
    model.most = 1
    report = run(model, folder, batch_size=3)
    assert len(report) == 4 and model.batches == [1, 1, 1, 1]
    model.most = 0
    report = run(model, folder, batch_size=3)
    assert not len(report) and 'out of memory; use smaller tiles' in report.failed[folder / 'a0.png']


def test_a_fault_of_the_program_is_not_hidden(folder):
    model = Negative()
    model.forward = lambda img: img @ torch.zeros(3, 4)  # of a shape that never fits
    with pytest.raises(RuntimeError, match='mat1'):
        run(model, folder, batch_size=2)


def test_a_rerun_goes_on(folder, tmp_path):
    out, model = tmp_path / 'out', Negative()
    write_image(out / 'a0.png', picture(2, 2))
    report = run(model, folder, out)
    assert report.skipped == [out / 'a0.png'] and len(report.done) == 3 == len(model.batches)
    assert read_image(out / 'a0.png').shape == (2, 2, 3)
    again = run(model, folder, out)
    assert not again.done and len(again.skipped) == 4 and set(again.failed) == set(report.failed)
    assert len(run(model, folder, out, overwrite=True).done) == 4
    assert read_image(out / 'a0.png').shape == (7, 11, 3)


def test_arrays_have_no_name_so_they_are_always_written(tmp_path):
    for value in (10, 20):
        report = run(Negative(), [np.full((3, 3, 3), value, np.uint8)], tmp_path, keep=True)
        assert read_image(tmp_path / '000000.png')[0, 0, 0] == 255 - value
        assert report[0].files == report.done == [tmp_path / '000000.png']


def test_the_stream_gives_one_after_the_other(folder):
    model = Negative()
    stream = mmweather.Inferencer(model, device='cpu').stream(folder, show_progress=False)
    first = next(stream)
    assert first.source == folder / 'a0.png' and model.batches == [1]
    stream.close()


def test_inputs_are_never_overwritten(folder):
    before = (folder / 'a0.png').read_bytes()
    with pytest.raises(DataError, match='would be overwritten'):
        run(Negative(), folder / 'a0.png', folder, overwrite=True)
    assert (folder / 'a0.png').read_bytes() == before


@pytest.mark.parametrize('options, message', [
    ({'batch_size': 0}, 'batch_size=0'), ({'dtype': 'fp8'}, 'fp8'), ({'tile': -1}, 'tile=-1'),
])
def test_options_that_cannot_work_end_the_run(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        run(Negative(), folder, **options)


def test_half_precision_changes_little():
    image = picture(9, 9)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Sigmoid())
    model.inference_contract = InferenceContract()
    plain, low = (run(model, image, dtype=dtype)[0].restored.astype(int) for dtype in ('fp32', 'bf16'))
    assert 0 < np.abs(plain - low).max() <= 4


# Models ---------------------------------------------------------------------------------------------------------


def test_a_model_without_weights_says_what_to_do(tmp_path):
    config = tmp_path / 'clean.py'
    config.write_text("model = dict(type='mmweather.CleanNet', dim=8, num_blocks=(1, 1, 1, 1))\n")
    with pytest.raises(CheckpointError, match=r'clean.py: no weights are shipped for it; give a checkpoint'):
        mmweather.Inferencer(config, device='cpu')
    model = mmweather.get_model(config)
    torch.save(model.state_dict(), tmp_path / 'clean.pth')
    inferencer = mmweather.Inferencer(config, tmp_path / 'clean.pth', 'cpu')
    assert (inferencer.task, inferencer.inputs, inferencer.classes) == ('restore', ('img', ), ())
    assert inferencer.entry is None
    image = picture(9, 12)
    assert np.array_equal(inferencer(image)[0].restored, run(model, image)[0].restored)


def test_a_model_with_nothing_to_train_needs_no_weights(tmp_path):
    class Plain(nn.Module):
        inference_contract = InferenceContract()

        def forward(self, img):
            return img.flip(1)

    MODELS.register_module(name='InferencePlain', module=Plain, force=True)
    (tmp_path / 'plain.py').write_text("model = dict(type='mmweather.InferencePlain')\n")
    image = picture(3, 4)
    assert np.array_equal(run(tmp_path / 'plain.py', image)[0].restored, image[..., ::-1])


def test_a_model_of_satellite_bands_takes_no_picture(tmp_path):
    model = Negative()
    model.out_channels = 13
    with pytest.raises(ConfigError, match='satellite scenes of 13 bands, not pictures'):
        run(model, picture(3, 4))


@pytest.mark.parametrize('arguments, message', [
    (('nitedr_cleannet_2xb4-300k_roadscene-rein', ), 'did you mean'),
    (('nowhere.py', ), 'no such config file'),
    ((Negative(), 'weights.pth'), 'a module has its weights'),
    ((nn.Identity(), ), 'Identity cannot restore'),
])
def test_models_that_cannot_be(arguments, message):
    with pytest.raises(ConfigError, match=message) as error:
        mmweather.Inferencer(*arguments, device='cpu')
    assert '\n' not in str(error.value)


def test_weights_of_the_package_are_taken(tmp_path, monkeypatch):
    from mmweather.apis import hub as model_index
    from mmweather.utils.checkpoint import save_state_dict

    (tmp_path / 'configs' / 'c').mkdir(parents=True)
    (tmp_path / 'configs' / 'c' / 'clean_small.py').write_text(
        "model = dict(type='mmweather.CleanNet', dim=8, num_blocks=(1, 1, 1, 1))\n")
    (tmp_path / 'configs' / 'c' / 'metafile.yml').write_text(
        'Collections: [{Name: C}]\nModels: [{Name: clean_small, Alias: clean, In Collection: C, '
        'Config: configs/c/clean_small.py, Weights: weights/clean_small.safetensors}]\n')
    monkeypatch.setattr(model_index, 'index_root', lambda: Path(tmp_path))
    model = mmweather.get_model('clean')
    half = {key: value.half() for key, value in model.state_dict().items()}
    save_state_dict(tmp_path / 'weights' / 'clean_small.safetensors', half)
    model.load_state_dict(half)
    image = picture(9, 12)
    for name in ('clean', 'clean_small', tmp_path / 'configs' / 'c' / 'clean_small.py'):
        inferencer = mmweather.Inferencer(name, device='cpu')
        assert inferencer.entry.name == 'clean_small'
        assert np.array_equal(inferencer(image)[0].restored, run(model, image)[0].restored)


