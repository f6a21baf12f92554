"""Arrays, files and folders through a model, and the commands `restore` and `convert`."""

from __future__ import annotations

import argparse
import math

import numpy as np
import pytest
import torch
from torch import nn

from mmweather import cli
from mmweather.apis.inference import restoring
from mmweather.apis.restore import pick_device, restore_image
from mmweather.apis.restore_files import find_images, restore_files
from mmweather.errors import ConfigError, DataError
from mmweather.models.nitedr.cleannet import CleanNet
from mmweather.models.ops.contract import InferenceContract
from mmweather.utils.checkpoint import load_checkpoint, save_state_dict
from mmweather.utils.images import read_image, write_image


class Negative(nn.Module):
    """1 - x; refuses sizes that were not padded, and forgets nothing."""

    inference_contract = InferenceContract(multiple_of=4, minimum=8, tiling='supported', overlap=8)

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.shapes: list[tuple[int, ...]] = []
        self.grad_seen = False

    def forward(self, img):
        assert img.shape[-1] % 4 == img.shape[-2] % 4 == 0
        assert not self.training
        self.grad_seen |= torch.is_grad_enabled()
        self.shapes.append(tuple(img.shape[-2:]))
        return self.gain * (1 - img)


class Mean(Negative):
    inference_contract = InferenceContract(inputs=('img', 'ir'), multiple_of=4, minimum=4)

    def forward(self, img, ir):
        return (img + ir) / 2


class Wrapper(nn.Module):
    """Has predict_images, as restorers do."""

    inference_contract = InferenceContract(inputs=('img', 'ir'))

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def predict_images(self, images, tile=None, overlap=None, progress=None):
        self.calls.append((tile, overlap))
        return images['ir']


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# Arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (7, 13), (53, 71)])
@pytest.mark.parametrize('tile', ['auto', None, 16])
def test_every_size_comes_back_exactly(size, tile):
    image = picture(*size)
    model = Negative().train()
    result = restore_image(model, image, tile=tile)
    assert result.dtype == np.uint8 and result.flags.c_contiguous
    assert np.array_equal(result, 255 - image)
    assert not model.grad_seen
    assert (len(model.shapes) > 1) == (tile == 16 and max(size) > 16)


def test_values_are_clamped_and_rounded():
    model = Negative()
    model.gain.data.fill_(2)
    image = np.array([[[0, 100, 255]]], np.uint8)
    assert restore_image(model, image).tolist() == [[[255, 255, 0]]]
    model.gain.data.fill_(0.4)  # 0.4 * 155 = 62, 0.4 * 151 = 60.4, 0.4 * 154 = 61.6
    assert restore_image(model, np.array([[[100, 104, 101]]], np.uint8)).tolist() == [[[62, 60, 62]]]


def test_grey_files_and_several_inputs(tmp_path):
    image, other = picture(9, 12), picture(9, 12, 1)[..., 0]
    file = write_image(tmp_path / 'a.png', image)
    expected = np.round((image.astype(float) + other[..., None]) / 2 + 1e-3)
    for images in ({'img': image, 'ir': other}, {'ir': other, 'img': file}, (str(file), other)):
        assert np.abs(restore_image(Mean(), images).astype(float) - expected).max() <= 1


def test_restorers_get_no_tiles_when_none_is_asked_for():
    model = Wrapper()
    image, ir = picture(8, 8), picture(8, 8, 1)
    for tile in (None, 'auto', 32):
        assert np.array_equal(restore_image(model, (image, ir), tile=tile, overlap=4), ir)
    assert model.calls == [('none', 4), ('auto', 4), (32, 4)]  # to a restorer, None means its config's


@pytest.mark.parametrize(('images', 'message'), [
    (np.zeros((4, 4, 3), np.float32), 'uint8'),
    (np.zeros((4, 4, 4), np.uint8), r'\(4, 4, 4\)'),
    (np.zeros((0, 4, 3), np.uint8), 'uint8'),
    ({'ir': np.zeros((4, 4, 3), np.uint8)}, 'takes img'),
    ((np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)), '2 image'),
    ('nowhere.png', 'nowhere.png'),
])
def test_wrong_inputs(images, message):
    with pytest.raises(DataError, match=message):
        restore_image(Negative(), images)


def test_inputs_of_two_sizes():
    with pytest.raises(DataError, match='img 5x4, ir 4x4'):
        restore_image(Mean(), (picture(4, 5), picture(4, 4)))


def test_a_result_that_is_not_finite_is_an_error():
    model = Negative()
    model.gain.data.fill_(math.nan)
    with pytest.raises(DataError, match='not finite'):
        restore_image(model, picture(8, 8))


def test_models_and_options_that_cannot_work():
    with pytest.raises(ConfigError, match='Identity cannot restore'):
        restore_image(nn.Identity(), picture(8, 8))
    with pytest.raises(ConfigError, match='fp8'):
        restore_image(Negative(), picture(8, 8), dtype='fp8')
    with pytest.raises(ConfigError, match='bf16'):
        restore_image(Negative(), picture(8, 8), dtype='fp16')
    with pytest.raises(ConfigError, match='tile='):
        restore_image(Negative(), picture(8, 8), tile=-1)
    for name in ('cuda:99', 'abacus'):
        with pytest.raises(ConfigError, match=name):
            pick_device(name)


