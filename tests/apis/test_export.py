"""Inference paths as ONNX and torch.export files: all five methods against PyTorch, at sizes other than the traced."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mmweather
from mmweather.apis.export import Graph, check_file, export_model, inference_graph, operators
from mmweather.apis.export.files import trace, write_program
from mmweather.apis.hub import load_config
from mmweather.cli import main
from mmweather.errors import ConfigError, DataError
from mmweather.models.ops.contract import InferenceContract

ROOT = Path(__file__).parents[2]
pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

NARROW = {'model.cleaner.num_blocks': (1, 0, 0, 0)}  # each further block takes ten seconds to translate
# Method -> config, changes that make it small, names of inputs, size other than the traced one.
METHODS = {
    'nitedr': ('nitedr/nitedr_joint-s_mini.py', NARROW, ['img', 'ir'], (48, 80)),
    'aca_crnet': ('aca_crnet/aca-crnet-s_1xb4-300_sen12mscr_mini.py', {}, ['img', 'sar'], (34, 50)),
    'ssdie_net': ('ssdie_net/ssdie-net_msff-s_1xb4-20e_mini.py', {}, ['img'], (64, 96)),
    'togethernet': ('togethernet/togethernet-n_1xb8-40e_street-fog.py', {}, ['img'], (160, 224)),
    'heatnet': ('heatnet/heatnet_rgbt-s_1xb4-1k_mini.py', {}, ['img', 'thermal'], (96, 160)),
}


def small(method: str, shaken: bool = True) -> torch.nn.Module:
    config, changes, *_ = METHODS[method]
    config = load_config(str(ROOT / 'configs' / config))
    config.merge_from_dict(changes)
    torch.manual_seed(0)
    model = mmweather.get_model(config)
    for module in model.modules():  # batch norm's first statistics hide what stands in front of it
        if shaken and isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize('method', METHODS)
def test_files_equal_pytorch_at_another_size(method, tmp_path):
    graph = inference_graph(small(method))
    assert list(graph.inputs) == METHODS[method][2]
    program = trace(graph, 64, 64)
    for ending in ('.onnx', '.pt2'):
        write_program(graph, program, tmp_path / f'model{ending}')
        differences = check_file(graph, tmp_path / f'model{ending}', *METHODS[method][3])
        assert list(differences) == list(graph.outputs)
        assert max(differences.values()) < 1e-4, differences
    assert sorted(path.name for path in tmp_path.iterdir()) == ['model.onnx', 'model.pt2']


@pytest.fixture(scope='module')
def onnx(tmp_path_factory):
    """A network of one convolution, exported."""
    path = tmp_path_factory.mktemp('onnx') / 'shift.onnx'
    graph = export_model(Shift(), path, metadata={'model': 'shift'})
    return graph, path


class Shift(torch.nn.Module):
    """Takes a quarter off the brightness; sizes in multiples of 4."""

    inference_contract = InferenceContract(multiple_of=4, minimum=8)

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1)
        torch.nn.init.dirac_(self.conv.weight)
        torch.nn.init.constant_(self.conv.bias, -0.25)

    def forward(self, img):
        assert img.shape[-1] % 4 == 0
        return self.conv(img)


def test_the_example_needs_neither_pytorch_nor_this_package(onnx, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / 'in.png')
    script = ROOT / 'projects/deployment/run_onnx.py'
    guard = f"""
import runpy, sys
for name in ('torch', 'mmweather', 'mmengine', 'mmcv'):
    sys.modules[name] = None
