"""MobileNetV2 as the streams of HeatNet on real streets, and its ImageNet weights under mmseg's names."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from mmweather.errors import CheckpointError
from mmweather.registry import MODELS

STREAM = {'type': 'mmweather.MobileNetV2Stream'}
TOOL = Path(__file__).parents[3] / 'tools' / 'model_converters' / 'mobilenetv2_to_mmseg.py'


def test_two_streams_of_other_channels_and_widths():
    model = MODELS.build({'type': 'mmweather.TwoStreamBackbone', 'visible': STREAM,
                          'thermal': {**STREAM, 'in_channels': 1, 'widen_factor': 0.35}}).eval()
    image = torch.rand(1, 4, 64, 96)
    with torch.no_grad():
        maps, other = model(image), model(torch.cat((image[:, :3], 1 - image[:, 3:]), 1))
    assert [tuple(level.shape[1:]) for level in maps] == [(32, 16, 24), (48, 8, 12), (128, 4, 6), (432, 2, 3)]
    for (a, b), visible in zip(zip(maps, other, strict=True), (24, 32, 96, 320), strict=True):
        assert torch.equal(a[:, :visible], b[:, :visible]) and not torch.equal(a[:, visible:], b[:, visible:])


def test_weights_in_the_order_of_the_layers_are_renamed(tmp_path, capsys):
    own = {key: value for key, value in MODELS.build(STREAM).state_dict().items() if 'num_batches' not in key}
    given = {f'features.{i}': torch.full_like(value, i) for i, value in enumerate(own.values())}
    torch.save({**given, 'classifier.weight': torch.zeros(3, 3)}, tmp_path / 'theirs.pth')
    tool = runpy.run_path(str(TOOL))
    assert tool['convert'](str(tmp_path / 'theirs.pth'), str(tmp_path / 'ours.pth')) == len(own)
    state = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    assert list(state) == list(own) and all((value == i).all() for i, value in enumerate(state.values()))

    model = MODELS.build({**STREAM, 'pretrained': str(tmp_path / 'ours.pth')})
    model.init_weights()
    assert all((model.state_dict()[key] == i).all() for i, key in enumerate(own)), 'what training starts from'
    torch.save(dict(reversed(given.items())), tmp_path / 'wrong.pth')
    with pytest.raises(CheckpointError, match='order of MobileNetV2'):
        tool['convert'](str(tmp_path / 'wrong.pth'), str(tmp_path / 'ours.pth'))
