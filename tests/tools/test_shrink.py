"""Small files of weights: precision, parts left out, notes, mistakes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch

from mmweather import get_model
from mmweather.errors import CheckpointError
from mmweather.utils.checkpoint import load_checkpoint, read_metadata, save_state_dict

TOOL = Path(__file__).parents[2] / 'tools/model_converters/shrink.py'
CONFIG = "model = dict(type='mmweather.CleanNet', dim=8, num_blocks=(1, 1, 1, 1))\n"


def shrink(monkeypatch, *words) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, words)])
    runpy.run_path(str(TOOL), run_name='__main__')


@pytest.fixture
def trained(tmp_path):
    """A config and a checkpoint with what training leaves beside the weights."""
    config, checkpoint = tmp_path / 'clean.py', tmp_path / 'iter_10.pth'
    config.write_text(CONFIG)
    torch.manual_seed(0)
    state = get_model(config).state_dict()
    torch.save({'state_dict': state, 'optimizer': {'state': {0: torch.zeros(10**5)}}, 'meta': {'iter': 10}}, checkpoint)
    return config, checkpoint, state


def test_half_precision_is_half_the_size_and_loads_strictly(trained, tmp_path, monkeypatch, capsys):
    config, checkpoint, state = trained
    files = [tmp_path / 'full.safetensors', tmp_path / 'half.safetensors']
    shrink(monkeypatch, config, checkpoint, files[0])
    shrink(monkeypatch, config, checkpoint, files[1], '--half', '--seed', 3, '--data', 'streets', '--scores', 'PSNR 30')
    assert f'wrote {files[1]}: {len(state)} tensors' in capsys.readouterr().out
    assert files[1].stat().st_size < 0.65 * files[0].stat().st_size < checkpoint.stat().st_size
    assert read_metadata(files[1]) == dict(config='clean.py', precision='half', seed='3', data='streets',
                                           scores='PSNR 30')
    full, half = (get_model(config, file).state_dict() for file in files)
    assert all(torch.equal(full[key], value) for key, value in state.items())
    worst = max(float((half[key] - value).abs().max() / value.abs().max().clamp(min=1e-9))
                for key, value in state.items())
    assert 0 < worst <= 2**-10 and all(value.dtype == state[key].dtype for key, value in half.items())


def test_what_half_precision_cannot_hold_stays(trained, tmp_path, monkeypatch):
    config, _, state = trained
    key, other = [name for name, value in state.items() if value.ndim == 4][:2]
    state[key].view(-1)[0] = 1e5
    state[other].mul_(1e-9)
    save_state_dict(tmp_path / 'odd.pth', state)
    shrink(monkeypatch, config, tmp_path / 'odd.pth', tmp_path / 'odd.safetensors', '--half')
    read = load_checkpoint(tmp_path / 'odd.safetensors')
    assert read[key].dtype == read[other].dtype == torch.float32
    assert torch.equal(read[key], state[key]) and torch.equal(read[other], state[other])
    assert torch.float16 in {value.dtype for value in read.values()}


def test_parts_that_training_needs_alone_are_left_out(tmp_path, monkeypatch):
    config = tmp_path / 'two.py'
    from mmweather.registry import MODELS

    class ShrinkPair(torch.nn.ModuleDict):
        training_only = ('critic', )

        def __init__(self):
            super().__init__({'generator': torch.nn.Linear(2, 3), 'critic': torch.nn.Linear(3, 1)})

    pair = ShrinkPair()
    MODELS.register_module(module=ShrinkPair)
    config.write_text("model = dict(type='mmweather.ShrinkPair')\n")
    small = tmp_path / 'pair.safetensors'
    try:
        save_state_dict(tmp_path / 'pair.pth', pair.state_dict())
        shrink(monkeypatch, config, tmp_path / 'pair.pth', small, '--leave-out', 'critic')
        assert set(load_checkpoint(small)) == {'generator.weight', 'generator.bias'}
        model = get_model(config, small)
        assert torch.equal(model['generator'].weight, pair['generator'].weight)
        # A part that is there after all is taken from the file.
        save_state_dict(small, pair.state_dict(), {'left_out': ['critic']})
        assert torch.equal(get_model(config, small)['critic'].weight, pair['critic'].weight)
        # The file cannot say what training needs; the class does.
        for note, message in ((['generator'], "'generator' is left out"), (7, 'not a list'), ([['c']], 'not a list')):
            save_state_dict(small, pair.state_dict(), {'left_out': note})
            with pytest.raises(CheckpointError, match=message):
                get_model(config, small)
        with pytest.raises(SystemExit):
            shrink(monkeypatch, config, tmp_path / 'pair.pth', small, '--leave-out', 'generator')
    finally:
        MODELS._module_dict.pop('ShrinkPair')


@pytest.mark.parametrize('change, message', [
    (lambda words: words[:2] + ['out.pth'], '*.safetensors'),
    (lambda words: [*words, '--leave-out', 'critic'], "no part 'critic'"),
    (lambda words: [words[0], 'gone.pth', words[2]], 'no such checkpoint'),
    (lambda words: [words[0], 'nan.pth', words[2]], 'not finite'),
    (lambda words: [words[0], 'other.pth', words[2]], 'does not fit'),
])
def test_mistakes_are_one_line_and_write_nothing(trained, tmp_path, monkeypatch, capsys, change, message):
    config, checkpoint, state = trained
    monkeypatch.chdir(tmp_path)
    # save_state_dict would refuse these values.
    torch.save({'state_dict': {key: value * float('nan') for key, value in state.items()}}, 'nan.pth')
    save_state_dict('other.pth', {'weight': torch.zeros(1)})
    with pytest.raises(SystemExit) as stopped:
        shrink(monkeypatch, *change([config, checkpoint, 'small.safetensors']))
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count('\n') == 1 and message in error
    assert not list(tmp_path.glob('*.safetensors')) and not (tmp_path / 'out.pth').exists()