def test_bf16_stays_close():
    torch.manual_seed(0)
    network = CleanNet(dim=16, num_blocks=(1, 1, 1, 1)).eval()
    image = picture(24, 40)
    plain = restore_image(network, image).astype(int)
    low = restore_image(network, image, dtype='bf16').astype(int)
    assert np.abs(plain - image).mean() > 0 and np.abs(plain - low).mean() < 1
    assert not np.array_equal(plain, low), 'autocast had no effect'


# Files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'in'
    for i, name in enumerate(('a.png', 'b.JPG', 'deep/a.png', 'deep/c.d.bmp')):
        write_image(root / name, picture(10, 12, i))
    (root / 'notes.txt').write_text('no picture')
    (root / '._a.png').write_bytes(b'resource fork')
    return root


def test_a_folder_keeps_its_structure(folder, tmp_path):
    out = tmp_path / 'out'
    report = restore_files(Negative(), folder, out, show_progress=False)
    assert {str(file.relative_to(out)) for file in out.rglob('*.*')} == {
        '.mmweather.jsonl', 'a.png', 'b.png', 'deep/a.png', 'deep/c.d.png'}
    assert len(report.done) == 4 and not report.failed
    for name in ('a.png', 'deep/a.png'):
        assert np.array_equal(read_image(out / name), 255 - read_image(folder / name))