sys.argv = ['run_onnx.py', {str(onnx[1])!r}, 'out.png', 'in.png']
runpy.run_path({str(script)!r}, run_name='__main__')
"""
    subprocess.run([sys.executable, '-c', guard], cwd=tmp_path, check=True, timeout=180)
    wanted = np.round(np.clip(picture / 255 - 0.25, 0, 1) * 255)
    assert np.abs(np.asarray(Image.open(tmp_path / 'out.png')).astype(int) - wanted).max() <= 1


class Fixed(torch.nn.Module):
    """Three boxes, of which the second overlaps the first, and a fourth that is not certain."""

    def forward(self, img):
        boxes = torch.tensor([[2., 2., 12., 12.], [3., 2., 12., 12.], [14., 4., 20., 10.], [0., 0., 4., 4.]])
        scores = torch.tensor([[0.9, 0.1], [0.8, 0.1], [0.1, 0.5], [0.2, 0.1]])
        return boxes[None] + 0 * img.mean(), scores[None] + 0 * img.mean()


class Brightness(torch.nn.Module):
    """Class 1 where the picture is bright or the thermal image is warm."""

    def forward(self, img, thermal):
        bright = torch.maximum(img.mean(1, keepdim=True) - 0.5, thermal - 100)
        return torch.cat((-bright, bright), 1)


def deployed(graph, picture, folder, *more):
    write_program(graph, trace(graph, 16, 24), folder / 'model.onnx')
    Image.fromarray(picture).save(folder / 'in.png')
    script = ROOT / 'projects/deployment/run_onnx.py'
    done = subprocess.run([sys.executable, script, 'model.onnx', 'out.png', 'in.png', *more], cwd=folder, check=True,
                          timeout=180, capture_output=True, text=True)
    return done.stdout, np.asarray(Image.open(folder / 'out.png'))


def test_the_example_keeps_the_best_of_boxes_that_overlap(tmp_path):
    graph = Graph(Fixed(), 'detect', {'img': 3}, ('boxes', 'scores'), 4, 8, ('person', 'car'))
    out, drawn = deployed(graph, np.zeros((13, 21, 3), np.uint8), tmp_path)
    assert out.splitlines() == ['person 0.9 [2, 2, 12, 12]', 'car 0.5 [14, 4, 20, 10]']
    assert drawn.shape == (13, 21, 3) and drawn[2, 5].tolist() == [255, 0, 0] and not drawn[7, 7].any()


def test_the_example_writes_classes(tmp_path):
    graph = Graph(Brightness(), 'segment', {'img': 3, 'thermal': 1}, ('logits', ), 4, 8)
    picture = np.zeros((13, 21, 3), np.uint8)
    picture[:5] = 255
    thermal = np.zeros((13, 21), np.uint16)
    thermal[:, 18:] = 300
    Image.fromarray(thermal).save(tmp_path / 'thermal.png')
    labels = deployed(graph, picture, tmp_path, 'thermal.png')[1]
    wanted = np.zeros((13, 21), np.uint8)
    wanted[:5] = wanted[:, 18:] = 1
    assert np.array_equal(labels, wanted)


def test_the_file_says_how_it_is_called(onnx):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx[1]), providers=['CPUExecutionProvider'])
    facts = json.loads(session.get_modelmeta().custom_metadata_map['mmweather'])
    assert facts == {'task': 'restore', 'inputs': {'img': 3}, 'outputs': ['restored'], 'multiple_of': 4, 'minimum': 8,
                     'classes': [], 'model': 'shift'}


def test_boxes_of_the_graph_are_those_of_the_detector():
    model = small('togethernet', shaken=False)
    graph = inference_graph(model)
    assert graph.classes == ('person', 'car')
    image, = graph.example(256, 256)
    boxes, scores = graph.module(image)
    data = model.data_preprocessor({'inputs': [(image[0].flip(0) * 255)], 'data_samples': None})
    maps = model._forward(data['inputs'])
    classes, _, objects = (torch.cat([kind.flatten(2) for kind in level], 2) for level in maps)
    assert torch.allclose(scores[0], (classes.sigmoid() * objects.sigmoid())[0].T, atol=1e-5)
    priors = torch.cat(model.bbox_head.prior_generator.grid_priors(
        [kind.shape[-2:] for kind in maps[0]], device='cpu', with_stride=True))
    wanted = model.bbox_head._bbox_decode(priors, torch.cat([kind.flatten(2) for kind in maps[1]], 2).mT)
    assert torch.allclose(boxes, wanted, rtol=1e-4, atol=1e-2)


def test_labels_of_the_graph_are_those_of_the_segmentor():
    model = small('heatnet')
    graph = inference_graph(model)
    assert len(graph.classes) == 13 and graph.classes[0] == 'road'
    image, thermal = graph.example(64, 96)
    stacked = torch.cat((image[0] * 255, thermal[0]))
    data = model.data_preprocessor({'inputs': [stacked], 'data_samples': None})
    wanted = model.encode_decode(data['inputs'], [{'img_shape': (64, 96)}])
    assert torch.allclose(graph.module(image, thermal), wanted, rtol=1e-4, atol=1e-4)


def test_the_restored_image_of_the_graph_is_that_of_the_restorer():
    model = small('ssdie_net')
    image, = inference_graph(model).example(64, 96)
    assert torch.equal(inference_graph(model).module(image), model.predict_images({'img': image}))


@pytest.mark.parametrize(('size', 'output'), [((7, 13), 3), ((1, 5), (2, 3)), ((40, 88), 6), ((9, 9), (None, 1))])
def test_traceable_pooling_is_pooling(size, output):
    image = torch.rand(2, 3, *size)
    wanted = torch.nn.functional.adaptive_avg_pool2d(image, output)
    assert torch.allclose(operators.adaptive_avg_pool2d(image, output), wanted, atol=1e-6)
    if min(size) > 3:
        wanted = torch.nn.functional.avg_pool2d(image, 4)
        assert torch.allclose(operators.avg_pool2d(image, 4), wanted, atol=1e-6)


def test_a_wrong_file_is_found(onnx, tmp_path):
    graph, path = onnx
    with torch.no_grad():
        graph.module.model.conv.bias += 0.1
    assert check_file(graph, path)['restored'] > 0.05
    with torch.no_grad():
        graph.module.model.conv.bias -= 0.1
    assert check_file(graph, path, 20, 28)['restored'] < 1e-6


def test_what_cannot_be_exported_is_told(tmp_path):
    with pytest.raises(ConfigError, match="'.*model.trt': the ending says the format"):
        export_model(Shift(), tmp_path / 'model.trt')
    with pytest.raises(ConfigError, match='Linear has no exportable inference path'):
        export_model(torch.nn.Linear(2, 2), tmp_path / 'model.onnx')

    segmentor = small('heatnet')
    segmentor.bn_test = 'batch'
    with pytest.raises(ConfigError, match="model.bn_test is 'batch': statistics of each image cannot be exported"):
        export_model(segmentor, tmp_path / 'model.onnx')

    class Stubborn(Shift):

        def forward(self, img):
            return img if img.mean() > 0.5 else -img

    with pytest.raises(DataError, match='Stubborn cannot be exported: '):
        export_model(Stubborn(), tmp_path / 'model.onnx')
    assert not list(tmp_path.iterdir())


def test_the_command_exports_and_checks(tmp_path, capsys):
    config = str(ROOT / 'configs' / METHODS['aca_crnet'][0])
    torch.save({'state_dict': small('aca_crnet').state_dict()}, tmp_path / 'aca.pth')
    words = ['export', config, '--checkpoint', str(tmp_path / 'aca.pth'), '--out', str(tmp_path / 'aca.pt2'),
             '--size', '32', '32', '--fixed']
    assert main(words) == 0
    out = capsys.readouterr().out
    assert 'takes img (13 channels), sar (2 channels)' in out and 'height and width fixed' in out
    assert 'relative: restored 0.0e+00' in out
    with pytest.raises(SystemExit):
        main([*words[:-3], '0', '32'])
    assert 'give positive numbers of pixels' in capsys.readouterr().err
