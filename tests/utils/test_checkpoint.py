"""Checkpoints are read without running code, and what does not fit is said in one line."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from mmweather.errors import CheckpointError
from mmweather.utils.checkpoint import load_checkpoint, load_into, save_state_dict, unwrap_state_dict


class Marker:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


class Calculator:

    def __reduce__(self):
        return eval, ('1 + 1', )


class Holder(nn.Module):
    """A model that holds one network, as a restorer does."""

    def __init__(self, width=4):
        super().__init__()
        self.generator = network(width)


def network(width: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(first=nn.Conv2d(3, width, 3), norm=nn.BatchNorm2d(width),
                                     last=nn.Conv2d(width, 3, 1)))


def refused(path, **kwargs) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, **kwargs)
    text = str(caught.value)
    assert '\n' not in text and str(path) in text
    return text


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_round_trip(tmp_path, suffix):
    state = network().state_dict()
    path = tmp_path / 'deep' / f'weights{suffix}'
    save_state_dict(path, state, {'network': 'toy', 'epoch': 3})
    read = unwrap_state_dict(load_checkpoint(path))
    assert list(read) == list(state) or suffix == '.safetensors'
    assert all(torch.equal(read[key], value) and read[key].dtype == value.dtype for key, value in state.items())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_tensor_under_two_names_is_saved(tmp_path):
    tensor = torch.rand(3)
    save_state_dict(tmp_path / 'a.safetensors', {'x': tensor, 'y': tensor, 'z': tensor[:2]})
    read = load_checkpoint(tmp_path / 'a.safetensors')
    assert torch.equal(read['x'], read['y']) and torch.equal(read['z'], tensor[:2])


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    save_state_dict(path, {'x': torch.ones(2)})

    def break_off(file):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'fsync', break_off)
    with pytest.raises(OSError, match='disk full'):
        save_state_dict(path, {'x': torch.zeros(2)})
    assert torch.equal(load_checkpoint(path)['state_dict']['x'], torch.ones(2))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('zip_format', [True, False])
def test_numpy_values_of_published_fusion_checkpoints(tmp_path, zip_format):
    content = {'fusion_model': {'w': torch.ones(2)}, 'fusion_loss': [np.float64(0.25), np.float64(0.125)],
               'steps': np.int64(7), 'curve': np.arange(6.).reshape(2, 3), 'none': np.zeros((0, 3)),
               'columns': np.asfortranarray(np.arange(6, dtype='>i2').reshape(2, 3)), 'yes': np.bool_(True)}
    torch.save(content, tmp_path / 'fusion.pth', _use_new_zipfile_serialization=zip_format)
    read = load_checkpoint(tmp_path / 'fusion.pth')
    assert read['fusion_loss'] == [0.25, 0.125] and read['steps'] == 7
    assert all(np.array_equal(read[name], content[name]) for name in ('curve', 'none', 'columns', 'yes'))
    assert torch.equal(read['fusion_model']['w'], torch.ones(2))


def test_names_of_numpy_1_are_known(tmp_path):
    torch.save({'x': np.float64(0.5)}, tmp_path / 'new.pth', _use_new_zipfile_serialization=False)
    data = (tmp_path / 'new.pth').read_bytes()
    old = data.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    assert old != data or b'numpy.core.multiarray' in data
    (tmp_path / 'old.pth').write_bytes(old)
    assert load_checkpoint(tmp_path / 'old.pth')['x'] == 0.5


def test_reading_leaves_the_list_of_allowed_types_as_it_was(tmp_path):
    before = torch.serialization.get_safe_globals()
    torch.save({'x': argparse.Namespace(a=1), 'y': np.float64(1)}, tmp_path / 'a.pth')
    load_checkpoint(tmp_path / 'a.pth', tensors_only=True)
    assert set(torch.serialization.get_safe_globals()) == set(before)


@pytest.mark.parametrize('tensors_only', [False, True])
@pytest.mark.parametrize('zip_format', [True, False])
def test_code_is_refused_and_not_run(tmp_path, zip_format, tensors_only):
    mark = tmp_path / 'ran'
    torch.save({'w': torch.ones(1), 'x': Marker(mark)}, tmp_path / 'bad.pth', _use_new_zipfile_serialization=zip_format)
    text = refused(tmp_path / 'bad.pth', tensors_only=tensors_only)
    assert f"'{os.mkdir.__module__}.mkdir'" in text and 'before anything of it ran' in text and 'do not use' in text
    assert not mark.exists()
    # The file does run code where it is not refused, so the test would notice.
    torch.load(tmp_path / 'bad.pth', weights_only=False)
    assert mark.exists()


def test_foreign_objects_are_refused_with_the_way_out(tmp_path):
    torch.save({'state_dict': {'w': torch.ones(1)}, 'args': argparse.Namespace(lr=1)}, tmp_path / 'a.pth')
    text = refused(tmp_path / 'a.pth')
    assert "'argparse.Namespace'" in text and 'mmweather convert --tensors-only' in text


@pytest.mark.parametrize('zip_format', [True, False])
def test_tensors_alone(tmp_path, zip_format):
    content = {'w': torch.ones(1), 'args': argparse.Namespace(lr=1), 'n': [1, Calculator()], 'c': Calculator(),
               'deep': {'v': torch.zeros(2), 'args': argparse.Namespace()}}
    torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zip_format)
    read = load_checkpoint(tmp_path / 'a.pth', tensors_only=True)
    assert read['w'] == 1 and read['n'] == [1] and list(read) == ['w', 'n', 'deep'] and list(read['deep']) == ['v']


def test_a_whole_model_is_no_state_dict(tmp_path):
    torch.save(Holder(), tmp_path / 'model.pth')
    assert 'Holder' in refused(tmp_path / 'model.pth')
    assert 'model.state_dict()' in refused(tmp_path / 'model.pth', tensors_only=True)


def test_broken_files(tmp_path):
    path = tmp_path / 'x.pth'
    assert 'no such checkpoint' in refused(path)
    assert 'is a folder' in refused(tmp_path)
    path.touch()
    assert 'is empty' in refused(path)
    torch.save(network().state_dict(), path)
    whole = path.read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        assert 'cut short' in refused(path)
    path.write_bytes(b'<!DOCTYPE html><html></html>')
    assert 'web page' in refused(path)
    path.write_bytes(pickle.dumps([1]))
    refused(path)
    path.write_bytes(os.urandom(300))
    refused(path)
    torch.save(torch.zeros(2), path)
    assert 'holds a Tensor' in refused(path)
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
    assert 'TorchScript' in refused(path)
    weights = tmp_path / 'x.safetensors'
    save_state_dict(weights, {'x': torch.ones(100)})
    weights.write_bytes(weights.read_bytes()[:-8])
    assert 'safetensors' in refused(weights)


def test_every_flipped_byte_is_read_or_refused(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save({'a': torch.ones(3), 'b': [np.float64(1)]}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for position in rng.choice(len(whole), 150, replace=False):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x15]) + whole[position + 1:])
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            refusals += 1
            assert '\n' not in str(error)
    assert refusals > 30


# Wrappers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('wrap', [
    lambda s: s, lambda s: {'params': s}, lambda s: {'state_dict': s, 'meta': {'epoch': 1}}, lambda s: {'model': s},
    lambda s: {'params_ema': s}, lambda s: {f'module.{k}': v for k, v in s.items()},
    lambda s: {'model': {'state_dict': {f'module.{k}': v for k, v in s.items()}}},
    lambda s: {'params': s, 'params_ema': {k: v * 0 for k, v in s.items()}},
    lambda s: {'model_state_dict': s, 'epoch': 3}, lambda s: {'net_g': s},
])
def test_wrappers(wrap):
    state = network().state_dict()
    bare = unwrap_state_dict(wrap(state))
    assert list(bare) == list(state) and all(torch.equal(bare[key], state[key]) for key in state)


def test_a_network_called_module_stays():
    state = {'module.a': torch.ones(1), 'b': torch.ones(1)}
    assert list(unwrap_state_dict(state)) == ['module.a', 'b']


# Fitting --------------------------------------------------------------------------------------------------------


def unfit(model: nn.Module, state: dict, **kwargs) -> str:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_into(model, state, 'file.pth', **kwargs)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), 'half loaded'
    text = str(caught.value)
    assert '\n' not in text and text.startswith('file.pth does not fit')
    return text


def changed(state: dict) -> dict:
    return {key: value + 1 for key, value in state.items()}


def test_the_right_weights():
    model = network()
    state = changed(model.state_dict())
    load_into(model, {'state_dict': state, 'meta': {}}, 'file.pth')
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_bare_network_fits_its_wrapper_and_the_other_way_round():
    state = changed(network().state_dict())
    holder = Holder()
    load_into(holder, state, 'file.pth')
    assert torch.equal(holder.generator.first.weight, state['first.weight'])
    bare = network()
    load_into(bare, holder.state_dict(), 'file.pth')
    assert torch.equal(bare.last.bias, state['last.bias'])


def test_another_network_is_named_by_its_keys():
    text = unfit(network(), nn.ModuleDict({f'layer{i}': nn.Linear(2, 2) for i in range(7)}).state_dict())
    assert '9 of 9 keys are missing (first.weight, first.bias, ' in text and 'and 4 more' in text
    assert '14 are unexpected (layer0.weight' in text and 'and 9 more' in text and 'another network' in text


def test_another_width_is_named_by_its_shapes():
    text = unfit(network(4), network(6).state_dict())
    assert 'first.weight (6, 3, 3, 3) instead of (4, 3, 3, 3)' in text and 'config' in text and 'missing' not in text


def test_an_option_that_differs():
    state = network().state_dict()
    del state['last.bias']
    text = unfit(network(), state)
    assert '1 of 9 keys are missing (last.bias)' in text and 'other options' in text
    model = network()
    load_into(model, changed(state), 'file.pth', strict=False)
    assert torch.equal(model.first.weight, state['first.weight'] + 1)


def test_several_networks_in_one_file():
    text = unfit(network(), {'fusion_model': network().state_dict(), 'refine_model': {}, 'fusion_loss': [1.0]})
    assert 'several networks' in text and 'mmweather convert' in text


def test_values_that_are_no_tensors():
    state = dict(network().state_dict())
    state['first.bias'] = [1, 2, 3, 4]
    assert '1 hold no tensor (first.bias)' in unfit(network(), state)