def test_bad_files_are_reported_and_the_rest_is_finished(folder, tmp_path):
    whole = (folder / 'b.JPG').read_bytes()
    (folder / 'b.JPG').write_bytes(whole[:len(whole) // 2])
    (folder / 'empty.png').touch()
    out = tmp_path / 'out'
    report = restore_files(Negative(), folder, out, show_progress=False)
    assert set(report.failed) == {folder / 'b.JPG', folder / 'empty.png'}
    assert len(report.done) == 3 and not list(out.glob('b*')) and not list(out.glob('empty*'))


def test_a_rerun_goes_on_where_it_stopped(folder, tmp_path):
    out = tmp_path / 'out'
    write_image(out / 'a.png', picture(3, 3))
    model = Negative()
    report = restore_files(model, folder, out, show_progress=False)
    assert report.skipped == [out / 'a.png'] and len(report.done) == len(model.shapes) == 3
    assert read_image(out / 'a.png').shape == (3, 3, 3)
    assert len(restore_files(model, folder, out, overwrite=True, show_progress=False).done) == 4
    assert read_image(out / 'a.png').shape == (10, 12, 3)


def test_results_inside_the_input_folder_are_no_inputs(folder):
    out = folder / 'restored'
    first = restore_files(Negative(), folder, out, show_progress=False)
    again = restore_files(Negative(), folder, out, overwrite=True, show_progress=False)
    assert len(first.done) == len(again.done) == 4


def test_inputs_are_never_overwritten(folder):
    before = (folder / 'a.png').read_bytes()
    with pytest.raises(DataError, match='would be overwritten'):
        restore_files(Negative(), folder / 'a.png', folder, overwrite=True, show_progress=False)
    assert (folder / 'a.png').read_bytes() == before


def test_two_inputs_with_one_result(folder):
    write_image(folder / 'a.jpg', picture(4, 4))
    with pytest.raises(DataError, match='one result'):
        find_images(folder)
    with pytest.raises(DataError, match='one result'):
        find_images([folder / 'a.png', folder / 'deep' / 'a.png'])
    assert len(find_images([folder / 'a.png', folder / 'a.png'])) == 1


def test_patterns_and_missing_inputs(folder):
    assert [file.name for file in find_images(str(folder / '*.*'))] == ['a.png', 'b.JPG']
    assert len(find_images(str(folder / '**' / 'c*'))) == 1
    for nothing in ('*.webp', 'nowhere', 'nowhere.png'):
        with pytest.raises(DataError, match='no image there'):
            find_images(folder / nothing)


def test_infrared_partners(folder, tmp_path):
    ir, out = tmp_path / 'ir', tmp_path / 'out'
    for name in ('a.jpg', 'b.png', 'deep/a.png'):
        write_image(ir / name, picture(10, 12, 9))
    write_image(ir / 'deep/c.d.png', picture(10, 13))
    (ir / 'b.png').unlink()
    report = restore_files(Mean(), folder, out, {'ir': ir}, compare=True, show_progress=False)
    assert {file.name for file in report.failed} == {'b.JPG', 'c.d.bmp'}
    assert "no partner in" in report.failed[folder / 'b.JPG'] and '13x10' in report.failed[folder / 'deep/c.d.bmp']
    assert read_image(out / 'deep' / 'a_compare.png').shape == (10, 36, 3)
    with pytest.raises(ConfigError, match='--ir'):
        restore_files(Mean(), folder, out, show_progress=False)
    with pytest.raises(ConfigError, match='takes img'):
        restore_files(Negative(), folder, out, {'ir': ir}, show_progress=False)


def test_wrong_options_end_the_run_at_once(folder, tmp_path):
    with pytest.raises(ConfigError, match='tile='):
        restore_files(Negative(), folder, tmp_path / 'out', tile=0, show_progress=False)


def test_want_of_memory_fails_one_picture_and_a_fault_of_the_program_all(folder, tmp_path, monkeypatch):
    def out_of_memory(*_, **__):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')

    monkeypatch.setattr(restoring, 'restore_batch', out_of_memory)
    report = restore_files(Negative(), folder, tmp_path / 'out', show_progress=False)
    assert len(report.failed) == 4 and all('--tile' in reason for reason in report.failed.values())

    def broken(*_, **__):
        raise RuntimeError('mat1 and mat2 shapes cannot be multiplied')

    monkeypatch.setattr(restoring, 'restore_batch', broken)
    with pytest.raises(RuntimeError, match='mat1'):
        restore_files(Negative(), folder, tmp_path / 'out', show_progress=False)


# Commands -------------------------------------------------------------------------------------------------------

CONFIG = """
model = dict(type='mmweather.Restorer', generator=dict(type='mmweather.CleanNet', dim=16, num_blocks=(1, 1, 1, 1)),
             pixel_loss=dict(type='mmagic.L1Loss'))
"""


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A published checkpoint of a small CleanNet, as written with an argument record beside the weights."""
    torch.manual_seed(0)
    network = CleanNet(dim=16, num_blocks=(1, 1, 1, 1)).eval()
    root = tmp_path_factory.mktemp('published')
    torch.save({'params': network.state_dict()}, root / 'net_g.pth')
    torch.save({'params': network.state_dict(), 'opt': argparse.Namespace(lr=1)}, root / 'with_objects.pth')
    (root / 'config.py').write_text(CONFIG)
    return network, root


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_convert_then_restore(published, tmp_path, folder, capsys, suffix):
    pytest.importorskip('mmagic')
    network, root = published
    weights = tmp_path / f'ours{suffix}'
    assert cli.main(['convert', 'nitedr/cleannet', str(root / 'net_g.pth'), str(weights)]) == 0
    assert 'tensors' in capsys.readouterr().out
    (folder / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    out = tmp_path / 'out'
    words = ['restore', str(folder), '--model', str(root / 'config.py'), '--checkpoint', str(weights), '--out',
             str(out), '--device', 'cpu', '--tile', 'none', '--compare']
    assert cli.main(words) == 1  # one is broken
    printed = capsys.readouterr()
    assert '4 restored, 0 there already, 1 failed' in printed.out and 'broken.png' in printed.err
    assert np.array_equal(read_image(out / 'a.png'), restore_image(network, folder / 'a.png', tile=None))
    (folder / 'broken.png').unlink()
    assert cli.main(words) == 0
    assert '0 restored, 4 there already' in capsys.readouterr().out


def test_convert_takes_the_tensors_alone_where_asked(published, tmp_path, capsys):
    network, root = published
    words = ['convert', 'nitedr/cleannet', str(root / 'with_objects.pth'), str(tmp_path / 'a.safetensors')]
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count('\n') == 1 and '--tensors-only' in error
    assert not list(tmp_path.iterdir())
    assert cli.main([*words, '--tensors-only', '--prefix', 'generator.']) == 0
    read = load_checkpoint(tmp_path / 'a.safetensors')
    assert all(torch.equal(read[f'generator.{key}'], value) for key, value in network.state_dict().items())


def test_convert_list(capsys):
    assert cli.main(['convert', 'list']) == 0
    assert 'nitedr/cleannet' in capsys.readouterr().out.split()


@pytest.mark.parametrize(('words', 'message'), [
    (['nitedr/cleanet', 'IN', 'out.pth'], 'nitedr/cleannet'),
    (['nitedr/cleannet', 'IN', 'out.onnx'], '.safetensors'),
    (['nitedr/cleannet', 'IN', 'IN'], 'input itself'),
    (['nitedr/cleannet', 'missing.pth', 'out.pth'], 'no such checkpoint'),
    (['nitedr/cleannet'], 'needs NETWORK'),
])
def test_convert_mistakes(published, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.main(['convert', *(str(published[1] / 'net_g.pth') if word == 'IN' else word for word in words)])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count('\n') == 1 and message in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('words', [['--tile', '0'], ['--tile', 'big'], ['--dtype', 'int8']])
def test_restore_refuses_options(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(['restore', 'x', '--model', 'm', '--checkpoint', 'c', '--out', 'o', *words])
    assert stopped.value.code == 2 and words[0] in capsys.readouterr().err


def test_restore_names_a_checkpoint_of_another_network(published, folder, tmp_path, capsys):
    pytest.importorskip('mmagic')
    save_state_dict(tmp_path / 'other.pth', nn.Linear(2, 2).state_dict())
    with pytest.raises(SystemExit):
        cli.main(['restore', str(folder), '--model', str(published[1] / 'config.py'), '--checkpoint',
                  str(tmp_path / 'other.pth'), '--out', str(tmp_path / 'out'), '--device', 'cpu'])
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and 'other.pth does not fit Restorer' in error
    assert not (tmp_path / 'out').exists()
