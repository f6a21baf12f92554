"""Images in memory of every kind are taken, and what is no image ends in one line."""

import re

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import mmweather
from mmweather.apis.restore import restore_image
from mmweather.errors import MMWeatherError
from mmweather.models.ops.contract import InferenceContract


class Negative(nn.Module):
    inference_contract = InferenceContract(inputs=('img', ))

    def forward(self, img):
        return 1 - img


@pytest.fixture(scope='module')
def inferencer():
    return mmweather.Inferencer(Negative(), device='cpu')


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize('kind', [
    PIL.Image.fromarray, torch.from_numpy, lambda a: torch.from_numpy(a).permute(2, 0, 1),
    lambda a: {'img': PIL.Image.fromarray(a)}, lambda a: [torch.from_numpy(a)],
], ids=['PIL', 'HWC tensor', 'CHW tensor', 'mapping', 'list'])
def test_images_in_memory_are_taken(inferencer, array, kind):
    assert np.array_equal(inferencer(kind(array))[0].restored, 255 - array)
    if not isinstance(kind(array), list):
        assert np.array_equal(restore_image(Negative(), kind(array)), 255 - array)


def test_pil_images_are_turned_upright_and_keep_grey(inferencer, array):
    turned = PIL.Image.fromarray(array)
    turned.getexif()[0x0112] = 6
    assert inferencer(turned)[0].restored.shape == (30, 20, 3)
    grey = inferencer(PIL.Image.fromarray(array[..., 0]))[0].restored
    assert np.array_equal(grey, np.repeat(255 - array[..., :1], 3, axis=2))


@pytest.mark.parametrize('wrong', [
    None, 7.5, True, b'abc', [None], [b'a.png'], object(), {'img': 7}, {'img': None}, torch.rand(3, 8, 8),
    torch.zeros(1, 3, 8, 8, dtype=torch.uint8), PIL.Image.new('F', (8, 8)), PIL.Image.new('I;16', (8, 8)),
], ids=lambda wrong: re.sub(r' at 0x\w+|[^\w ]', '', repr(wrong))[:40])
def test_what_is_no_image_is_one_line(inferencer, wrong):
    try:
        report = inferencer(wrong)
    except MMWeatherError as error:
        lines = [str(error)]
    else:
        assert not len(report)
        lines = list(report.failed.values())
    assert lines and all('\n' not in line and len(line) > 20 for line in lines)


@pytest.mark.parametrize('call', [
    lambda inferencer, array: mmweather.Inferencer(None), lambda inferencer, array: mmweather.Inferencer(7),
    lambda inferencer, array: inferencer(array, 5), lambda inferencer, array: inferencer(array, True),
    lambda inferencer, array: restore_image(Negative(), None), lambda inferencer, array: restore_image(Negative(), 7.5),
    lambda inferencer, array: restore_image(Negative(), b'abc'),
    lambda inferencer, array: mmweather.get_model(None), lambda inferencer, array: mmweather.get_model(7),
])
def test_wrong_arguments_are_one_line(inferencer, array, call):
    with pytest.raises(MMWeatherError) as caught:
        call(inferencer, array)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['..png', '...jpg'])
def test_a_name_of_dots_is_one_line(inferencer, array, tmp_path, name):
    PIL.Image.fromarray(array).save(tmp_path / 'a.png')
    (tmp_path / 'a.png').rename(tmp_path / name)
    with pytest.raises(MMWeatherError, match='rename'):
        inferencer(tmp_path / name, tmp_path / 'out')
